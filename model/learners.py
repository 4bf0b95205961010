"""What trains: one object per rule with the same few methods, so that one loop serves them all."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .config import NetworkConfig
from .initial import initial_state
from .step import State, infer, train_batch

__all__ = ["HardwareLearner", "Learner"]

INFERENCE_BATCH = 2048
"""Samples inferred at once: bounds the memory of a prediction."""


class Learner(Protocol):
    """A network that trains batch by batch.

    rule
        Name of the rule, as in `bitprop train --rule`.
    batch
        Samples a batch, unless it is the last of an epoch.
    """

    rule: str
    batch: int

    @property
    def seed(self) -> int:
        """Seeds the order of samples."""

    def train(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Train on one batch; returns its predictions before the update, int64 `(batch,)`."""

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predicted classes, int64 `(n,)`."""

    def end_epoch(self, training_error: float, stagnant: int) -> None:
        """Told after each epoch: the error rate of the training predictions, 0 … 1, and how many epochs ago
        validation was best."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Copies of everything that training changes, by name."""

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `arrays` returned."""

    def describe(self) -> dict[str, Any]:
        """The JSON-ready configuration; with the rule it rebuilds the learner."""


class HardwareLearner:
    """The hardware rule (`step.train_batch`): what the accelerator computes, bit for bit.

    config
        The network.
    state
        Where to start; default `initial_state(config)`. It is trained in place.
    batch
        1 … 32 samples.
    """

    rule = "hardware"

    def __init__(self, config: NetworkConfig, state: State | None = None, batch: int = 32):
        self.config = config
        self.state = initial_state(config) if state is None else state
        self.batch = batch

    @property
    def seed(self) -> int:
        """Seeds the order of samples."""
        return self.config.seed

    def train(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Train on one batch of at most 32; returns its predictions."""
        return train_batch(self.config, self.state, inputs, labels).predictions

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predicted classes, int64 `(n,)`."""
        return np.concatenate(
            [
                infer(self.config, self.state, inputs[start : start + INFERENCE_BATCH])
                for start in range(0, len(inputs), INFERENCE_BATCH)
            ]
        )

    def end_epoch(self, training_error: float, stagnant: int) -> None:
        """Nothing changes between epochs."""

    def arrays(self) -> dict[str, np.ndarray]:
        """`counters_1` … `counters_L`, `classifier`, `samples`."""
        return state_arrays(self.state)

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `arrays` returned."""
        self.state = state_from_arrays(self.config, arrays)

    def describe(self) -> dict[str, Any]:
        """The network and the batch size."""
        return {"network": self.config.to_dict(), "batch": self.batch}


def state_arrays(state: State) -> dict[str, np.ndarray]:
    """Copies of a state's arrays by name: `counters_1` … `counters_L`, `classifier`, `samples`."""
    arrays = {f"counters_{layer}": k.copy() for layer, k in enumerate(state.counters, start=1)}
    return arrays | {"classifier": state.classifier.copy(), "samples": np.int64(state.samples)}


def state_from_arrays(config: NetworkConfig, arrays: dict[str, np.ndarray]) -> State:
    """The inverse of `state_arrays`; ValueError when a shape or a counter does not belong to `config`."""
    counters = []
    for layer, shape in enumerate(zip(config.layers[1:], config.layers[:-1], strict=True), start=1):
        k = np.array(arrays[f"counters_{layer}"], dtype=np.int16)
        if k.shape != shape:
            raise ValueError(f"counters of layer {layer} must be {shape}, not {k.shape}")
        if k.min() < config.counter_min or k.max() > config.counter_max:
            raise ValueError(f"counters of layer {layer} do not fit {config.counter_bits} bits")
        counters.append(k)
    classifier = np.array(arrays["classifier"], dtype=np.int8)
    if classifier.shape != (config.classes, config.layers[-1]) or not np.isin(classifier, (-1, 1)).all():
        raise ValueError(f"classifier must be ±1 ({config.classes}, {config.layers[-1]}), not {classifier.shape}")
    return State(counters, classifier, int(arrays["samples"]))
