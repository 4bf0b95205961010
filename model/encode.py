"""From measured values to ±1 inputs.

Every encoder takes values `(n, features)` or `(n, …)`, which are flattened, learns its thresholds in `fit`
and returns ±1 int8 in `transform`. A value at a threshold or above it gives +1.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "DistributiveThermometerEncoder",
    "Encoder",
    "GlobalMedianEncoder",
    "MedianEncoder",
    "ThermometerEncoder",
    "ThresholdEncoder",
    "compare",
]


def compare(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """±1 int8 `(n, features · bits)` of `values` `(n, features)` against `thresholds` `(features, bits)`.

    Feature by feature, within a feature in the order of its thresholds: input `f · bits + b` is +1 where
    `values[:, f] ≥ thresholds[f, b]`.
    """
    over = values[:, :, None] >= thresholds
    return np.where(over, 1, -1).astype(np.int8).reshape(len(values), -1)


class Encoder:
    """Common part: checks, and `transform` by the fitted `thresholds` `(features, bits)`.

    Raises ValueError on values that are not numbers, NaN or infinite, on an empty array, and on another
    number of features than in `fit`; RuntimeError on `transform` before `fit`.
    """

    thresholds: np.ndarray | None = None

    def fit(self, values) -> Encoder:
        """Learn the thresholds from `values`; returns the encoder."""
        values = _table(values)
        self.thresholds = np.broadcast_to(self._thresholds(values), (values.shape[1], self._bits()))
        return self

    def transform(self, values) -> np.ndarray:
        """The code of `values`: ±1 int8 `(n, features · bits)`."""
        if self.thresholds is None:
            raise RuntimeError(f"{type(self).__name__}.transform needs fit first")
        values = _table(values)
        if values.shape[1] != len(self.thresholds):
            raise ValueError(f"values must have {len(self.thresholds)} features, not {values.shape[1]}")
        return compare(values, self.thresholds)

    def fit_transform(self, values) -> np.ndarray:
        """`fit(values).transform(values)`."""
        return self.fit(values).transform(values)

    def _bits(self) -> int:
        return 1

    def _thresholds(self, values: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class MedianEncoder(Encoder):
    """One bit a feature: is it above the feature's median? At the median or below: -1."""

    def _thresholds(self, values):
        return np.nextafter(np.median(values, axis=0)[:, None], np.inf)


class GlobalMedianEncoder(Encoder):
    """One bit a feature: is it above the median of all features together? For Fashion-MNIST: is the pixel >
    0?"""

    def _thresholds(self, values):
        return np.nextafter(np.full((1, 1), np.median(values)), np.inf)


class ThresholdEncoder(Encoder):
    """A thermometer with the same given thresholds for every feature.

    thresholds
        Ascending numbers, at least one.
    """

    def __init__(self, thresholds):
        self.levels = np.asarray(thresholds, dtype=np.float64)
        if self.levels.ndim != 1 or not len(self.levels) or not (np.diff(self.levels) > 0).all():
            raise ValueError(f"thresholds must be ascending, at least one, not {thresholds!r}")

    def _bits(self):
        return len(self.levels)

    def _thresholds(self, values):
        return self.levels


class ThermometerEncoder(Encoder):
    """`bits` thresholds a feature, equally spaced between its least and its greatest value."""

    def __init__(self, bits: int):
        self.bits = _check_bits(bits)

    def _bits(self):
        return self.bits

    def _thresholds(self, values):
        low, high = values.min(axis=0), values.max(axis=0)
        fractions = np.arange(1, self.bits + 1) / (self.bits + 1)
        return low[:, None] + (high - low)[:, None] * fractions


class DistributiveThermometerEncoder(Encoder):
    """`bits` thresholds a feature, at its empirical quantiles 1/(bits+1) … bits/(bits+1)."""

    def __init__(self, bits: int):
        self.bits = _check_bits(bits)

    def _bits(self):
        return self.bits

    def _thresholds(self, values):
        fractions = np.arange(1, self.bits + 1) / (self.bits + 1)
        return np.quantile(values, fractions, axis=0).T


def _check_bits(bits: int) -> int:
    if not isinstance(bits, int | np.integer) or not 1 <= bits <= 256:
        raise ValueError(f"bits must be an integer from 1 to 256, not {bits!r}")
    return int(bits)


def _table(values) -> np.ndarray:
    """Values as a float64 `(n, features)` array, checked."""
    try:
        values = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"values must be numbers: {error}") from None
    if values.ndim < 2 or not values.size:
        raise ValueError(f"values must be (n, features), neither of them 0, not {values.shape}")
    values = values.reshape(len(values), -1)
    if not np.isfinite(values).all():
        row, feature = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"values must be finite; row {row}, feature {feature} is {values[row, feature]}")
    return values
