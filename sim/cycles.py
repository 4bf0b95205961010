"""Cycles per sample of an array, by phase, and how busy they keep it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ..hw.config import ArrayConfig
from ..hw.ports import PHASES
from ..hw.program import Program, compile_network
from ..model.step import train_batch
from ..synth.accelerator import Accelerator
from ..synth.roofline import bit_ops
from .compiled import CompiledCore
from .runner import BenchError
from .steady import WARM_UP, count
from .trace import Trace, causes
from .workload import Workload

__all__ = ["CycleCount", "measure_cycles", "model_seconds"]

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


def measure_cycles(array: ArrayConfig, workload: Workload, *, batches: int = BATCHES) -> tuple[CycleCount, CycleCount]:
    """Train and infer on the simulated core, fed as fast as it takes samples: counts of both.

    Raises CapacityError when the network does not fit the array, before anything is compiled, and BenchError when
    the core does anything but what the model does.
    """
    state = workload.initial_state()
    program = compile_network(workload.network, state.classifier, array)
    core = CompiledCore(array)
    accelerator = Accelerator(core, workload.network, state.classifier)
    accelerator.load(state)
    steps = list(workload.batches(state, WARM_UP + batches + 1))
    if {int(step.triggered.sum()) for _, _, step in steps} != {round(workload.trigger * workload.batch)}:
        raise BenchError("ties kept samples from triggering")
    counts = [_count(program, workload.batch, count(core, program, state, steps, learn=learn), learn=learn)
              for learn in (True, False)]
    accelerator.samples = state.samples
    if accelerator.read_state().digest() != state.digest():
        raise BenchError("the core's counters are not the golden model's")
    return tuple(counts)


def _count(program: Program, batch: int, totals: dict, *, learn: bool) -> CycleCount:
    samples, trace = totals["samples"], totals["trace"]
    cycles = totals["cycles"] / samples
    phases = {phase: totals["statistics"][phase] / samples for phase in PHASES}
    ideal = bit_ops(program.network, learn=learn) / program.array.bit_ops
    return CycleCount(
        cycles=cycles, phases=phases, utilisation=ideal / cycles,
        array_utilisation=ideal / (phases["forward"] + phases["backward"]),
        causes={name: number / samples for name, number in causes(trace, program, batch, learn=learn).items()},
        last=trace.last_batch())


def model_seconds(workload: Workload, *, batches: int = 3 * BATCHES) -> float:
    """Seconds that the golden model takes to train on one sample of the same work, on this machine."""
    work = [(inputs, labels) for inputs, labels, _ in workload.batches(workload.initial_state(), batches)]
    state = workload.initial_state()
    started = time.perf_counter()
    for inputs, labels in work:
        train_batch(workload.network, state, inputs, labels)
    return (time.perf_counter() - started) / (batches * workload.batch)
