"""The state a training starts from."""

from __future__ import annotations

import numpy as np

from .classifier import equiangular_frame
from .config import NetworkConfig
from .random import COUNTERS, generator
from .step import State

INITIAL_COUNTERS = (-2, 1)
"""Lowest and highest initial counter: h = 2k + 1 in {-3, -1, 1, 3}, one or two steps from a change of
sign."""


def initial_counters(layers: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Counters uniform in {-2 … 1}: one int16 `(K_l, K_{l-1})` array a layer. They fit any `counter_bits` ≥
    2."""
    return counters_of_shapes(list(zip(layers[1:], layers[:-1], strict=True)), seed)


def counters_of_shapes(shapes: list[tuple[int, int]], seed: int) -> list[np.ndarray]:
    """As `initial_counters`, for weight matrices of any shapes."""
    low, high = INITIAL_COUNTERS
    return [
        generator(seed, COUNTERS, number).integers(low, high + 1, size=shape, dtype=np.int16)
        for number, shape in enumerate(shapes)
    ]


def initial_state(config: NetworkConfig) -> State:
    """Counters, classifier (`equiangular_frame`) and a sample count of 0, all from `config.seed`."""
    classifier = equiangular_frame(config.classes, config.layers[-1], config.seed)
    return State(initial_counters(config.layers, config.seed), classifier)


def counters_from_weights(weights: list[np.ndarray]) -> list[np.ndarray]:
    """Initial counters whose visible weights are the given ±1 arrays, one step from a change of sign: 0 or
    -1.

    Raises ValueError when a value is not ±1.
    """
    for layer, weight in enumerate(weights):
        if not np.isin(weight, (-1, 1)).all():
            raise ValueError(f"weights of layer {layer + 1} must be ±1")
    return [np.where(np.asarray(weight) > 0, 0, -1).astype(np.int16) for weight in weights]
