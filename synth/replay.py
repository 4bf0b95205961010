"""One training on the golden model and on an accelerator at once, compared all the way.

    training = Training(HardwareLearner(network, batch=8))
    accelerator = Accelerator(device, network, training.learner.state.classifier)
    result = replay(accelerator, training, dataset, epochs=3)

Returns only if every bit was equal; else `Mismatch` says what differed first, and where.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..hw.ports import PHASES, STATISTICS
from ..model.data import Dataset
from ..model.step import State, StepResult, train_batch, visible
from ..model.trainer import Training, accuracy
from .accelerator import Accelerator

__all__ = ["Comparison", "Mismatch", "Replay", "compare_states", "replay"]


class Mismatch(AssertionError):
    """Accelerator and golden model differ; the message says in what, where, and by how much."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was compared, and equal, at the end of an epoch, or where a shorter run ended.

    epoch, batches
        Epochs begun; batches since the last comparison.
    samples, triggered, row_updates, saturations
        Of these batches.
    training, validation
        Accuracy while training and afterwards on the validation part, as the accelerator predicts.
    state_hash, model_hash
        `State.digest` of what was read back, and of the model's state.
    cycles
        Every statistic of the accelerator over these batches.
    model_seconds
        What these batches took the model.
    """

    epoch: int
    batches: int
    samples: int
    triggered: int
    row_updates: int
    saturations: int
    training: float
    validation: float
    state_hash: str
    model_hash: str
    cycles: dict[str, int]
    model_seconds: float


@dataclass
class Replay:
    """A training that was equal on both sides.

    epochs
        Whole epochs.
    comparisons
        One for each epoch, and one for the batches after the last.
    """

    epochs: int = 0
    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Samples trained."""
        return sum(comparison.samples for comparison in self.comparisons)

    @property
    def cycles(self) -> dict[str, float]:
        """Cycles per trained sample, by phase."""
        return {phase: sum(comparison.cycles[phase] for comparison in self.comparisons) / max(1, self.samples)
                for phase in PHASES}

    @property
    def cycles_per_sample(self) -> float:
        """Cycles per trained sample: the sum of the phases."""
        return sum(self.cycles.values())

    @property
    def model_seconds_per_sample(self) -> float:
        """What a trained sample takes the golden model."""
        return sum(comparison.model_seconds for comparison in self.comparisons) / max(1, self.samples)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "bit_exact": True,
            "epochs": self.epochs,
            "samples": self.samples,
            "state_hash": self.comparisons[-1].state_hash,
            "model_hash": self.comparisons[-1].model_hash,
            "cycles_per_sample": self.cycles_per_sample,
            "cycles": self.cycles,
            "triggered": sum(comparison.triggered for comparison in self.comparisons) / max(1, self.samples),
            "row_updates_per_sample": (
                sum(comparison.row_updates for comparison in self.comparisons) / max(1, self.samples)),
            "model_seconds_per_sample": self.model_seconds_per_sample,
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
        }


def replay(accelerator: Accelerator, training: Training, dataset: Dataset, *, epochs: int, batches: int = 0,
           on_batch: Callable[[int, int], None] = lambda done, total: None,
           on_comparison: Callable[[Comparison], None] = lambda comparison: None) -> Replay:
    """Load the training's state into the accelerator and train both, batch by batch in the training's order.

    After every batch predictions, triggers, row updates and saturations are compared; at the end of every epoch
    each counter, each visible weight, the statistics, the hashes of the states, and the predictions for the whole
    validation part. A learner that changes its `config` between epochs has the program written anew.

    Parameters
    ----------
    training
        Of a hardware learner, at the start of an epoch. It goes on as by `Training.run`.
    epochs
        Whole epochs to train.
    batches
        Batches to train after those.
    on_batch
        Called after each batch with the number of those done and to be done in all.
    on_comparison
        Called after each comparison.

    Raises
    ------
    Mismatch
        Something differed.
    """
    if training.batch:
        raise ValueError(f"training must be at the start of an epoch, not after {training.batch} batches")
    accelerator.load(training.learner.state)
    _compare_loaded(accelerator, training.learner.state)
    result = Replay()
    total = epochs * len(training.batches(dataset)) + batches
    done = 0
    while done < total:
        learner = training.learner
        if accelerator.network != learner.config:
            accelerator.change(learner.config)
        order = training.batches(dataset)
        whole = result.epochs < epochs
        if not whole:
            order = order[:total - done]
        tally = _Tally(accelerator.statistics())
        for index in order:
            where = f"epoch {training.epoch + 1}, batch {training.batch + 1}"
            inputs, labels = dataset.train.inputs[index], dataset.train.labels[index]
            started = time.perf_counter()
            expected = train_batch(learner.config, learner.state, inputs, labels)
            tally.model_seconds += time.perf_counter() - started
            got = accelerator.train_batch(inputs, labels)
            compare_steps(got, expected, where)
            tally.add(got, labels)
            training.batch += 1
            training.errors += int(np.count_nonzero(expected.predictions != labels))
            done += 1
            on_batch(done, total)
        where = f"after epoch {training.epoch + 1}, batch {training.batch}"
        comparison = _compare_all(accelerator, training, dataset, tally, where)
        result.comparisons.append(comparison)
        if whole:
            training.end_epoch(dataset)
            result.epochs += 1
        on_comparison(comparison)
    return result


@dataclass
class _Tally:
    before: dict[str, int]
    batches: int = 0
    samples: int = 0
    errors: int = 0
    triggered: int = 0
    row_updates: int = 0
    saturations: int = 0
    model_seconds: float = 0.0

    def add(self, step: StepResult, labels: np.ndarray) -> None:
        self.batches += 1
        self.samples += len(labels)
        self.errors += int(np.count_nonzero(step.predictions != labels))
        self.triggered += int(np.count_nonzero(step.triggered))
        self.row_updates += step.row_updates
        self.saturations += step.saturations


def compare_steps(got: StepResult, expected: StepResult, where: str) -> None:
    """Raise Mismatch unless a batch did the same on both sides."""
    for name in ("predictions", "triggered"):
        _equal(getattr(got, name), getattr(expected, name), f"{where}: {name}")
    for name in ("row_updates", "saturations"):
        if getattr(got, name) != getattr(expected, name):
            raise Mismatch(f"{where}: {getattr(got, name)} {name}, the model has {getattr(expected, name)}")


def compare_states(got: State, expected: State, where: str) -> None:
    """Raise Mismatch unless every counter, every visible weight and the hashes are equal."""
    for layer, (ours, theirs) in enumerate(zip(got.counters, expected.counters, strict=True), 1):
        _equal(ours, theirs, f"{where}: counters of layer {layer}")
        _equal(visible(ours), visible(theirs), f"{where}: weights of layer {layer}")
    if got.digest() != expected.digest():
        raise Mismatch(f"{where}: state {got.digest()}, the model has {expected.digest()}")


def _compare_loaded(accelerator: Accelerator, state: State) -> None:
    compare_states(accelerator.read_state(), state, "as loaded")


def _compare_all(accelerator: Accelerator, training: Training, dataset: Dataset, tally: _Tally,
                 where: str) -> Comparison:
    now = accelerator.statistics()
    cycles = {name: now[name] - tally.before[name] for name in STATISTICS}
    for name in ("samples", "triggered", "row_updates", "saturations"):
        if cycles[name] != getattr(tally, name):
            raise Mismatch(f"{where}: statistics count {cycles[name]} {name}, the model {getattr(tally, name)}")
    learner = training.learner
    state = accelerator.read_state()
    compare_states(state, learner.state, where)
    # Predictions come from the weights as the array sees them, not from the counters.
    validation = accelerator.infer(dataset.validation.inputs)
    _equal(validation, learner.predict(dataset.validation.inputs), f"{where}: predictions for validation")
    return Comparison(
        epoch=training.epoch + 1, batches=tally.batches, samples=tally.samples, triggered=tally.triggered,
        row_updates=tally.row_updates, saturations=tally.saturations,
        training=1 - tally.errors / tally.samples, validation=accuracy(validation, dataset.validation.labels),
        state_hash=state.digest(), model_hash=learner.state.digest(), cycles=cycles,
        model_seconds=tally.model_seconds)


def _equal(got: np.ndarray, expected: np.ndarray, what: str) -> None:
    if got.shape != expected.shape:
        raise Mismatch(f"{what}: shape {got.shape}, the model has {expected.shape}")
    places = np.argwhere(got != expected)
    if len(places):
        place = tuple(places[0].tolist())
        raise Mismatch(f"{what}: {len(places)} of {got.size} differ, first at {list(place)}: "
                       f"{got[place]}, the model has {expected[place]}")
