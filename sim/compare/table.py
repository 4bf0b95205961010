"""Runs every target on the same work, compares the states they end with, and puts their costs side by side."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...hw.config import ArrayConfig
from ...hw.program import CapacityError
from ...model.config import NetworkConfig
from ...synth.area import array_luts
from ...synth.boards import BOARDS, Board
from ...synth.build import find_build
from ...synth.report import BuildReport
from ...synth.tools import ToolError
from ..runner import BenchError, require_tools
from .accelerator import fit, rtl_run
from .cortex import run_cortex
from .host import kernels_here, run_host, time_host, time_stamp_mhz
from .place import placements
from .programs import Missing
from .soc import CORES, Run, run_soc
from .software import Epochs, larq_epochs, numpy_epochs, time_numpy, torch_epochs
from .work import Work, all_triggered, always_triggered, dataset_of, network_of, real_training

__all__ = ["NETWORKS", "TARGETS", "Row", "Settings", "compare", "save"]

TARGETS = ("vexriscv", "picorv32", "cortex-m4", "host", "numpy", "torch", "larq")
NETWORKS = ((256, 64, 64), (1000, 35, 35), (784, 256, 256))
CHIPS = {"icebreaker": "UP5K", "icebreaker-wide": "UP5K", "ulx3s-85f": "ECP5-85F"}
"""Boards whose accelerators are compared, and what the table calls their chips."""

WORKERS = 2
"""Simulations at a time."""

HOST_BATCHES = (1, 100)
TIMED_SAMPLES = 1000
TRAINING_PHASES = ("forward", "backward", "update")
CORE_TITLES = {"vexriscv": "VexRiscv", "picorv32": "picorv32"}
OTHER_ALGORITHM = "another algorithm"


@dataclass(kw_only=True)
class Row:
    """One target on one piece of work.

    target, chip
        Names; the chip only where there is one.
    trained, inferred
        Cycles per sample, in `unit`; None where there are none.
    unit
        What is counted: "cycles", "instructions", or "TSC cycles".
    phases
        The same for training, by phase.
    clock_mhz
        That time is reckoned or measured with.
    microseconds
        Per trained sample.
    lut4, block_ram
        Of the chip.
    state_hash
        Digest of the state after the work; None where another algorithm was trained, or nothing.
    cycles_ratio, time_ratio
        To the accelerator on the same chip, or on the largest that has the network: above 1 the accelerator is ahead.
    how
        How it was measured, or what is missing.
    """

    target: str
    chip: str = ""
    trained: float | None = None
    inferred: float | None = None
    unit: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    clock_mhz: float | None = None
    microseconds: float | None = None
    lut4: int | None = None
    block_ram: int | None = None
    state_hash: str | None = None
    cycles_ratio: float | None = None
    time_ratio: float | None = None
    how: str = ""

    @property
    def title(self) -> str:
        """Target and chip."""
        return f"{self.target}, {self.chip}" if self.chip else self.target


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is compared.

    networks
        Widths, input first.
    batch
        Samples a batch, 1 … 32, but for the host, which is also timed with 1 and 100.
    targets
        Some of `TARGETS`; the accelerator always is one.
    counter_bits
        Width of the counters.
    groups
        Sizes of the groups, one a layer, where there is one network; else the model's own.
    boards
        Whose accelerators are measured; by default those of `CHIPS` with such counters.
    folder
        Where everything is kept, and the report goes.
    """

    networks: tuple[tuple[int, ...], ...] = NETWORKS
    batch: int = 32
    targets: tuple[str, ...] = TARGETS
    counter_bits: int = 8
    groups: tuple[int, ...] | None = None
    boards: tuple[str, ...] = ()
    folder: Path = Path("build/compare")

    def __post_init__(self):
        if not 1 <= self.batch <= 32:
            raise ValueError(f"batch must be from 1 to 32, not {self.batch}")
        if self.groups and len(self.networks) != 1:
            raise ValueError(f"groups must come with one network, not {len(self.networks)}")
        if unknown := set(self.targets) - set(TARGETS):
            raise ValueError(f"targets must be of {', '.join(TARGETS)}, not {', '.join(sorted(unknown))}")
        if not self.boards:
            boards = tuple(name for name in CHIPS if BOARDS[name].config.counter_bits == self.counter_bits)
            if not boards:
                known = sorted({BOARDS[name].config.counter_bits for name in CHIPS})
                raise ValueError(f"counter_bits must be {' or '.join(map(str, known))}, as arrays have them, not "
                                 f"{self.counter_bits}")
            object.__setattr__(self, "boards", boards)


@dataclass
class _Comparison:
    settings: Settings
    say: Callable[[str], None]
    failures: list[str] = field(default_factory=list)

    def attempt(self, row: Row, work: Callable[[], list[Row]]) -> list[Row]:
        """The rows that `work` makes, or `row` with what kept it from it."""
        try:
            return work()
        except (Missing, CapacityError) as error:
            row.how = str(error)
        except (BenchError, RuntimeError, ValueError, OSError) as error:
            row.how = f"failed: {error}"
            self.failures.append(f"{row.title}: {error}")
        return [row]

    def check(self, who: str, work: Work, digest: str, rest: bool) -> None:
        """Note a failure where state, predictions or statistics are not the model's."""
        what = f"{'-'.join(map(str, work.network.layers))}, {work.name}, batch {work.batch}"
        if digest != work.digest:
            self.failures.append(f"{who} on {what}: state {digest[:16]}…, the golden model's is {work.digest[:16]}…")
        elif not rest:
            self.failures.append(f"{who} on {what}: predictions or statistics are not the golden model's")


def compare(settings: Settings, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Everything, as JSON-ready values: `networks`, each with `works`, each with `rows`; `failures`, empty when all
    states are equal; `machine`; `seconds` that it took, and `processor_seconds` with all that it has started.
    """
    started, used = time.monotonic(), sum(os.times()[:4])
    comparison = _Comparison(settings, say)
    networks = [network_of(layers, settings.counter_bits, settings.groups) for layers in settings.networks]
    cores = placements()
    chips = {name: _placed(BOARDS[name]) for name in settings.boards}
    result: dict[str, Any] = {"batch": settings.batch, "networks": []}
    prepared = [(network, [all_triggered(network, settings.batch), real_training(network, settings.batch)])
                for network in networks]
    # The accelerator's simulations take longest, so they come first, all those of an array in one go: it is compiled
    # once. What they leave is kept, and comes at once when it is asked for.
    with ThreadPoolExecutor(WORKERS) as pool:
        for array, works in _simulations(settings, prepared).items():
            pool.submit(_simulate, array, works, settings.folder)
        counted = [[pool.submit(_software, comparison, network, work, cores) for work in works]
                   for network, works in reversed(prepared)][::-1]
    say("the accelerator, simulated")
    rows = [[_accelerators(comparison, network, work, chips) + more.result()
             for work, more in zip(works, others, strict=True)]
            for (network, works), others in zip(prepared, counted, strict=True)]
    # Timing comes last, when nothing else of ours is at work.
    for (network, works), known in zip(prepared, rows, strict=True):
        entry = {"layers": list(network.layers), "network": network.to_dict(), "works": []}
        for work, every in zip(works, known, strict=True):
            every += _timed(comparison, network, work)
            _relate(every)
            entry["works"].append({
                "name": work.name, "batch": work.batch, "trigger_rate": work.trigger_rate, "samples": len(work.labels),
                "state_hash": work.digest, "rows": [asdict(row) for row in every]})
        result["networks"].append(entry)
    return result | {
        "failures": comparison.failures, "machine": _machine(settings), "seconds": round(time.monotonic() - started, 1),
        "processor_seconds": round(sum(os.times()[:4]) - used, 1)}


def _simulations(settings: Settings, prepared: list) -> dict[ArrayConfig, list[Work]]:
    """What every array has to do, the largest array first."""
    jobs: dict[ArrayConfig, list[Work]] = {}
    for network, works in prepared:
        for name in settings.boards:
            try:
                array = fit(BOARDS[name], network, works[0].start.classifier).array
            except CapacityError:
                continue
            jobs.setdefault(array, []).extend(works)
    return dict(sorted(jobs.items(), key=lambda job: -job[0].bit_ops))


def _simulate(array: ArrayConfig, works: list[Work], cache: Path) -> None:
    for work in works:
        rtl_run(array, work, cache)


def _accelerators(comparison: _Comparison, network: NetworkConfig, work: Work, chips: dict) -> list[Row]:
    rows = []
    for name in comparison.settings.boards:
        board, row = BOARDS[name], Row(target="accelerator", chip=CHIPS.get(name, name))
        rows += comparison.attempt(
            row, lambda board=board, row=row: [_accelerator(comparison, board, row, network, work, chips)])
    return rows


def _placed(board: Board) -> BuildReport | None:
    try:
        return find_build(board)
    except ToolError:
        return None


def _accelerator(comparison: _Comparison, board: Board, row: Row, network: NetworkConfig, work: Work,
                 chips: dict[str, BuildReport | None]) -> Row:
    _need_tools()
    fitted = fit(board, network, work.start.classifier)
    what = f"accelerator on {board.device.name}"
    comparison.say(f"{what}: {'-'.join(map(str, network.layers))}, {work.name}")
    run = rtl_run(fitted.array, work, comparison.settings.folder)
    comparison.check(what, work, run["digest"], run["predictions"] and run["statistics"] == _statistics(work))
    own = chips[board.name] if not fitted.changes else None
    row.trained, row.inferred, row.unit = run["trained"], run["inferred"], "cycles"
    row.phases, row.state_hash = run["trained_phases"], run["digest"]
    row.clock_mhz, row.block_ram = board.clock_hz / 1e6, fitted.block_ram
    row.lut4 = round(sum(array_luts(fitted.array, board.link, board.device.family).values()))
    if own:
        row.clock_mhz, row.lut4, row.block_ram = own.fmax_median_mhz, own.uses["lut4"].used, own.uses["block_ram"].used
        clock = f"placed Fmax, median of {len(own.placements)}"
    elif not fitted.fits:
        clock = (f"simulated only, with the clock it aims at: takes {fitted.block_ram} of the chip's "
                 f"{board.device.block_ram} block RAMs")
    elif fitted.changes:
        clock = f"not placed, with the clock it aims at: larger {', '.join(fitted.changes)} than the board's design"
    else:
        clock = f"not placed here (bitprop build --board {board.name}): the clock it aims at"
    row.how = f"RTL in Verilator, steady state; {clock}{'' if own else '; look-up tables estimated'}"
    return row


def _software(comparison: _Comparison, network: NetworkConfig, work: Work, cores: dict) -> list[Row]:
    """The targets that are counted, not timed."""
    rows = []
    for core in CORES:
        if core in comparison.settings.targets:
            comparison.say(f"{core}: {'-'.join(map(str, network.layers))}, {work.name}")
            rows += comparison.attempt(Row(target=CORE_TITLES[core]),
                                       lambda core=core: _core(comparison, core, work, cores.get(core, {})))
    if "cortex-m4" in comparison.settings.targets:
        rows += comparison.attempt(Row(target="Cortex-M4"), lambda: [_cortex(comparison, work)])
    return rows


def _core(comparison: _Comparison, core: str, work: Work, chips: dict) -> list[Row]:
    _need_tools()
    run = run_soc(core, work, comparison.settings.folder)
    digest = _check_run(comparison, core, work, run)
    rows = []
    for name in comparison.settings.boards:
        use = next((chips[other] for other in chips if BOARDS[other].device == BOARDS[name].device), None)
        rows.append(Row(
            target=CORE_TITLES[core], chip=CHIPS.get(name, name), unit="cycles", state_hash=digest,
            clock_mhz=use and use["fmax_mhz"], lut4=use and use["lut4"], block_ram=use and use["block_ram"],
            how="RTL in Verilator, rv32im -O3" + (f"; placed Fmax, median of {use['seeds']}" if use else ""),
            **_counts(run, work)))
    return rows


def _cortex(comparison: _Comparison, work: Work) -> Row:
    run = run_cortex(work, comparison.settings.folder)
    return Row(target="Cortex-M4", unit="instructions", state_hash=_check_run(comparison, "Cortex-M4", work, run),
               how="instructions in an emulator, -O3; cycles are more", **_counts(run, work))


def _counts(run: Run, work: Work) -> dict[str, Any]:
    count = len(work.labels)
    phases = {name: run.counts[name] / count for name in TRAINING_PHASES}
    # What lies between the samples, such as the loop over them, belongs to training; what comes before does not.
    return {"trained": sum(phases.values()), "inferred": run.counts["infer"] / count, "phases": phases}


def _check_run(comparison: _Comparison, who: str, work: Work, run: Run) -> str:
    views, digest = run.layout.views(run.memory), run.layout.state(run.memory).digest()
    rest = [int(views[name]) for name in ("triggered", "row_updates", "saturations")] == _statistics(work)
    rest &= bool((views["trained_predictions"] == work.trained_predictions).all())
    rest &= bool((views["inferred_predictions"] == work.inferred_predictions).all())
    comparison.check(who, work, digest, rest)
    return digest


def _timed(comparison: _Comparison, network: NetworkConfig, work: Work) -> list[Row]:
    rows, targets = [], comparison.settings.targets
    comparison.say(f"this machine: {'-'.join(map(str, network.layers))}, {work.name}")
    if "host" in targets:
        for kernel in kernels_here():
            rows += comparison.attempt(Row(target=f"this CPU, {kernel}"),
                                       lambda kernel=kernel: _host(comparison, kernel, network, work))
    if "numpy" in targets:
        rows += comparison.attempt(Row(target="numpy"), lambda: [_numpy(network, work)])
    if work.name != "all triggered":
        for name, run in (("torch", torch_epochs), ("larq", larq_epochs)):
            if name in targets:
                rows += comparison.attempt(Row(target=name), lambda name=name, run=run: [_epochs(
                    name, run(network, dataset_of(network), 100), f"straight-through and Adam, batch 100: "
                    f"{OTHER_ALGORITHM}")])
    return rows


def _host(comparison: _Comparison, kernel: str, network: NetworkConfig, work: Work) -> list[Row]:
    digests = []
    for checked in (work, work.in_batches(100, 2)):
        state, trained, inferred, statistics = run_host(kernel, checked)
        digests.append(state.digest())
        comparison.check(f"{kernel} kernel", checked, digests[-1], bool(
            (trained == checked.trained_predictions).all() and (inferred == checked.inferred_predictions).all()
            and list(statistics) == _statistics(checked)))
    timed = (always_triggered(network, TIMED_SAMPLES) if work.name == "all triggered"
             else real_training(network, work.batch, TIMED_SAMPLES))
    rate = time_stamp_mhz()
    return [Row(
        target=f"this CPU, {kernel}, batch {batch}", trained=run.train_min, inferred=run.infer_min, unit="TSC cycles",
        phases=run.phases, clock_mhz=rate, microseconds=run.train_min / rate, state_hash=digests[0],
        how=f"one core; {timed.trigger_rate:.0%} of {len(timed.labels)} samples trigger; least of {run.repeats} "
        f"repeats, median {run.train_median:.0f}; core clock {run.clock_ratio:.2f} × TSC, load {run.load[0]:.1f} … "
        f"{run.load[1]:.1f}")
        for batch, run in time_host(kernel, timed, HOST_BATCHES).items()]


def _numpy(network: NetworkConfig, work: Work) -> Row:
    trained, inferred = time_numpy(work)
    row = Row(target="numpy", microseconds=1e6 * trained, state_hash=work.digest,
              how=f"golden model, float32 BLAS, one thread, batch {work.batch}")
    try:
        rate = time_stamp_mhz()
    except (Missing, RuntimeError):
        return row
    row.trained, row.inferred, row.unit, row.clock_mhz = 1e6 * trained * rate, 1e6 * inferred * rate, "TSC cycles", rate
    if work.name != "all triggered":
        row.how += f"; {_sentence(numpy_epochs(network, dataset_of(network), work.batch))}"
    return row


def _epochs(name: str, epochs: Epochs, how: str) -> Row:
    return Row(target=name, microseconds=1e6 * epochs.seconds / epochs.samples, how=f"{how}; {_sentence(epochs)}")


def _sentence(epochs: Epochs) -> str:
    return (f"{epochs.seconds:.3f} s an epoch of {epochs.samples}, test accuracy {epochs.accuracy:.1%} after "
            f"{epochs.epochs}")


def _relate(rows: list[Row]) -> None:
    """Times where there is a clock, and ratios."""
    for row in rows:
        if row.microseconds is None and row.trained and row.clock_mhz and row.unit == "cycles":
            row.microseconds = row.trained / row.clock_mhz
    own = {row.chip: row for row in rows if row.target == "accelerator" and row.trained}
    if not own:
        return
    largest = list(own.values())[-1]
    for row in rows:
        if row.target == "accelerator":
            continue
        other = own.get(row.chip) if row.chip else largest
        if other is None:
            continue
        if row.trained:
            row.cycles_ratio = row.trained / other.trained
        if row.microseconds:
            row.time_ratio = row.microseconds / other.microseconds


def _statistics(work: Work) -> list[int]:
    return [work.triggered, work.row_updates, work.saturations]


def _need_tools() -> None:
    try:
        require_tools()
    except BenchError as error:
        raise Missing(str(error)) from None


def _machine(settings: Settings) -> dict[str, Any]:
    """What the timed rows were measured on."""
    name = platform.processor()
    try:
        name = next(line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                    if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"processor": name, "kernels": kernels_here()} if "host" in settings.targets else {"processor": name}


def save(result: dict[str, Any], folder: Path) -> Path:
    """Write `compare.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "compare.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    return path


