"""Floating-point baselines on the same ±1 inputs: what the binary rules are measured against.

None of this is exact integer arithmetic. The straight-through network needs the optional extra `baselines`
(torch); the others do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .classifier import equiangular_frame
from .data import Dataset, draw_prototypes
from .trainer import accuracy, epoch_batches

__all__ = ["BASELINES", "BaselineEpoch", "logistic_regression", "nearest_prototype", "straight_through"]


@dataclass(frozen=True)
class BaselineEpoch:
    """Accuracies 0 … 1 after one epoch; those of a method without epochs are its only one."""

    training: float
    validation: float
    test: float


def nearest_prototype(dataset: Dataset, network: dict[str, Any], epochs: int, seed: int) -> Iterator[BaselineEpoch]:
    """Random Prototypes' ceiling: the class whose true prototype agrees most with the sample.

    network
        `prototype_seed`: the seed that `data.random_prototypes` drew the prototypes from; None: `seed`.
    """
    width, classes = dataset.width, len(dataset.classes)
    drawn = network.get("prototype_seed", 42)
    prototypes = draw_prototypes(seed if drawn is None else drawn, classes, width).astype(np.float32)
    parts = (dataset.train, dataset.validation, dataset.test)
    yield BaselineEpoch(
        *(accuracy((part.inputs.astype(np.float32) @ prototypes.T).argmax(axis=1), part.labels) for part in parts)
    )


def logistic_regression(dataset: Dataset, network: dict[str, Any], epochs: int, seed: int) -> Iterator[BaselineEpoch]:
    """Multinomial logistic regression on the bits, float64.

    network
        `penalties`: values of C, the inverse penalty, of which the one that validates best is taken.
    """
    from sklearn.linear_model import LogisticRegression  # here, since it takes a second to import

    parts = (dataset.train, dataset.validation, dataset.test)
    found = []
    for penalty in network.get("penalties", (0.0001, 0.001, 0.01, 0.1)):
        model = LogisticRegression(C=penalty, max_iter=300)
        model.fit(dataset.train.inputs.astype(np.float64), dataset.train.labels)
        found.append(BaselineEpoch(*(float(model.score(part.inputs, part.labels)) for part in parts)))
    yield max(found, key=lambda result: result.validation)


def straight_through(dataset: Dataset, network: dict[str, Any], epochs: int, seed: int) -> Iterator[BaselineEpoch]:
    """Binary weights and activations trained by Adam on float32 latent weights through straight-through gradients.

    Same widths and the same fixed classifier as Binary Error Propagation. Latent weights are clipped to ±1.

    network
        `hidden`: widths of the layers. `batch_norm` (False), `rate` (0.001), `batch` (100).

    Raises ImportError when torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"this baseline needs torch: pip install bitprop[baselines] ({error})") from None
    torch.manual_seed(seed)
    torch.set_num_threads(1)

    class Sign(torch.autograd.Function):
        """sign with sign(0) = +1; the gradient passes where |x| ≤ 1."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.where(x >= 0, 1.0, -1.0)

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return gradient * (x.abs() <= 1)

    widths = [dataset.width, *network["hidden"]]
    latent = [
        torch.nn.Parameter(torch.empty(out, fan_in).uniform_(-0.1, 0.1))
        for fan_in, out in zip(widths[:-1], widths[1:], strict=True)
    ]
    norms = [torch.nn.BatchNorm1d(width) if network.get("batch_norm") else None for width in widths[1:]]
    classifier = torch.from_numpy(equiangular_frame(len(dataset.classes), widths[-1], seed).astype(np.float32))
    learned = [*latent, *(p for norm in norms if norm for p in norm.parameters())]
    optimiser = torch.optim.Adam(learned, lr=network.get("rate", 0.001))

    def logits(inputs):
        values = torch.from_numpy(inputs.astype(np.float32))
        for weight, norm in zip(latent, norms, strict=True):
            sums = values @ Sign.apply(weight).T
            # Without batch normalisation the sums are brought to the width of the straight-through window.
            values = Sign.apply(norm(sums) if norm else sums / weight.shape[1] ** 0.5)
        return values @ classifier.T / widths[-1] ** 0.5

    def score(part):
        for norm in filter(None, norms):
            norm.eval()
        with torch.no_grad():
            pieces = [
                logits(part.inputs[start : start + 2048]).argmax(dim=1).numpy() for start in range(0, len(part), 2048)
            ]
        return accuracy(np.concatenate(pieces), part.labels)

    train = dataset.train
    for epoch in range(epochs):
        right = 0
        for norm in filter(None, norms):
            norm.train()
        for index in epoch_batches(seed, epoch, len(train), network.get("batch", 100)):
            if len(index) < 2:
                continue
            labels = torch.from_numpy(train.labels[index])
            found = logits(train.inputs[index])
            loss = torch.nn.functional.cross_entropy(found, labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                for weight in latent:
                    weight.clamp_(-1, 1)
            right += int((found.argmax(dim=1) == labels).sum())
        yield BaselineEpoch(right / len(train), score(dataset.validation), score(dataset.test))


BASELINES: dict[str, Callable[[Dataset, dict[str, Any], int, int], Iterator[BaselineEpoch]]] = {
    "nearest-prototype": nearest_prototype,
    "logistic": logistic_regression,
    "straight-through": straight_through,
}
"""By the name that an experiment's `rule` gives: called with data set, `network`, epochs, seed."""
