"""The epoch loop: order of samples, validation, the best snapshot, history. The same for every rule and
device."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import numpy as np

from .config import MAX_BATCH
from .data import Dataset
from .learners import Learner, with_weights
from .random import ORDER, generator

__all__ = ["EpochRecord", "Training", "accuracy", "epoch_batches", "hold_interrupts"]


def epoch_batches(seed: int, epoch: int, count: int, batch: int = MAX_BATCH) -> list[np.ndarray]:
    """The index arrays of every batch of epoch number `epoch` (from 0) over `count` samples, in order.

    Depends on the arguments only, so whoever replays a training (a device, a resumed run) sees the same
    batches. All hold `batch` samples but the last, which holds what is left.
    """
    if count < 1 or batch < 1:
        raise ValueError(f"count and batch must be at least 1, not {count} and {batch}")
    order = generator(seed, ORDER, epoch).permutation(count)
    return [order[start : start + batch] for start in range(0, count, batch)]


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of equal entries, 0 … 1."""
    return float(np.mean(predictions == labels))


@contextmanager
def hold_interrupts() -> Iterator[Callable[[], None]]:
    """Keep Ctrl-C and SIGTERM from leaving a training between two states; only in a program's main thread.

    Yields a function that raises KeyboardInterrupt if one has come: to be called where the training may be left.
    """
    came = False

    def note(number, frame):
        nonlocal came
        came = True

    def leave():
        if came:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield leave
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch reached, as fractions 0 … 1.

    epoch
        From 1.
    training
        Accuracy of the predictions made while training, each before its batch's update.
    validation
        Accuracy on the validation part after the epoch.
    best
        Whether no earlier epoch validated as well.
    """

    epoch: int
    training: float
    validation: float
    best: bool


@dataclass
class Training:
    """A training in progress: everything but the data that is needed to go on with the same bits.

    learner
        What is trained.
    epoch
        Epochs finished.
    batch
        Batches of the epoch in work that are done.
    errors
        Wrong predictions in those.
    history
        One record a finished epoch.
    best
        The learner's arrays after the epoch that validated best, the first of equals; None before the first.
    vote_from
        Epochs after which the votes begin: the visible weights after every later epoch are added up, and
        their signs are a network of the same shape (`majority_accuracy`). None: no votes.
    votes
        The sums so far, int64, one `(K_l, K_{l-1})` array a layer; None before the first vote.
    """

    learner: Learner
    epoch: int = 0
    batch: int = 0
    errors: int = 0
    history: list[EpochRecord] = field(default_factory=list)
    best: dict[str, np.ndarray] | None = None
    vote_from: int | None = None
    votes: list[np.ndarray] | None = None

    @property
    def best_record(self) -> EpochRecord | None:
        """The record of the epoch that `best` was taken after."""
        return next((record for record in reversed(self.history) if record.best), None)

    def batches(self, dataset: Dataset) -> list[np.ndarray]:
        """All batches of the epoch in work."""
        return epoch_batches(self.learner.seed, self.epoch, len(dataset.train.labels), self.learner.batch)

    def run(self, dataset: Dataset, epochs: int) -> Iterator[EpochRecord]:
        """Train until `epochs` are finished in all; yields each epoch's record as it ends.

        May be left between two batches or epochs (also by an exception) and called again. Not by Ctrl-C, which comes
        in the middle of a batch: see `hold_interrupts`.
        """
        while self.epoch < epochs:
            for _ in self.run_batches(dataset):
                pass
            yield self.end_epoch(dataset)

    def run_batches(self, dataset: Dataset) -> Iterator[int]:
        """Train on the batches left of the epoch in work; yields the number done after each."""
        train = dataset.train
        for index in self.batches(dataset)[self.batch :]:
            predictions = self.learner.train(train.inputs[index], train.labels[index])
            self.batch += 1
            self.errors += int(np.count_nonzero(predictions != train.labels[index]))
            yield self.batch

    def end_epoch(self, dataset: Dataset) -> EpochRecord:
        """Validate, keep the snapshot if it is the best, tell the learner; returns the record."""
        training = 1 - self.errors / len(dataset.train.labels)
        validation = accuracy(self.learner.predict(dataset.validation.inputs), dataset.validation.labels)
        best = self.best_record is None or validation > self.best_record.validation
        record = EpochRecord(self.epoch + 1, training, validation, best)
        self.history.append(record)
        if best:
            self.best = self.learner.arrays()
        if self.vote_from is not None and self.epoch >= self.vote_from:
            weights = [w.astype(np.int64) for w in self.learner.weights()]
            self.votes = weights if self.votes is None else [v + w for v, w in zip(self.votes, weights, strict=True)]
        self.epoch, self.batch, self.errors = self.epoch + 1, 0, 0
        self.learner.end_epoch(1 - training, best)
        return record

    def best_accuracy(self, inputs: np.ndarray, labels: np.ndarray) -> float:
        """Accuracy of the best snapshot; the learner is left as it was."""
        if self.best is None:
            raise RuntimeError("no epoch has been finished, so there is no best snapshot")
        return self._accuracy_of(self.best, inputs, labels)

    def majority(self) -> dict[str, np.ndarray]:
        """The learner's arrays with the majority of the votes as visible weights, +1 where they are equal.

        The counters are one step from a change of sign. RuntimeError before the first vote.
        """
        if self.votes is None:
            raise RuntimeError("no epoch has been voted on")
        return with_weights(self.learner.arrays(), [np.where(votes >= 0, 1, -1) for votes in self.votes])

    def majority_accuracy(self, inputs: np.ndarray, labels: np.ndarray) -> float:
        """Accuracy of `majority`; the learner is left as it was."""
        return self._accuracy_of(self.majority(), inputs, labels)

    def _accuracy_of(self, arrays: dict[str, np.ndarray], inputs: np.ndarray, labels: np.ndarray) -> float:
        current = self.learner.arrays()
        try:
            self.learner.load(arrays)
            return accuracy(self.learner.predict(inputs), labels)
        finally:
            self.learner.load(current)

    def progress(self) -> dict:
        """JSON-ready: epoch, batch, errors, history, vote_from."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "errors": self.errors,
            "history": [asdict(record) for record in self.history],
            "vote_from": self.vote_from,
        }
