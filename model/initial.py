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

TAPS = 3
"""Number of the draw of a delay line's taps, after those of the three matrices."""


def initial_counters(layers: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Counters uniform in {-2 … 1}: one int16 `(K_l, K_{l-1})` array a layer. They fit any `counter_bits` ≥
    2."""
    return counters_of_shapes(list(zip(layers[1:], layers[:-1], strict=True)), seed)


def counters_of_shapes(
    shapes: list[tuple[int, int]], seed: int, spread: int = INITIAL_COUNTERS[1] + 1
) -> list[np.ndarray]:
    """As `initial_counters`, for weight matrices of any shapes, uniform in {-spread … spread - 1}."""
    return [
        generator(seed, COUNTERS, number).integers(-spread, spread, size=shape, dtype=np.int16)
        for number, shape in enumerate(shapes)
    ]


def delay_line_counters(
    bits: int, window: int, features: int, context: int, taps: int, inertia: int, seed: int
) -> list[np.ndarray]:
    """Counters of a recurrent network's W_xs and W_ss that make its state a tapped delay line.

    A delay line (Rodan & Tiňo, *Minimum Complexity Echo State Network*, IEEE TNN 2011) needs weights of 0, which ±1
    matrices do not have. So every bit stands twice, in the inputs and in the state: a neuron hears a pair by two equal
    weights, and is deaf to it by two opposite ones, drawn at random, whose sum is exactly 0 while the two copies
    agree. The pairs of the state are, in this order, `copies` 2p and 2p + 1:

    - for i = 1 … context - 1 the `bits` bits of i - 1 steps ago;
    - for d = 0 … window - 1 the `features` features of d steps ago. A feature is the sign of the sum of `taps` bits of
      the last `context` steps, drawn at random, of which every second one is negated; with `taps` = 1 feature f is bit
      f mod `bits` of the step itself.

    Parameters
    ----------
    bits, features, context, taps
        As above, all ≥ 1; `taps` odd, so that a sum is never 0, and at most bits · context.
    window
        T, steps of a sample: after the last one the line holds the features of all of them.
    inertia
        |h| = 2 · inertia + 1 of all entries.

    Returns
    -------
    list
        int16 `(K_s, 2 · bits)` and `(K_s, K_s)`, `K_s = 2 · (bits · (context - 1) + features · window)`.
    """
    kept = bits * (context - 1)
    pairs = kept + features * window
    ears = np.zeros((pairs, bits + pairs), dtype=np.int8)  # inputs, then state: +1, -1, or 0 for deaf
    ears[np.arange(min(bits, kept)), np.arange(min(bits, kept))] = 1
    for pair in range(bits, kept):
        ears[pair, pair] = 1  # bits + (pair - bits): the same bit, one step younger
    rng = generator(seed, COUNTERS, TAPS)
    for f in range(features):
        # What a tap can hear lies side by side: the inputs, then the earlier steps' bits.
        heard = [f % bits] if taps == 1 else rng.choice(bits * context, taps, replace=False)
        ears[kept + f, heard] = 1 - 2 * (np.arange(taps) % 2)
    older = np.arange(kept + features, pairs)
    ears[older, bits + older - features] = 1
    counters = []
    for number, part in enumerate((ears[:, :bits], ears[:, bits:])):
        copies = np.repeat(part, 2, axis=0)[:, :, None]
        drawn = generator(seed, COUNTERS, number).integers(0, 2, size=copies.shape, dtype=np.int8) * 2 - 1
        signs = np.where(copies != 0, copies, drawn * np.array([1, -1], dtype=np.int8))
        counters.append(np.where(signs > 0, inertia, -inertia - 1).astype(np.int16).reshape(2 * pairs, -1))
    return counters


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
