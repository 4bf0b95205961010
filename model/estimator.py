"""The classifier with scikit-learn's interface: numbers in, labels out."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .data import Dataset, Part
from .encode import DistributiveThermometerEncoder
from .learners import Learner, build_learner
from .trainer import Training

__all__ = ["BinaryErrorPropagationClassifier"]


class BinaryErrorPropagationClassifier(ClassifierMixin, BaseEstimator):
    """A binary multi-layer perceptron trained by Binary Error Propagation.

    Inputs are coded by a distributive thermometer learned in `fit` (or in the first `partial_fit`).

    Parameters
    ----------
    hidden_layers
        `(K_1, …, K_L)`.
    bits
        Thermometer bits a feature, 1 … 256; 0 takes inputs that are ±1 already.
    rule
        "hardware" (what the accelerator computes), "paper", "local" or "local-hardware".
    epochs
        Passes of `fit`.
    batch_size
        Samples a batch; the hardware rule takes up to 32.
    validation_fraction
        Part of the training data, 0 … 1, that `fit` keeps back to choose the best epoch by; 0, or too few
        samples of a class to keep any back, chooses by the training data.
    network
        More fields of `NetworkConfig` or `PaperConfig`, as a dict.
    random_state
        Seed ≥ 0; None is 0, so that results repeat.

    Attributes
    ----------
    classes_
        Labels, sorted.
    n_features_in_
        Number of features.
    learner_
        The trained network, a `Learner`.
    history_
        `EpochRecord` of each epoch of `fit`.
    """

    def __init__(
        self,
        hidden_layers=(64, 64),
        *,
        bits=8,
        rule="hardware",
        epochs=30,
        batch_size=32,
        validation_fraction=0.1,
        network=None,
        random_state=None,
    ):
        self.hidden_layers = hidden_layers
        self.bits = bits
        self.rule = rule
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.network = network
        self.random_state = random_state

    def fit(self, X, y):
        """Train from the start on values `X` `(n, features)` and labels `y` `(n,)`; keeps the best epoch's
        weights.

        Raises ValueError when `X` or `y` are not what scikit-learn takes, or a parameter is out of its range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._start(X)
        inputs = self._encode(X)
        everything = Part(inputs, labels.astype(np.int64))
        fitting = validation = everything
        held = round(self.validation_fraction * len(labels))
        if (
            held >= len(self.classes_)
            and np.bincount(labels).min() > 1
            and len(labels) - held >= len(self.classes_)
        ):
            train, choose = train_test_split(
                np.arange(len(labels)), test_size=held, stratify=labels, random_state=self._seed()
            )
            fitting, validation = (Part(inputs[index], everything.labels[index]) for index in (train, choose))
        dataset = Dataset("fit", fitting, validation, validation, tuple(str(name) for name in self.classes_))
        training = Training(self.learner_)
        for _ in training.run(dataset, self.epochs):
            pass
        if training.best is not None:
            self.learner_.load(training.best)
        self.history_ = training.history
        return self

    def partial_fit(self, X, y, classes=None):
        """Train once over `X`, `y`, in their order, from where training stands.

        classes
            All labels that will ever come, as an array; needed in the first call only. The encoder is learned
            from the first call's `X`.
        """
        first = not hasattr(self, "learner_")
        if first and classes is None:
            raise ValueError("classes must be given in the first call of partial_fit")
        X, y = validate_data(self, X, y, dtype=np.float64, reset=first)
        check_classification_targets(y)
        if first:
            self.classes_ = np.unique(classes)
            self.history_ = []
            self._start(X)
        labels = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        if (self.classes_[labels] != y).any():
            unknown = np.setdiff1d(y, self.classes_)
            raise ValueError(f"labels {unknown.tolist()} are not among classes {self.classes_.tolist()}")
        inputs = self._encode(X)
        for start in range(0, len(inputs), self.batch_size):
            piece = slice(start, start + self.batch_size)
            self.learner_.train(inputs[piece], labels[piece].astype(np.int64))
        return self

    def predict(self, X):
        """Labels of values `X` `(n, features)`."""
        check_is_fitted(self, "learner_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.classes_[self.learner_.predict(self._encode(X))]

    def _start(self, X: np.ndarray) -> None:
        if len(self.classes_) < 2:
            raise ValueError(f"y must have at least 2 classes, not one class: {self.classes_.tolist()}")
        self.encoder_ = None if self.bits == 0 else DistributiveThermometerEncoder(self.bits).fit(X)
        layers = (X.shape[1] * max(1, self.bits), *self.hidden_layers)
        self.learner_ = self._learner(layers)

    def _learner(self, layers: tuple[int, ...]) -> Learner:
        fields = {"layers": layers, "classes": len(self.classes_), "seed": self._seed()} | (
            self.network or {}
        )
        return build_learner(self.rule, {"network": fields, "batch": self.batch_size})

    def _encode(self, X: np.ndarray) -> np.ndarray:
        if self.encoder_ is not None:
            return self.encoder_.transform(X)
        if not np.isin(X, (-1, 1)).all():
            raise ValueError("with bits=0 every value must be -1 or 1")
        return X.astype(np.int8)

    def _seed(self) -> int:
        """An integer seed from whatever scikit-learn allows as random_state."""
        if isinstance(self.random_state, np.random.RandomState):
            return int(self.random_state.randint(1 << 31))
        return 0 if self.random_state is None else int(self.random_state)
