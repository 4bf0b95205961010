"""Recurrent networks: binary error propagation unrolled in time (BEP-TT, §3.5), many steps to one class.

`s_t = sign(W_xs a_t + W_ss s_{t-1})` for t = 1 … T with s_0 = +1, `s_y = sign(W_sy s_T)`, logits `P s_y`. Winners,
updates and reinforcement are those of the feed-forward rules; a winner is chosen once per sample and group and
serves every time step. Weight matrices are listed in the order xs, ss, sy.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .blas import one_thread
from .classifier import equiangular_frame
from .initial import counters_of_shapes, delay_line_counters
from .paper import HIDDEN_LIMIT, PaperState, add_steps, paper_reinforce
from .step import State, StepResult, matvec, occurrences, trigger, update_rows, visible, winners

__all__ = [
    "RecurrentConfig",
    "RecurrentCounterConfig",
    "Unrolled",
    "initial_recurrent_paper_state",
    "initial_recurrent_state",
    "recurrent_backward",
    "recurrent_forward",
    "recurrent_infer",
    "recurrent_paper_train_batch",
    "recurrent_train_batch",
]

RANKINGS = ("sum", "last")
INITIALS = ("random", "delay-line")


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """A binary recurrent network.

    Parameters
    ----------
    layers
        `(K_0, K_s, K_y)`: inputs a step, state, top layer.
    window
        T ≥ 1, steps of a sample; its inputs are T·K_0 wide, step by step.
    classes, margin_ratio, reinforcement_ratio, group, patience, seed
        As in `PaperConfig`.
    gate_ratio
        ν, 0 … 1: a neuron passes the error back when |z| ≤ ν·K_s, in the state and in the top layer.
    ranking
        How the winners of the state are found: "last" by the last step's |z| among the neurons wrong there,
        "sum" by |Σ_t s*_t z_t| among those where the sum is negative.
    initial
        Where W_xs and W_ss start: "random", or "delay-line", a state that holds the whole window
        (`delay_line_counters`). For a line the inputs are pairs of copies of one bit, and K_s is
        `(context - 1)·K_0 + 2·T·F` for some number of features F ≥ 1.
    context, taps
        Of a delay line: steps that a feature sees, 1 … T, and the bits it sums up, odd; see `delay_line_counters`.
    inertia
        Of a delay line: its counters start at k = inertia or -inertia - 1, or at their end where that is nearer.
    spread
        All other counters start uniform in -spread … spread - 1, ≥ 1.
    """

    layers: tuple[int, ...]
    classes: int
    window: int
    margin_ratio: float = 0.5
    gate_ratio: float = 0.2
    reinforcement_ratio: float = 0.5
    group: int = 16
    patience: int = 0
    ranking: str = "sum"
    initial: str = "random"
    context: int = 1
    taps: int = 1
    inertia: int = HIDDEN_LIMIT // 2
    spread: int = 2
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(int(width) for width in self.layers))
        if len(self.layers) != 3 or min(self.layers) < 1:
            raise ValueError(f"layers must be the widths of inputs, state and top layer, all ≥ 1, not {self.layers}")
        for name in ("margin_ratio", "gate_ratio", "reinforcement_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        lows = {"classes": 2, "window": 1, "group": 1, "patience": 0, "seed": 0}
        for name, low in (lows | {"context": 1, "taps": 1, "inertia": 0, "spread": 1}).items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, not {getattr(self, name)}")
        for name, known in (("ranking", RANKINGS), ("initial", INITIALS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        for name, high in (("inertia", HIDDEN_LIMIT // 2), ("spread", HIDDEN_LIMIT // 2 + 1)):
            if getattr(self, name) > high:
                raise ValueError(f"{name} must be at most {high}, not {getattr(self, name)}")
        if self.initial == "delay-line":
            self._check_line()

    def _check_line(self):
        inputs, state, _ = self.layers
        if inputs % 2:
            raise ValueError(f"a delay line needs every input bit twice, so an even number of inputs, not {inputs}")
        if self.context > self.window:
            raise ValueError(f"context must be at most the window, {self.window}, not {self.context}")
        if self.taps % 2 == 0 or self.taps > self.context * inputs // 2:
            raise ValueError(f"taps must be odd and at most {self.context * inputs // 2}, not {self.taps}")
        kept, step = (self.context - 1) * inputs, 2 * self.window
        if state <= kept or (state - kept) % step:
            near = kept + step * max(1, round((state - kept) / step))
            raise ValueError(
                f"a delay line of {self.window} steps with context {self.context} needs {kept} + {step}·features state "
                f"neurons, {near} for instance, not {state}"
            )

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shapes of W_xs, W_ss, W_sy."""
        inputs, state, top = self.layers
        return [(state, inputs), (state, state), (top, state)]

    @property
    def margin(self) -> int:
        """r·K_y, rounded up."""
        return math.ceil(self.margin_ratio * self.layers[2])

    @property
    def gate(self) -> int:
        """ν·K_s, rounded down."""
        return math.floor(self.gate_ratio * self.layers[1])

    @property
    def line_features(self) -> int:
        """F, features a step that a delay line holds."""
        return (self.layers[1] - (self.context - 1) * self.layers[0]) // (2 * self.window)

    def initial_groups(self) -> tuple[int, int]:
        """γ_0 of the state and of the top layer: the largest divisor of the width not above `group`."""
        return tuple(
            max(g for g in range(1, min(self.group, width) + 1) if width % g == 0) for width in self.layers[1:]
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready fields; the class called with them is the inverse."""
        return asdict(self) | {"layers": list(self.layers)}


@dataclass(frozen=True, kw_only=True)
class RecurrentCounterConfig(RecurrentConfig):
    """A binary recurrent network on saturating counters.

    counter_bits
        B, 2 … 16.
    reinforcement
        R as in `NetworkConfig`, once a sample and updated row, after the row's last step;
        `reinforcement_ratio` is not used.
    """

    counter_bits: int = 8
    reinforcement: int = 32

    def __post_init__(self):
        super().__post_init__()
        if not 2 <= self.counter_bits <= 16:
            raise ValueError(f"counter_bits must be from 2 to 16, not {self.counter_bits}")
        if self.reinforcement not in (0, *(1 << power for power in range(9))):
            raise ValueError(f"reinforcement must be 0 or a power of two up to 256, not {self.reinforcement}")
        if self.spread > self.counter_max + 1:
            raise ValueError(f"spread must be at most {self.counter_max + 1}, not {self.spread}")

    @property
    def counter_min(self) -> int:
        """Most negative counter."""
        return -(1 << (self.counter_bits - 1))

    @property
    def counter_max(self) -> int:
        """Most positive counter."""
        return (1 << (self.counter_bits - 1)) - 1


@dataclass(frozen=True)
class Unrolled:
    """A batch's forward pass.

    inputs
        a_1 … a_T: ±1 int8 `(batch, T, K_0)`.
    states
        s_0 … s_T: ±1 int8 `(batch, T + 1, K_s)`.
    sums
        z_1 … z_T: int32 `(batch, T, K_s)`.
    top, top_sums
        s_y and z_y: `(batch, K_y)`.
    """

    inputs: np.ndarray
    states: np.ndarray
    sums: np.ndarray
    top: np.ndarray
    top_sums: np.ndarray

    def of(self, samples: np.ndarray) -> Unrolled:
        """The same of some of the samples, by their indices."""
        return Unrolled(*(getattr(self, field.name)[samples] for field in dataclasses.fields(self)))


def initial_recurrent_state(config: RecurrentCounterConfig) -> State:
    """Counters, classifier and a sample count of 0, all from `config.seed`."""
    return State(_initial_counters(config, min(config.inertia, config.counter_max)), _classifier(config))


def initial_recurrent_paper_state(config: RecurrentConfig) -> PaperState:
    """H = 2k + 1 of the same counters k, as far as they do not saturate; all from `config.seed`."""
    counters = _initial_counters(config, config.inertia)
    return PaperState([2 * k + 1 for k in counters], _classifier(config), config.initial_groups())


def _initial_counters(config: RecurrentConfig, inertia: int) -> list[np.ndarray]:
    counters = counters_of_shapes(config.shapes, config.seed, config.spread)
    if config.initial == "delay-line":
        bits = config.layers[0] // 2
        counters[:2] = delay_line_counters(
            bits, config.window, config.line_features, config.context, config.taps, inertia, config.seed
        )
    return counters


def _classifier(config: RecurrentConfig) -> np.ndarray:
    return equiangular_frame(config.classes, config.layers[2], config.seed)


def recurrent_forward(config: RecurrentConfig, weights: list[np.ndarray], inputs: np.ndarray) -> Unrolled:
    """The network unrolled over `inputs` ±1 `(batch, T·K_0)`; sign(0) = +1."""
    xs, ss, sy = weights
    batch, steps, width = len(inputs), config.window, config.layers[1]
    inputs = inputs.reshape(batch, steps, config.layers[0])
    sums = matvec(inputs.reshape(batch * steps, -1), xs).reshape(batch, steps, width)
    states = np.ones((batch, steps + 1, width), dtype=np.int8)
    for t in range(steps):
        sums[:, t] += matvec(states[:, t], ss)
        states[:, t + 1] = visible(sums[:, t])
    top_sums = matvec(states[:, steps], sy)
    return Unrolled(inputs, states, sums, visible(top_sums), top_sums)


def recurrent_backward(
    config: RecurrentConfig, weights: list[np.ndarray], unrolled: Unrolled, targets: np.ndarray
) -> np.ndarray:
    """Desired states s*_1 … s*_T: int8 `(batch, T, K_s)`, 0 where a neuron has no opinion.

    `s*_T = sign(W_sy^T (g_y ⊙ s*_y))`, `s*_t = sign(W_ss^T (g_{t+1} ⊙ s*_{t+1}))`.
    """
    _, ss, sy = weights
    desired = np.zeros(unrolled.sums.shape, dtype=np.int8)
    gate = np.abs(unrolled.top_sums) <= config.gate
    desired[:, -1] = np.sign(matvec(gate * targets, sy.T))
    for t in range(config.window - 1, 0, -1):
        passed = (np.abs(unrolled.sums[:, t]) <= config.gate) * desired[:, t]
        if not passed.any():
            break
        desired[:, t - 1] = np.sign(matvec(passed, ss.T))
    return desired


def _state_winners(config: RecurrentConfig, unrolled: Unrolled, desired: np.ndarray, group: int):
    """Which state neuron of each group is updated: bool `(batch, K_s)`."""
    if config.ranking == "last":
        wrong = (desired[:, -1] != 0) & (desired[:, -1] != unrolled.states[:, -1])
        return winners(np.abs(unrolled.sums[:, -1]), wrong, group)
    agreement = np.einsum("bts,bts->bs", desired.astype(np.int32), unrolled.sums)
    return winners(np.abs(agreement), agreement < 0, group)


def _top_winners(unrolled: Unrolled, targets: np.ndarray, group: int) -> np.ndarray:
    wrong = (targets != 0) & (targets != unrolled.top)
    return winners(np.abs(unrolled.top_sums), wrong, group)


@one_thread
def recurrent_paper_train_batch(
    config: RecurrentConfig, state: PaperState, inputs: np.ndarray, labels: np.ndarray
) -> StepResult:
    """Train on one batch of any size in place, integer weights and Bernoulli reinforcement as published."""
    weights = state.weights()
    unrolled = recurrent_forward(config, weights, inputs)
    logits = matvec(unrolled.top, state.classifier)
    triggered = trigger(config.margin, logits, labels)
    # A sample that does not trigger wants nothing.
    wanting = np.flatnonzero(triggered)
    unrolled, targets = unrolled.of(wanting), state.classifier[labels[wanting]]
    desired = recurrent_backward(config, weights, unrolled, targets)
    chosen = _state_winners(config, unrolled, desired, state.groups[0])
    top_chosen = _top_winners(unrolled, targets, state.groups[1])
    # The sums over samples and time are one matrix product each; before `first` no neuron has an opinion.
    first = int(np.argmax(desired.any(axis=(0, 2)))) if desired.size else 0
    width = config.layers[1]
    steps = (desired[:, first:] * chosen[:, None]).reshape(-1, width)
    before = unrolled.states[:, first:-1].reshape(-1, width)
    heard = unrolled.inputs[:, first:].reshape(-1, config.layers[0])
    saturations = add_steps(state.hidden[0], 2 * matvec(steps.T, heard.T))
    saturations += add_steps(state.hidden[1], 2 * matvec(steps.T, before.T))
    saturations += add_steps(state.hidden[2], 2 * matvec((targets * top_chosen).T, unrolled.states[:, -1].T))
    row_updates = 2 * int(np.count_nonzero(chosen)) + int(np.count_nonzero(top_chosen))
    if row_updates:
        paper_reinforce(config, state)
    state.batches += 1
    return StepResult(logits.argmax(axis=1), triggered, row_updates, saturations)


@one_thread
def recurrent_train_batch(
    config: RecurrentCounterConfig, state: State, inputs: np.ndarray, labels: np.ndarray
) -> StepResult:
    """Train on one batch in place: W is held, the counters take sample by sample and, within one, step by step."""
    weights = state.weights()
    unrolled = recurrent_forward(config, weights, inputs)
    logits = matvec(unrolled.top, state.classifier)
    triggered = trigger(config.margin, logits, labels)
    targets = state.classifier[labels] * triggered[:, None]
    desired = recurrent_backward(config, weights, unrolled, targets)
    groups = config.initial_groups()
    chosen = _state_winners(config, unrolled, desired, groups[0])
    top_chosen = _top_winners(unrolled, targets, groups[1])
    saturations = 0
    for k, mask, wanted, values in (
        (state.counters[0], chosen, desired, unrolled.inputs),
        (state.counters[1], chosen, desired, unrolled.states[:, :-1]),
        (state.counters[2], top_chosen, targets[:, None], unrolled.states[:, -1:]),
    ):
        saturations += _count_steps(config, k, mask, wanted, values, state.samples)
    state.samples += len(labels)
    row_updates = 2 * int(np.count_nonzero(chosen)) + int(np.count_nonzero(top_chosen))
    return StepResult(logits.argmax(axis=1), triggered, row_updates, saturations)


def _count_steps(
    config: RecurrentCounterConfig, k: np.ndarray, mask: np.ndarray, desired: np.ndarray, values: np.ndarray, time: int
) -> int:
    """Step the counters `(K, n)` by `desired` `(batch, T, K)` times `values` `(batch, T, n)` where `mask` `(batch, K)`.

    Reinforcement comes with the last step. Returns how many steps were lost.
    """
    plain = dataclasses.replace(config, reinforcement=0)
    samples, rows = np.nonzero(mask)
    rounds = occurrences(rows)
    lost, last = 0, desired.shape[1] - 1
    for turn in range(rounds.max(initial=-1) + 1):
        mu, row = samples[rounds == turn], rows[rounds == turn]
        counters = k[row]
        for t in range(last + 1):
            steps = desired[mu, t, row][:, None] * values[mu, t]
            counters, events = update_rows(plain if t < last else config, counters, row, steps, time + mu)
            lost += events
        k[row] = counters
    return lost


@one_thread
def recurrent_infer(config: RecurrentConfig, state: State | PaperState, inputs: np.ndarray) -> np.ndarray:
    """Predicted classes, int64 `(n,)`, of ±1 `inputs` `(n, T·K_0)`: argmax, lowest index on a tie."""
    unrolled = recurrent_forward(config, state.weights(), inputs)
    return matvec(unrolled.top, state.classifier).argmax(axis=1)
