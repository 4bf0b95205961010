"""The fixed classifier: a binary equiangular frame, C prototypes as far from one another as ±1 rows can
be."""

from __future__ import annotations

import numpy as np

from .random import CLASSIFIER, generator


def equiangular_frame(
    classes: int, width: int, seed: int = 0, *, spread_weight: int | None = None, sweeps: int = 50
) -> np.ndarray:
    """Prototypes whose inner products are low and alike (App. C): ±1 int8 `(classes, width)`.

    Minimises `J = Σ_{i<j} ⟨ρ_i,ρ_j⟩ + α·Var_{i<j} ⟨ρ_i,ρ_j⟩` from a random start by random single-bit flips,
    accepting those that lower J, until a whole sweep over all bits finds none or `sweeps` are done. No matrix
    product in floating point decides anything, so a seed gives the same rows on every machine. Two classes
    come out antipodal.

    Parameters
    ----------
    classes, width
        Rows (≥ 2) and columns (≥ 1).
    seed
        Not negative; seeds the start and the order of flips.
    spread_weight
        α ≥ 0, the weight of the variance. Default: an eighth of the number of pairs, the largest that keeps
        the mean inner product at its minimum for 3 to 100 classes.
    sweeps
        Most sweeps, ≥ 0.

    Raises
    ------
    ValueError
        An argument is out of its range.
    """
    pairs = classes * (classes - 1) // 2
    if spread_weight is None:
        spread_weight = max(1, pairs // 8)
    if classes < 2 or width < 1 or spread_weight < 0 or sweeps < 0 or seed < 0:
        raise ValueError(
            "equiangular_frame needs classes ≥ 2, width ≥ 1, seed, spread_weight and sweeps ≥ 0, not "
            f"{classes}, {width}, {seed}, {spread_weight}, {sweeps}"
        )
    rng = generator(seed, CLASSIFIER)
    rows = rng.choice(np.array([-1, 1], dtype=np.int64), size=(classes, width))
    products = rows @ rows.T
    np.fill_diagonal(products, 0)
    total = int(products.sum()) // 2
    for _ in range(sweeps):
        flipped = False
        for c in rng.permutation(classes):
            # One matrix product prices every flip of the row; only those that looked worth it are tried, each
            # priced again, since the flips before it have changed the products.
            column_sums = rows.sum(axis=0) - rows[c]
            totals = -2 * rows[c] * column_sums
            squares = -4 * rows[c] * (products[c] @ rows) + 4 * (classes - 1)
            spread = squares - totals * (2.0 * total + totals) / pairs
            gains = pairs * totals + spread_weight * spread
            for k in rng.permutation(np.flatnonzero(gains < 0)):
                step = -2 * rows[c, k] * rows[:, k]
                step[c] = 0
                d_total = int(step.sum())
                d_square = int((step * (2 * products[c] + step)).sum())
                d_spread = pairs * d_square - d_total * (2 * total + d_total)
                if pairs * pairs * d_total + spread_weight * d_spread < 0:
                    rows[c, k] = -rows[c, k]
                    products[c] += step
                    products[:, c] += step
                    total += d_total
                    flipped = True
        if not flipped:
            break
    return rows.astype(np.int8)
