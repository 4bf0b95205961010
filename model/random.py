"""Random numbers that depend on a seed and a purpose only, never on what was drawn before.

Since no generator lives longer than one use, a resumed training needs no generator's state to draw the same
bits.
"""

from __future__ import annotations

import numpy as np

COUNTERS, CLASSIFIER, ORDER, REINFORCEMENT, DATA, EXPANSION = range(6)
"""Purposes: initial counters, prototypes, order of samples, the paper's reinforcement, data sets and their
splits, fixed random input expansion."""


def generator(seed: int, purpose: int, *counts: int) -> np.random.Generator:
    """A fresh generator for one `purpose`; `counts` number its uses (an epoch, a batch, a layer), all ≥ 0."""
    return np.random.default_rng([seed, purpose, *counts])
