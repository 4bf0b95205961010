"""How fast the compiled core is: an epoch of digits, every bit compared with the golden model."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from ..hw.config import ArrayConfig
from ..hw.program import compile_network
from ..model.data import load_dataset
from ..model.learners import HardwareLearner
from ..model.presets import DIGITS_BATCH, digits_network
from ..model.trainer import Training
from ..synth.accelerator import Accelerator
from ..synth.replay import replay
from .compiled import CompiledCore

__all__ = ["Speed", "measure_speed"]


@dataclass(frozen=True, kw_only=True)
class Speed:
    """An epoch that was equal on both sides.

    samples
        Trained.
    epoch_seconds
        Real time for all: loading, training on both sides, comparing every counter, inferring the validation part.
    simulation_seconds, processor_seconds, cycles
        Real time within the simulation, time of a processor, and what it simulated.
    state_hash
        `State.digest` of both sides afterwards.
    """

    samples: int
    epoch_seconds: float
    simulation_seconds: float
    processor_seconds: float
    cycles: int
    state_hash: str

    @property
    def cycles_per_second(self) -> float:
        """Simulated, per second of real time within the simulation."""
        return self.cycles / self.simulation_seconds

    @property
    def cycles_per_processor_second(self) -> float:
        """The same on a machine that has nothing else to do."""
        return self.cycles / self.processor_seconds

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {
            "cycles_per_second": self.cycles_per_second,
            "cycles_per_processor_second": self.cycles_per_processor_second}


def measure_speed(array: ArrayConfig) -> Speed:
    """Train digits for an epoch on the compiled core of an array and on the golden model.

    Raises CapacityError when the network does not fit the array, BenchError, and Mismatch when a bit differs.
    """
    network, dataset = digits_network(), load_dataset("digits")
    training = Training(HardwareLearner(network, batch=DIGITS_BATCH))
    compile_network(network, training.learner.state.classifier, array)
    core = CompiledCore(array)
    started = time.perf_counter()
    accelerator = Accelerator(core, network, training.learner.state.classifier)
    result = replay(accelerator, training, dataset, epochs=1)
    return Speed(
        samples=result.samples, epoch_seconds=time.perf_counter() - started, simulation_seconds=core.seconds,
        processor_seconds=core.processor_seconds, cycles=core.cycles, state_hash=result.comparisons[-1].state_hash)
