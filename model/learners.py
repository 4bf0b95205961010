"""What trains: one object per rule with the same few methods, so that one loop serves them all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Protocol, get_args, get_origin, get_type_hints

import numpy as np

from .config import MAX_BATCH, NetworkConfig
from .initial import counters_from_weights, initial_counters, initial_state
from .local import local_classifiers, local_paper_train_batch, local_train_batch
from .paper import (
    PaperConfig,
    PaperState,
    end_paper_epoch,
    initial_paper_state,
    paper_infer,
    paper_train_batch,
)
from .recurrent import (
    RecurrentConfig,
    RecurrentCounterConfig,
    initial_recurrent_paper_state,
    initial_recurrent_state,
    recurrent_infer,
    recurrent_paper_train_batch,
    recurrent_train_batch,
)
from .step import State, infer, train_batch

__all__ = [
    "RULES",
    "HardwareLearner",
    "Learner",
    "LocalHardwareLearner",
    "LocalPaperLearner",
    "PaperLearner",
    "RecurrentHardwareLearner",
    "RecurrentPaperLearner",
    "build_learner",
    "state_arrays",
    "state_from_arrays",
    "with_weights",
]

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

    def weights(self) -> list[np.ndarray]:
        """Visible weights, ±1 int8, one `(K_l, K_{l-1})` array a layer."""

    def end_epoch(self, training_error: float, improved: bool) -> None:
        """Told after each epoch: the error rate of the training predictions, 0 … 1, and whether validation
        was better than ever before."""

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
        if not 1 <= batch <= MAX_BATCH:
            raise ValueError(f"batch must be from 1 to {MAX_BATCH}, not {batch}")
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
        return _in_pieces(lambda piece: infer(self.config, self.state, piece), inputs)

    def weights(self) -> list[np.ndarray]:
        """Visible weights, ±1 int8."""
        return self.state.weights()

    def end_epoch(self, training_error: float, improved: bool) -> None:
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


class PaperLearner:
    """The rule as published (`paper.paper_train_batch`).

    config
        The network.
    state
        Where to start; default `initial_paper_state(config)`. It is trained in place.
    batch
        At least 1 sample.
    """

    rule = "paper"

    def __init__(self, config: PaperConfig, state: PaperState | None = None, batch: int = 100):
        self.config = config
        self.state = initial_paper_state(config) if state is None else state
        if batch < 1:
            raise ValueError(f"batch must be at least 1, not {batch}")
        self.batch = batch

    @property
    def seed(self) -> int:
        """Seeds the order of samples."""
        return self.config.seed

    def train(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Train on one batch; returns its predictions."""
        return paper_train_batch(self.config, self.state, inputs, labels).predictions

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predicted classes, int64 `(n,)`."""
        return _in_pieces(lambda piece: paper_infer(self.config, self.state, piece), inputs)

    def weights(self) -> list[np.ndarray]:
        """Visible weights, ±1 int8."""
        return self.state.weights()

    def end_epoch(self, training_error: float, improved: bool) -> None:
        """Sets E_e of the next epoch and moves the group schedule."""
        end_paper_epoch(self.config, self.state, training_error, improved)

    def arrays(self) -> dict[str, np.ndarray]:
        """`hidden_1` … `hidden_L`, `classifier`, `groups`, `error`, `batches`, `waited`."""
        state = self.state
        return {f"hidden_{layer}": h.copy() for layer, h in enumerate(state.hidden, start=1)} | {
            "classifier": state.classifier.copy(),
            "groups": np.array(state.groups),
            "error": np.float64(state.error),
            "batches": np.int64(state.batches),
            "waited": np.int64(state.waited),
        }

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `arrays` returned."""
        hidden = [np.array(arrays[f"hidden_{layer}"]) for layer in range(1, len(self.config.shapes) + 1)]
        for layer, (h, shape) in enumerate(zip(hidden, self.config.shapes, strict=True), start=1):
            if h.shape != shape or h.dtype.kind != "i":
                raise ValueError(f"hidden weights of layer {layer} must be integers {shape}, not {h.dtype} {h.shape}")
        self.state = PaperState(
            hidden,
            np.array(arrays["classifier"]),
            tuple(int(group) for group in arrays["groups"]),
            float(arrays["error"]),
            int(arrays["batches"]),
            int(arrays["waited"]),
        )

    def describe(self) -> dict[str, Any]:
        """The network and the batch size."""
        return {"network": self.config.to_dict(), "batch": self.batch}


class LocalHardwareLearner(HardwareLearner):
    """The local rule on counters (`local.local_train_batch`); arguments as `HardwareLearner`.

    The layers' classifiers come from `config.seed`; the last one's is the network's.
    """

    rule = "local-hardware"

    def __init__(self, config: NetworkConfig, state: State | None = None, batch: int = 32):
        self.classifiers = local_classifiers(config.layers, config.classes, config.seed)
        if state is None:
            state = State(initial_counters(config.layers, config.seed), self.classifiers[-1].copy())
        super().__init__(config, state, batch)

    def train(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Train on one batch of at most 32; returns its predictions."""
        return local_train_batch(self.config, self.state, self.classifiers, inputs, labels).predictions


class LocalPaperLearner(PaperLearner):
    """The local rule as published (`local.local_paper_train_batch`); arguments as `PaperLearner`."""

    rule = "local"

    def __init__(self, config: PaperConfig, state: PaperState | None = None, batch: int = 100):
        self.classifiers = local_classifiers(config.layers, config.classes, config.seed)
        if state is None:
            state = initial_paper_state(config)
            state.classifier = self.classifiers[-1].copy()
        super().__init__(config, state, batch)

    def train(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Train on one batch; returns its predictions."""
        return local_paper_train_batch(self.config, self.state, self.classifiers, inputs, labels).predictions


class RecurrentHardwareLearner(HardwareLearner):
    """BEP-TT on counters (`recurrent.recurrent_train_batch`); arguments as `HardwareLearner`."""

    rule = "recurrent-hardware"

    def __init__(self, config: RecurrentCounterConfig, state: State | None = None, batch: int = 32):
        super().__init__(config, initial_recurrent_state(config) if state is None else state, batch)

    def train(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Train on one batch of at most 32; returns its predictions."""
        return recurrent_train_batch(self.config, self.state, inputs, labels).predictions

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predicted classes, int64 `(n,)`."""
        return _in_pieces(lambda piece: recurrent_infer(self.config, self.state, piece), inputs)


class RecurrentPaperLearner(PaperLearner):
    """BEP-TT as published (`recurrent.recurrent_paper_train_batch`); arguments as `PaperLearner`."""

    rule = "recurrent"

    def __init__(self, config: RecurrentConfig, state: PaperState | None = None, batch: int = 100):
        super().__init__(config, initial_recurrent_paper_state(config) if state is None else state, batch)

    def train(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Train on one batch; returns its predictions."""
        return recurrent_paper_train_batch(self.config, self.state, inputs, labels).predictions

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Predicted classes, int64 `(n,)`."""
        return _in_pieces(lambda piece: recurrent_infer(self.config, self.state, piece), inputs)


_RULES: dict[str, tuple[type, type]] = {
    "hardware": (HardwareLearner, NetworkConfig),
    "paper": (PaperLearner, PaperConfig),
    "local": (LocalPaperLearner, PaperConfig),
    "local-hardware": (LocalHardwareLearner, NetworkConfig),
    "recurrent": (RecurrentPaperLearner, RecurrentConfig),
    "recurrent-hardware": (RecurrentHardwareLearner, RecurrentCounterConfig),
}

RULES = tuple(_RULES)
"""Names of the rules."""


def build_learner(rule: str, description: dict[str, Any]) -> Learner:
    """A fresh learner of one of `RULES` from what its `describe` returned: `network`, the configuration's fields,
    and, if not the rule's default, `batch`. ValueError on an unknown rule or field.
    """
    if rule not in _RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")
    learner, config = _RULES[rule]
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in description["network"].items()}
    kinds = get_type_hints(config)
    for name, value in fields.items():
        if name not in kinds:
            raise ValueError(f"networks of the {rule} rule have no field {name!r}, but {', '.join(kinds)}")
        if not _is_of(value, kinds[name]):
            raise ValueError(f"{name} must be of type {getattr(kinds[name], '__name__', kinds[name])}, not {value!r}")
    missing = [field.name for field in dataclasses.fields(config) if field.name not in fields
               and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING]
    if missing:
        raise ValueError(f"networks of the {rule} rule need {', '.join(missing)}")
    return learner(config(**fields), **{key: value for key, value in description.items() if key != "network"})


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value out of JSON is of a field's type."""
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is_of(entry, get_args(kind)[0]) for entry in value)
    if get_args(kind):
        return any(_is_of(value, choice) for choice in get_args(kind))
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, {int: Integral, float: Real}.get(kind, kind))


def _in_pieces(predict: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """Predictions of all inputs, so many at a time that memory stays small."""
    starts = range(0, len(inputs), INFERENCE_BATCH)
    return np.concatenate([predict(inputs[start : start + INFERENCE_BATCH]) for start in starts])


def with_weights(arrays: dict[str, np.ndarray], weights: list[np.ndarray]) -> dict[str, np.ndarray]:
    """A learner's `arrays` with other visible weights, ±1, each one step from a change of sign."""
    changed = dict(arrays)
    for layer, counters in enumerate(counters_from_weights(weights), start=1):
        if f"counters_{layer}" in arrays:
            changed[f"counters_{layer}"] = counters
        else:
            changed[f"hidden_{layer}"] = 2 * counters + 1
    return changed


def state_arrays(state: State) -> dict[str, np.ndarray]:
    """Copies of a state's arrays by name: `counters_1` … `counters_L`, `classifier`, `samples`."""
    arrays = {f"counters_{layer}": k.copy() for layer, k in enumerate(state.counters, start=1)}
    return arrays | {"classifier": state.classifier.copy(), "samples": np.int64(state.samples)}


def state_from_arrays(config: NetworkConfig | RecurrentCounterConfig, arrays: dict[str, np.ndarray]) -> State:
    """The inverse of `state_arrays`; ValueError when a shape or a counter does not belong to `config`."""
    counters = []
    for layer, shape in enumerate(config.shapes, start=1):
        k = np.asarray(arrays[f"counters_{layer}"])
        if k.shape != shape or k.dtype.kind not in "iu":
            raise ValueError(f"counters of layer {layer} must be integers {shape}, not {k.dtype} {k.shape}")
        if k.min() < config.counter_min or k.max() > config.counter_max:
            raise ValueError(f"counters of layer {layer} do not fit {config.counter_bits} bits")
        counters.append(k.astype(np.int16))
    classifier = np.array(arrays["classifier"], dtype=np.int8)
    if classifier.shape != (config.classes, config.layers[-1]) or not np.isin(classifier, (-1, 1)).all():
        raise ValueError(
            f"classifier must be ±1 ({config.classes}, {config.layers[-1]}), not {classifier.shape}"
        )
    return State(counters, classifier, int(arrays["samples"]))
