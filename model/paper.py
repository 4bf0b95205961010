"""The rule as published: integer hidden weights, any batch, a group schedule, Bernoulli reinforcement.

Forward pass, trigger, backward pass and winners are those of the hardware rule (`step`). What differs: H is
stored itself, the steps of a batch are summed before they are applied, winners are judged by the whole |z|,
groups grow when validation stagnates, and reinforcement falls on all weights at random.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .blas import one_thread
from .classifier import equiangular_frame
from .initial import initial_counters
from .random import REINFORCEMENT, generator
from .step import StepResult, backward, forward, matvec, trigger, visible, winners

__all__ = [
    "PaperConfig",
    "PaperState",
    "initial_paper_state",
    "next_group",
    "paper_infer",
    "paper_train_batch",
]

HIDDEN_LIMIT = (1 << 15) - 1
"""Hidden weights are odd int16 and saturate at ± this."""


@dataclass(frozen=True, kw_only=True)
class PaperConfig:
    """A binary multi-layer perceptron trained by the paper's rule.

    Parameters
    ----------
    layers, classes, seed
        As in `NetworkConfig`.
    margin_ratio
        r, 0 … 1: a sample triggers when its logit leads by less than r·K_L (Eq. 1).
    gate_ratio
        ν, 0 … 1: neuron i of layer l passes the error back when |z| ≤ ν·K_{l-1}.
    reinforcement_ratio
        p_r, 0 … 1.
    group
        γ_0, the members of a group at the start; in each layer the largest divisor of its width not above it.
    patience
        Epochs without a better validation after which every layer's γ moves to the next larger divisor of its
        width; 0 keeps γ.
    paper_ties
        True takes a zero vote as +1, as printed; False (default) as no opinion.

    Raises
    ------
    ValueError
        A field is out of its range.
    """

    layers: tuple[int, ...]
    classes: int
    margin_ratio: float = 0.5
    gate_ratio: float = 0.25
    reinforcement_ratio: float = 0.5
    group: int = 15
    patience: int = 0
    paper_ties: bool = False
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(int(width) for width in self.layers))
        if len(self.layers) < 2 or min(self.layers) < 1:
            raise ValueError(
                f"layers must be an input width and at least one layer, all ≥ 1, not {self.layers}"
            )
        for name in ("margin_ratio", "gate_ratio", "reinforcement_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        for name, low in (("classes", 2), ("group", 1), ("patience", 0), ("seed", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, not {getattr(self, name)}")

    @property
    def depth(self) -> int:
        """L."""
        return len(self.layers) - 1

    @property
    def margin(self) -> int:
        """Leads are integers: less than r·K_L is less than its ceiling."""
        return math.ceil(self.margin_ratio * self.layers[-1])

    @property
    def gates(self) -> tuple[int, ...]:
        """|z| ≤ ν·fan-in is |z| ≤ its floor; one entry a layer."""
        return tuple(math.floor(self.gate_ratio * fan_in) for fan_in in self.layers[:-1])

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shapes of W_1 … W_L: `(K_l, K_{l-1})`."""
        return list(zip(self.layers[1:], self.layers[:-1], strict=True))

    def initial_groups(self) -> tuple[int, ...]:
        """γ_0 of each layer."""
        return tuple(
            max(g for g in range(1, min(self.group, width) + 1) if width % g == 0)
            for width in self.layers[1:]
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready fields; `PaperConfig(**fields)` is the inverse."""
        return asdict(self) | {"layers": list(self.layers)}


@dataclass
class PaperState:
    """All that training changes, and the fixed classifier.

    hidden
        H: one odd int16 `(K_l, K_{l-1})` array a layer.
    classifier
        ±1 int8 `(C, K_L)`.
    groups
        γ of each layer now.
    error
        E_e, the training error rate of the previous epoch; 1 before the first.
    batches
        Batches trained so far.
    waited
        Epochs since validation was best or γ last moved.
    """

    hidden: list[np.ndarray]
    classifier: np.ndarray
    groups: tuple[int, ...]
    error: float = 1.0
    batches: int = 0
    waited: int = 0

    def weights(self) -> list[np.ndarray]:
        """Visible weights sign(H), ±1 int8."""
        return [visible(h) for h in self.hidden]


def initial_paper_state(config: PaperConfig) -> PaperState:
    """H uniform in {-3, -1, 1, 3}, the same numbers as the hardware rule's counters; all from
    `config.seed`."""
    return PaperState(
        [2 * k + 1 for k in initial_counters(config.layers, config.seed)],
        equiangular_frame(config.classes, config.layers[-1], config.seed),
        config.initial_groups(),
    )


def next_group(group: int, width: int) -> int:
    """The next larger divisor of `width`, or `group` when it is the width already."""
    return next((g for g in range(group + 1, width + 1) if width % g == 0), group)


@one_thread
def paper_train_batch(
    config: PaperConfig, state: PaperState, inputs: np.ndarray, labels: np.ndarray
) -> StepResult:
    """Train on one batch of any size in place (Eq. 1–9, then CP+R reinforcement).

    inputs: ±1 int8 `(batch, K_0)`. labels: int64 `(batch,)`. `saturations` of the result counts the hidden
    weights that were clipped.
    """
    weights = state.weights()
    activations, sums = forward(weights, inputs)
    logits = matvec(activations[-1], state.classifier)
    triggered = trigger(config.margin, logits, labels)
    chosen = np.flatnonzero(triggered)
    activations, sums = [a[chosen] for a in activations], [z[chosen] for z in sums]
    desired = backward(config, weights, sums, state.classifier[labels[chosen]], config.paper_ties)
    row_updates, saturations = paper_update_layers(config, state, activations, sums, desired)
    return StepResult(logits.argmax(axis=1), triggered, row_updates, saturations)


def paper_update_layers(
    config: PaperConfig,
    state: PaperState,
    activations: list[np.ndarray],
    sums: list[np.ndarray],
    desired: list[np.ndarray],
) -> tuple[int, int]:
    """Winner takes update in every layer, then reinforcement if any row was updated; in place. Ends the batch.

    Arguments and result as in `step.update_layers`.
    """
    row_updates = saturations = 0
    for layer, h in enumerate(state.hidden):
        wrong = (desired[layer] != 0) & (desired[layer] != activations[layer + 1])
        mask = winners(np.abs(sums[layer]), wrong, state.groups[layer])
        if not mask.any():
            continue
        saturations += add_steps(h, 2 * matvec((mask * desired[layer]).T, activations[layer].T))
        row_updates += int(np.count_nonzero(mask))
    if row_updates:
        paper_reinforce(config, state)
    state.batches += 1
    return row_updates, saturations


def add_steps(h: np.ndarray, steps: np.ndarray) -> int:
    """`h + steps` in place, saturating at ± `HIDDEN_LIMIT`; returns how many weights were clipped."""
    moved = h + steps
    wanted = moved.copy()
    np.clip(moved, -HIDDEN_LIMIT, HIDDEN_LIMIT, out=moved)
    h[:] = moved
    return int(np.count_nonzero(moved != wanted))


@one_thread
def paper_infer(config: PaperConfig, state: PaperState, inputs: np.ndarray) -> np.ndarray:
    """Predicted classes, int64 `(n,)`, of ±1 `inputs`: argmax, lowest index on a tie."""
    activations, _ = forward(state.weights(), inputs)
    return matvec(activations[-1], state.classifier).argmax(axis=1)


def end_paper_epoch(config: PaperConfig, state: PaperState, error: float, improved: bool) -> None:
    """Between epochs: note the training error rate, and let γ grow when validation has stagnated."""
    state.error = error
    state.waited = 0 if improved else state.waited + 1
    if config.patience and state.waited >= config.patience:
        state.waited = 0
        widths = config.layers[1:]
        state.groups = tuple(next_group(g, width) for g, width in zip(state.groups, widths, strict=True))


def paper_reinforce(config: PaperConfig, state: PaperState) -> None:
    """`h ← h + 2·sign(h)` with probability `p_r·sqrt(2/(π·K_{l-1}))·sqrt(E_e)` for each weight by itself.

    Drawn as the number of weights first, then which: the same distribution as one draw a weight, at a
    fraction of the cost, since few are picked.
    """
    for layer, h in enumerate(state.hidden):
        probability = config.reinforcement_ratio * math.sqrt(2 / (math.pi * h.shape[1]) * state.error)
        rng = generator(config.seed, REINFORCEMENT, state.batches, layer)
        picked = rng.choice(h.size, rng.binomial(h.size, min(1.0, probability)), replace=False, shuffle=False)
        flat = h.reshape(-1)
        values = flat[picked].astype(np.int32)
        flat[picked] = np.clip(values + np.where(values >= 0, 2, -2), -HIDDEN_LIMIT, HIDDEN_LIMIT)
