"""The local rule (LBES): every layer is trained by a fixed random classifier of its own, no error crosses layers.

Colombo, Pittorino, Roveri, *Training Multi-Layer Binary Neural Networks With (Random) Local Binary Error
Signals*, arXiv 2412.00119. Forward pass, trigger, winners and updates are those of the other rules; only where
the desired activations come from differs. With a single layer and one neuron this is CP+R, the clipped
perceptron with reinforcement (Baldassi 2009): a row is updated when its sign is wrong.
"""

from __future__ import annotations

import numpy as np

from .blas import one_thread
from .config import NetworkConfig
from .paper import PaperConfig, PaperState, paper_update_layers
from .random import CLASSIFIER, generator
from .step import State, StepResult, check_batch, forward, matvec, trigger, update_layers

__all__ = ["local_classifiers", "local_paper_train_batch", "local_targets", "local_train_batch"]


def local_classifiers(layers: tuple[int, ...], classes: int, seed: int) -> list[np.ndarray]:
    """P_1 … P_L: uniformly random ±1 int8, one `(C, K_l)` array a layer.

    Of two classes the second row is the first one's opposite, so that even a single neuron tells them apart.
    """
    found = []
    for layer, width in enumerate(layers[1:], start=1):
        rows = generator(seed, CLASSIFIER, layer).choice(np.array([-1, 1], dtype=np.int8), size=(classes, width))
        found.append(np.stack([rows[0], -rows[0]]) if classes == 2 else rows)
    return found


def local_targets(
    margin: int, classifiers: list[np.ndarray], activations: list[np.ndarray], labels: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Desired activations of every layer, by its own classifier and its own trigger.

    A sample triggers layer l when the layer's prediction is wrong or leads by less than `margin · K_l / K_L`;
    then a*_l is the true class's row of P_l, else 0. Returns the desired activations (int8 `(batch, K_l)` a
    layer), the last layer's predictions, and which samples triggered any layer.
    """
    desired, any_triggered = [], np.zeros(len(labels), dtype=bool)
    last = classifiers[-1].shape[1]
    for classifier, activation in zip(classifiers, activations[1:], strict=True):
        logits = matvec(activation, classifier)
        triggered = trigger(-(-margin * classifier.shape[1] // last), logits, labels)
        desired.append(classifier[labels] * triggered[:, None])
        any_triggered |= triggered
    return desired, logits.argmax(axis=1), any_triggered


@one_thread
def local_train_batch(
    config: NetworkConfig, state: State, classifiers: list[np.ndarray], inputs: np.ndarray, labels: np.ndarray
) -> StepResult:
    """Train on one batch in place, counters and reinforcement as in the hardware rule; errors as `train_batch`."""
    inputs, labels = check_batch(config, inputs, labels)
    activations, sums = forward(state.weights(), inputs)
    desired, predictions, triggered = local_targets(config.margin, classifiers, activations, labels)
    row_updates, saturations = update_layers(config, state, activations, sums, desired)
    state.samples += len(labels)
    return StepResult(predictions, triggered, row_updates, saturations)


@one_thread
def local_paper_train_batch(
    config: PaperConfig, state: PaperState, classifiers: list[np.ndarray], inputs: np.ndarray, labels: np.ndarray
) -> StepResult:
    """Train on one batch of any size in place, integer weights and Bernoulli reinforcement as published."""
    activations, sums = forward(state.weights(), inputs)
    desired, predictions, triggered = local_targets(config.margin, classifiers, activations, labels)
    row_updates, saturations = paper_update_layers(config, state, activations, sums, desired)
    return StepResult(predictions, triggered, row_updates, saturations)
