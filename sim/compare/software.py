"""Training in Python: the golden model, and networks with straight-through gradients, which are another algorithm."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass

import numpy as np

from ...model.baselines import straight_through
from ...model.config import NetworkConfig
from ...model.data import Dataset
from ...model.initial import initial_state
from ...model.learners import HardwareLearner
from ...model.step import infer, train_unbounded
from ...model.trainer import Training, accuracy
from .programs import Missing
from .work import EPOCHS, Work

__all__ = ["Epochs", "larq_epochs", "numpy_epochs", "time_numpy", "torch_epochs"]


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """Some epochs of a real training: seconds for one (the median), samples in it, and test accuracy after the last.
    """

    seconds: float
    samples: int
    accuracy: float
    epochs: int


def time_numpy(work: Work, repeats: int = 5) -> tuple[float, float]:
    """Seconds per trained and per inferred sample on the golden model: the least of some repeats."""
    trained, inferred = [], []
    for _ in range(repeats):
        state = work.start.copy()
        began = time.perf_counter()
        for first in range(0, len(work.labels), work.batch):
            part = slice(first, first + work.batch)
            train_unbounded(work.network, state, work.inputs[part], work.labels[part])
        ended = time.perf_counter()
        infer(work.network, state, work.inputs)
        trained.append(ended - began)
        inferred.append(time.perf_counter() - ended)
    return min(trained) / len(work.labels), min(inferred) / len(work.labels)


def numpy_epochs(network: NetworkConfig, dataset: Dataset, batch: int, epochs: int = EPOCHS) -> Epochs:
    """The golden model."""
    learner = HardwareLearner(network, initial_state(network), batch=min(batch, 32))
    training, taken = Training(learner), []
    for _ in range(epochs):
        began = time.perf_counter()
        for _ in training.run_batches(dataset):
            pass
        taken.append(time.perf_counter() - began)
        training.end_epoch(dataset)
    reached = accuracy(learner.predict(dataset.test.inputs), dataset.test.labels)
    return Epochs(seconds=float(np.median(taken)), samples=len(dataset.train), accuracy=reached, epochs=epochs)


def torch_epochs(network: NetworkConfig, dataset: Dataset, batch: int, epochs: int = EPOCHS) -> Epochs:
    """Straight-through estimator and Adam on float32 weights, one thread: seconds have the scoring of an epoch too.

    Raises `Missing`.
    """
    if importlib.util.find_spec("torch") is None:
        raise Missing("pip install bitprop[baselines]  (torch)")
    settings, taken, reached = {"hidden": list(network.layers[1:]), "batch": batch}, [], 0.0
    began = time.perf_counter()
    for epoch in straight_through(dataset, settings, epochs, network.seed):
        taken.append(time.perf_counter() - began)
        reached, began = epoch.test, time.perf_counter()
    return Epochs(seconds=float(np.median(taken)), samples=len(dataset.train), accuracy=reached, epochs=epochs)


def larq_epochs(network: NetworkConfig, dataset: Dataset, batch: int, epochs: int = EPOCHS) -> Epochs:
    """The same network in Larq: straight-through sign and Adam, by Keras.

    Raises `Missing`: Larq needs a TensorFlow that has Keras 2.
    """
    try:
        import larq
        import tensorflow as tf
    except Exception as error:  # an installed but unfit TensorFlow raises anything
        raise Missing(f"pip install larq 'tensorflow<2.16'  ({type(error).__name__})") from None
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.keras.utils.set_random_seed(network.seed)
    model = tf.keras.Sequential()
    for number, width in enumerate((*network.layers[1:], network.classes)):
        model.add(larq.layers.QuantDense(
            width, use_bias=False, input_quantizer="ste_sign" if number else None, kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip", **({} if number else {"input_shape": (network.layers[0],)})))
        model.add(tf.keras.layers.BatchNormalization(scale=False))
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    taken = []
    for _ in range(epochs):
        began = time.perf_counter()
        model.fit(dataset.train.inputs.astype(np.float32), dataset.train.labels, batch_size=batch, verbose=0)
        taken.append(time.perf_counter() - began)
    reached = model.evaluate(dataset.test.inputs.astype(np.float32), dataset.test.labels, verbose=0)[1]
    return Epochs(seconds=float(np.median(taken)), samples=len(dataset.train), accuracy=float(reached), epochs=epochs)
