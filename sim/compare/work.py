"""What every target is given to do, and what the golden model makes of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...model.config import NetworkConfig
from ...model.data import Dataset, load_dataset, random_prototypes
from ...model.initial import initial_state
from ...model.learners import HardwareLearner
from ...model.presets import DIGITS_BATCH, digits_network
from ...model.step import State, infer, train_unbounded
from ...model.trainer import Training
from ..workload import Workload

__all__ = ["EPOCHS", "SAMPLES", "Work", "all_triggered", "always_triggered", "dataset_of", "network_of",
           "real_training"]

SAMPLES = 64
"""Trained by every target, whose states are then compared."""

EPOCHS = 10
"""Of the training that a real training's samples are taken from: by then counters have spread and margins grown."""

PROTOTYPE_FLIP, PROTOTYPES = 0.44, 2000
"""The data of a real training where none of the network's width is at hand: fetching is not for a measurement."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Samples to train on from a state, and what the golden model does with them.

    Members
    -------
    name
        For people.
    network
        With the margin that decides what triggers.
    batch
        Samples a batch.
    start
        State before.
    inputs, labels
        ±1 int8 `(n, K_0)` and int64 `(n,)`.
    end
        The model's state after all samples.
    trained_predictions, inferred_predictions
        The model's: made while training, and of the same samples afterwards.
    triggered, row_updates, saturations
        The model's statistics over all samples.
    """

    name: str
    network: NetworkConfig
    batch: int
    start: State
    inputs: np.ndarray
    labels: np.ndarray
    end: State
    trained_predictions: np.ndarray
    inferred_predictions: np.ndarray
    triggered: int
    row_updates: int
    saturations: int

    @classmethod
    def of(cls, name: str, network: NetworkConfig, batch: int, start: State, inputs: np.ndarray,
           labels: np.ndarray) -> Work:
        """Let the model train on these samples, from a copy of `start`, in batches of any size."""
        state, predictions, totals = start.copy(), [], np.zeros(3, dtype=np.int64)
        for first in range(0, len(labels), batch):
            part = slice(first, first + batch)
            result = train_unbounded(network, state, inputs[part], labels[part])
            predictions.append(result.predictions)
            totals += int(result.triggered.sum()), result.row_updates, result.saturations
        return cls(
            name=name, network=network, batch=batch, start=start, inputs=inputs, labels=labels, end=state,
            trained_predictions=np.concatenate(predictions), inferred_predictions=infer(network, state, inputs),
            triggered=int(totals[0]), row_updates=int(totals[1]), saturations=int(totals[2]))

    def in_batches(self, batch: int, repeat: int = 1) -> Work:
        """The same samples, `repeat` times over, in batches of another size."""
        return Work.of(self.name, self.network, batch, self.start, np.tile(self.inputs, (repeat, 1)),
                       np.tile(self.labels, repeat))

    @property
    def trigger_rate(self) -> float:
        """Part of the samples that triggers."""
        return self.triggered / len(self.labels)

    @property
    def digest(self) -> str:
        """`State.digest` of the model's state at the end."""
        return self.end.digest()


def network_of(layers: tuple[int, ...], counter_bits: int = 8,
               groups: tuple[int, ...] | None = None) -> NetworkConfig:
    """The network that is compared for these widths: the digits' preset where it has them, else ten classes and the
    rule's defaults; with other `groups`, if given."""
    preset = digits_network()
    network = preset if layers == preset.layers else NetworkConfig(layers=layers, classes=10)
    return dataclasses.replace(network, counter_bits=counter_bits, groups=groups or network.groups)


def all_triggered(network: NetworkConfig, batch: int, samples: int = SAMPLES) -> Work:
    """Random inputs from the initial state, each with a label that triggers: the most work a sample can be."""
    workload = Workload(network=network, batch=min(batch, 32))
    network, state = workload.network, workload.initial_state()
    taken = list(workload.batches(state, -(-samples // workload.batch)))
    inputs = np.concatenate([part for part, _, _ in taken])[:samples]
    labels = np.concatenate([part for _, part, _ in taken])[:samples]
    return Work.of("all triggered", network, workload.batch, workload.initial_state(), inputs, labels)


def always_triggered(network: NetworkConfig, samples: int) -> Work:
    """Any number of random samples from the initial state, with a margin that nothing reaches: for timing, where 64
    samples are too few and the labels of `all_triggered` would hold for one batch size only."""
    network = NetworkConfig.from_dict(network.to_dict() | {"margin": 2 * network.layers[-1] + 1})
    rng = np.random.default_rng(network.seed)
    inputs = rng.choice(np.array([-1, 1], dtype=np.int8), (samples, network.layers[0]))
    return Work.of("all triggered", network, 32, initial_state(network), inputs,
                   rng.integers(0, network.classes, samples))


@lru_cache
def dataset_of(network: NetworkConfig) -> Dataset:
    """The data of a real training: digits for the digits' preset, else prototypes, which have any width."""
    if network == digits_network():
        return load_dataset("digits")
    return random_prototypes(PROTOTYPE_FLIP, train=PROTOTYPES, validation=500, test=500, width=network.layers[0],
                             classes=network.classes)


def real_training(network: NetworkConfig, batch: int, samples: int = SAMPLES) -> Work:
    """The samples that follow after `EPOCHS` epochs of a training, from the state it then has."""
    dataset = dataset_of(network)
    state, order = _late(network)
    order = np.resize(order, samples)
    name = "digits" if network == digits_network() else "prototypes"
    return Work.of(f"real training: {name}", network, min(batch, 32), state,
                   dataset.train.inputs[order], dataset.train.labels[order].astype(np.int64))


@lru_cache
def _late(network: NetworkConfig) -> tuple[State, np.ndarray]:
    """The state after `EPOCHS` epochs, and the order of samples in the next."""
    dataset = dataset_of(network)
    training = Training(HardwareLearner(network, initial_state(network), batch=DIGITS_BATCH))
    for _ in training.run(dataset, EPOCHS):
        pass
    return training.learner.state, np.concatenate(training.batches(dataset))
