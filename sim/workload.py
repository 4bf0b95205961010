"""Batches of which a chosen part triggers, for measuring cycles: the work is set, not what is learned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..model.config import MAX_BATCH, NetworkConfig
from ..model.initial import initial_state
from ..model.step import State, StepResult, forward, matvec, train_batch

__all__ = ["Workload"]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Random batches for a network, trained from its initial state.

    Parameters
    ----------
    network
        The network; its margin gives way to one with which `trigger` can be had.
    batch
        Samples a batch.
    trigger
        Part of each batch that triggers, 0 … 1; rounded to whole samples.

    Raises ValueError for a number out of its range.
    """

    network: NetworkConfig
    batch: int = MAX_BATCH
    trigger: float = 1.0

    def __post_init__(self):
        if not 1 <= self.batch <= MAX_BATCH:
            raise ValueError(f"batch must be from 1 to {MAX_BATCH}, not {self.batch}")
        if not 0 <= self.trigger <= 1:
            raise ValueError(f"trigger must be from 0 to 1, not {self.trigger}")
        # With this margin a sample triggers just if some other class has a larger logit than its label.
        object.__setattr__(self, "network", replace_margin(self.network, 0))

    def batches(self, state: State, count: int) -> Iterator[tuple[np.ndarray, np.ndarray, StepResult]]:
        """`count` times inputs, labels, and what training on them does; `state` is trained as they are taken."""
        rng = np.random.default_rng(self.network.seed)
        wanted = round(self.trigger * self.batch)
        for _ in range(count):
            inputs = rng.choice(np.array([-1, 1], dtype=np.int8), (self.batch, self.network.layers[0]))
            activations, _ = forward(state.weights(), inputs)
            logits = matvec(activations[-1], state.classifier)
            chosen = np.arange(self.batch) < wanted
            labels = np.where(rng.permutation(chosen), logits.argmin(axis=1), logits.argmax(axis=1))
            yield inputs, labels, train_batch(self.network, state, inputs, labels)

    def initial_state(self) -> State:
        """Where `batches` begins."""
        return initial_state(self.network)


def replace_margin(network: NetworkConfig, margin: int) -> NetworkConfig:
    """The network with another margin."""
    return NetworkConfig.from_dict(network.to_dict() | {"margin": margin})
