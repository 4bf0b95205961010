"""Cycles per sample of an array, by phase, and how busy they keep it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..hw.config import ArrayConfig
from ..hw.core import Core
from ..hw.program import Program, compile_network
from ..model.step import train_batch
from ..synth.replay import PHASES
from ..synth.roofline import bit_ops
from .runner import CELLS, run_bench
from .trace import Trace, causes
from .workload import Workload

__all__ = ["CycleCount", "array_cells", "measure_cycles", "model_seconds"]

BATCHES = 6


@dataclass(frozen=True, kw_only=True)
class CycleCount:
    """Averages over some batches, per sample.

    cycles
        From the beginning of a batch's run to that of the next, batch after batch.
    phases
        Those of the phases of `PHASES`, which are all cycles in which the core is not idle.
    utilisation
        Part of the array's bit operations, over all these cycles, that the network asks for.
    array_utilisation
        The same over the cycles in which the array works forward or backward.
    causes
        All cycles by what the array does in them: see `trace.causes`.
    last
        What was seen of the last batch.
    """

    cycles: float
    phases: dict[str, float]
    utilisation: float
    array_utilisation: float
    causes: dict[str, float]
    last: Trace = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the trace."""
        return {"cycles_per_sample": self.cycles, "cycles": self.phases, "causes": self.causes,
                "utilisation": self.utilisation, "array_utilisation": self.array_utilisation}


def array_cells(array: ArrayConfig) -> list[Path]:
    """Models of the vendor's cells that an array is made with, for `runner.run_bench`."""
    names = {"SB_SPRAM256KA": array.counter_memory == "spram", "SB_RAM40_4K": array.weight_memory == "copied"}
    return [CELLS / f"{name}.v" for name, used in names.items() if used]


def measure_cycles(array: ArrayConfig, workload: Workload, *, batches: int = BATCHES,
                   timeout: float = 600) -> tuple[CycleCount, CycleCount]:
    """Train and infer on the simulated core: counts of both.

    Raises CapacityError when the network does not fit the array, before anything is compiled, and BenchError when
    the core does anything but what the model does.
    """
    network = workload.network
    program = compile_network(network, workload.initial_state().classifier, array)
    run = run_bench(
        Core(array), "bitprop.sim.bench_cycles", tests=1, timeout=timeout, sources=array_cells(array), parameters={
            "array": array.to_dict(), "network": network.to_dict(), "batch": workload.batch,
            "trigger": workload.trigger, "batches": batches})
    result = json.loads((run.directory / "result.json").read_text())
    return tuple(_count(program, workload.batch, result[name], learn=learn)
                 for name, learn in (("train", True), ("infer", False)))


def _count(program: Program, batch: int, totals: dict, *, learn: bool) -> CycleCount:
    samples = totals["samples"]
    cycles = totals["cycles"] / samples
    phases = {phase: totals["statistics"][phase] / samples for phase in PHASES}
    trace = Trace.from_dict(totals["trace"])
    ideal = bit_ops(program.network, learn=learn) / program.array.bit_ops
    return CycleCount(
        cycles=cycles, phases=phases, utilisation=ideal / cycles,
        array_utilisation=ideal / (phases["forward"] + phases["backward"]),
        causes={name: count / samples for name, count in causes(trace, program, batch, learn=learn).items()},
        last=trace.last_batch())


def model_seconds(workload: Workload, *, batches: int = 3 * BATCHES) -> float:
    """Seconds that the golden model takes to train on one sample of the same work, on this machine."""
    work = [(inputs, labels) for inputs, labels, _ in workload.batches(workload.initial_state(), batches)]
    state = workload.initial_state()
    started = time.perf_counter()
    for inputs, labels in work:
        train_batch(workload.network, state, inputs, labels)
    return (time.perf_counter() - started) / (batches * workload.batch)
