"""Cycles per sample of an array, by phase, and how busy they keep it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..hw.config import ArrayConfig
from ..hw.core import Core
from ..hw.program import compile_network
from ..model.config import NetworkConfig
from ..model.step import train_batch
from ..synth.replay import PHASES
from .runner import CELLS, run_bench
from .workload import Workload

__all__ = ["CycleCount", "array_cells", "bit_ops", "measure_cycles", "model_seconds"]

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
    """

    cycles: float
    phases: dict[str, float]
    utilisation: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"cycles_per_sample": self.cycles, "cycles": self.phases, "utilisation": self.utilisation}


def array_cells(array: ArrayConfig) -> list[Path]:
    """Models of the vendor's cells that an array is made with, for `runner.run_bench`."""
    names = {"SB_SPRAM256KA": array.counter_memory == "spram", "SB_RAM40_4K": array.weight_memory == "copied"}
    return [CELLS / f"{name}.v" for name, used in names.items() if used]


def bit_ops(network: NetworkConfig, *, learn: bool) -> int:
    """Multiplications of single bits that a sample takes: each layer, the logits, and for learning the votes."""
    products = [a * b for a, b in zip(network.layers[:-1], network.layers[1:], strict=True)]
    forward = sum(products) + network.layers[-1] * network.classes
    return forward + (sum(products[1:]) if learn else 0)


def measure_cycles(array: ArrayConfig, workload: Workload, *, batches: int = BATCHES,
                   timeout: float = 600) -> tuple[CycleCount, CycleCount]:
    """Train and infer on the simulated core: counts of both.

    Raises CapacityError when the network does not fit the array, before anything is compiled, and BenchError when
    the core does anything but what the model does.
    """
    network = workload.network
    compile_network(network, workload.initial_state().classifier, array)
    run = run_bench(
        Core(array), "bitprop.sim.bench_cycles", tests=1, timeout=timeout, sources=array_cells(array), parameters={
            "array": array.to_dict(), "network": network.to_dict(), "batch": workload.batch,
            "trigger": workload.trigger, "batches": batches})
    result = json.loads((run.directory / "result.json").read_text())
    return (_count(array, network, result["train"], learn=True),
            _count(array, network, result["infer"], learn=False))


def _count(array: ArrayConfig, network: NetworkConfig, totals: dict, *, learn: bool) -> CycleCount:
    samples = totals["samples"]
    cycles = totals["cycles"] / samples
    return CycleCount(
        cycles=cycles, phases={phase: totals["statistics"][phase] / samples for phase in PHASES},
        utilisation=bit_ops(network, learn=learn) / (array.bit_ops * cycles))


def model_seconds(workload: Workload, *, batches: int = 3 * BATCHES) -> float:
    """Seconds that the golden model takes to train on one sample of the same work, on this machine."""
    work = [(inputs, labels) for inputs, labels, _ in workload.batches(workload.initial_state(), batches)]
    state = workload.initial_state()
    started = time.perf_counter()
    for inputs, labels in work:
        train_batch(workload.network, state, inputs, labels)
    return (time.perf_counter() - started) / (batches * workload.batch)
