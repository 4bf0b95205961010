"""Data sets as ±1 inputs and labels, each with a training, a validation and a test part."""

from __future__ import annotations

import gzip
import inspect
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .encode import DistributiveThermometerEncoder, Encoder, GlobalMedianEncoder, ThresholdEncoder
from .random import EXPANSION, generator
from .series import Series, read_series
from .sources import FILES, fetch

__all__ = [
    "ARCHIVE",
    "DIGITS_THRESHOLDS",
    "Dataset",
    "Part",
    "archive",
    "archive_series",
    "archive_steps",
    "dataset_names",
    "digits",
    "draw_prototypes",
    "images",
    "load_dataset",
    "random_prototypes",
    "split_indices",
]

SPLIT_SEED = 0
"""Splits belong to the data set: they are the same whatever seed a network has."""

DIGITS_THRESHOLDS = (1, 4, 9, 14)
"""Thresholds of the digits' pixels, which are 0 … 16; best of eleven sets in cross-validation
outside the test part."""

ARCHIVE = tuple(sorted({path.split("/")[1] for path in FILES if path.startswith("ucr/")}))
"""Time-series data sets known by name."""


@dataclass(frozen=True)
class Part:
    """Some samples.

    inputs
        ±1 int8 `(n, K_0)`.
    labels
        int64 `(n,)`, 0 … C-1.
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        if self.inputs.ndim != 2 or self.labels.shape != self.inputs.shape[:1] or not len(self.labels):
            raise ValueError(
                f"inputs must be (n, K_0), labels (n,), not {self.inputs.shape}, {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set: what is trained on, what choices are made by, and what is only reported.

    name
        As in `bitprop train --data`.
    train, validation, test
        Disjoint parts.
    classes
        Names of the classes, in the order of the labels.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]

    @property
    def width(self) -> int:
        """`K_0`."""
        return self.train.inputs.shape[1]


def split_indices(labels: np.ndarray, *sizes: int, seed: int = SPLIT_SEED) -> list[np.ndarray]:
    """Disjoint index arrays of the given sizes and one of the rest, first; stratified by label, ascending."""
    from sklearn.model_selection import train_test_split  # here, since it takes a second to import

    rest, parts = np.arange(len(labels)), []
    for size in sizes:
        rest, part = train_test_split(rest, test_size=size, stratify=labels[rest], random_state=seed)
        parts.append(np.sort(part))
    return [np.sort(rest), *parts]


def digits(split_seed: int = SPLIT_SEED) -> Dataset:
    """Scikit-learn's 8 × 8 digits: 1,350 to train on, 150 for validation, 297 for the test, 256 inputs.

    Thermometer code of each pixel (0 … 16) with the thresholds 1, 4, 9, 14: input `4·p + b` is +1 where
    pixel `p = 8·row + column` is at or above threshold number b. The parts are stratified and drawn by
    `split_seed`.
    """
    from sklearn.datasets import load_digits  # here, since it takes a second to import

    source = load_digits()
    inputs = ThresholdEncoder(DIGITS_THRESHOLDS).fit_transform(source.data)
    labels = source.target.astype(np.int64)
    train, test, validation = split_indices(labels, 297, 150, seed=split_seed)
    parts = (Part(inputs[index], labels[index]) for index in (train, validation, test))
    return Dataset("digits", *parts, tuple(str(name) for name in source.target_names))


def random_prototypes(
    flip: float = 0.46,
    *,
    train: int = 20_000,
    validation: int = 3_000,
    test: int = 3_000,
    width: int = 1000,
    classes: int = 10,
    seed: int = 42,
    split_seed: int = SPLIT_SEED,
) -> Dataset:
    """Random Prototypes: each sample is its class's random ±1 prototype with every bit flipped with
    probability p.

    Drawn as in the published work: from `default_rng(seed)` the prototypes, then class by class and sample by
    sample a flip where a uniform draw is below p. The samples are then shuffled and cut by `split_seed`.

    Parameters
    ----------
    flip
        p, 0 … 1.
    train, validation, test
        Samples of each part; together a multiple of `classes`.
    width, classes
        `K_0` and `C`.

    Raises
    ------
    ValueError
        A number is out of its range.
    """
    count = train + validation + test
    if not 0 <= flip <= 1 or min(train, validation, test) < 1 or width < 1 or classes < 2 or count % classes:
        raise ValueError(
            "random_prototypes needs flip in 0 … 1, parts that are not empty and together a multiple of "
            f"classes ≥ 2, width ≥ 1, not {flip}, {train} + {validation} + {test}, {classes}, {width}"
        )
    rng = np.random.default_rng(seed)
    prototypes = _prototypes(rng, classes, width)
    inputs = np.empty((count, width), dtype=np.int8)
    labels = np.repeat(np.arange(classes), count // classes)
    for c in range(classes):
        flips = rng.random((count // classes, width)) < flip
        inputs[labels == c] = np.where(flips, -prototypes[c], prototypes[c])
    order = np.random.default_rng(split_seed).permutation(count)
    parts = (Part(inputs[index], labels[index]) for index in np.split(order, [train, train + validation]))
    return Dataset("prototypes", *parts, tuple(str(c) for c in range(classes)))


def draw_prototypes(seed: int, classes: int, width: int) -> np.ndarray:
    """The prototypes that `random_prototypes` with this seed flips bits of: ±1 int8 `(classes, width)`."""
    return _prototypes(np.random.default_rng(seed), classes, width)


def _prototypes(rng: np.random.Generator, classes: int, width: int) -> np.ndarray:
    return rng.choice([-1, 1], size=(classes, width)).astype(np.int8)


def images(
    name: str,
    data_dir: str | os.PathLike | None = None,
    encoder: Encoder | None = None,
    validation: int = 10_000,
    *,
    steps: int = 1,
    width: int | None = None,
) -> Dataset:
    """`fashion-mnist` or `mnist`: 60,000 less `validation` images to train on, 10,000 for the test, 784
    inputs a bit.

    The encoder is fitted to the training part; default: one bit a pixel, above the median of all pixels
    (which is 0) or not. With `width` the bits are cut into `steps` equal steps, 28 of them being the rows, and each
    is expanded to `width` inputs as in `archive_steps`. ValueError when `steps` does not divide the bits; else
    errors as `fetch` and `read_idx`.
    """
    values = {
        part: read_idx(fetch(f"{name}/{part}-images-idx3-ubyte.gz", data_dir), 3).reshape(-1, 784)
        for part in ("train", "t10k")
    }
    labels = {
        part: read_idx(fetch(f"{name}/{part}-labels-idx1-ubyte.gz", data_dir), 1).astype(np.int64)
        for part in ("train", "t10k")
    }
    for part in values:
        if len(values[part]) != len(labels[part]):
            raise ValueError(f"{name}: {len(values[part])} {part} images but {len(labels[part])} labels")
    fitting, choosing = split_indices(labels["train"], validation)
    encoder = (GlobalMedianEncoder() if encoder is None else encoder).fit(values["train"][fitting])
    inputs = {part: encoder.transform(values[part]) for part in values}
    if width is not None:
        bits = inputs["train"].shape[1]
        if steps < 1 or bits % steps:
            raise ValueError(f"steps must divide the {bits} bits of an image, not {steps}")
        inputs = {part: expand(code.reshape(-1, steps, bits // steps), width) for part, code in inputs.items()}
    return Dataset(
        name,
        Part(inputs["train"][fitting], labels["train"][fitting]),
        Part(inputs["train"][choosing], labels["train"][choosing]),
        Part(inputs["t10k"], labels["t10k"]),
        tuple(str(c) for c in range(10)),
    )


def read_idx(path: str | Path, dimensions: int) -> np.ndarray:
    """A gzipped IDX file of bytes as a uint8 array with so many dimensions; ValueError if it is anything
    else."""
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from None
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes([0, 0, 8, dimensions]):
        raise ValueError(f"{path}: not an IDX file of bytes with {dimensions} dimensions")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, 4).tolist())
    if len(content) - head != np.prod(shape):
        raise ValueError(f"{path}: its header says {shape}, but {len(content) - head} bytes follow")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def archive_series(name: str, data_dir: str | os.PathLike | None = None) -> tuple[Series, Series]:
    """The training and the test part of one of `ARCHIVE`, as its files hold them.

    JapaneseVowels has series of unequal length. Of MelbournePedestrian the rows whose hours are all missing
    (-1) are dropped. Errors as `fetch` and `read_series`.
    """
    if name not in ARCHIVE:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(ARCHIVE)}")
    parts = []
    for part in ("TRAIN", "TEST"):
        (path,) = (path for path in FILES if path.startswith(f"ucr/{name}/{name}_{part}."))
        series = read_series(fetch(path, data_dir))
        if name == "MelbournePedestrian":
            kept = [index for index, values in enumerate(series.values) if (values != -1).any()]
            series = Series(
                *(
                    [column[index] for index in kept]
                    for column in (series.values, series.labels, series.lines)
                )
            )
        parts.append(series)
    return parts[0], parts[1]


def archive(
    name: str, data_dir: str | os.PathLike | None = None, *, window: int | None = None, bits: int = 8
) -> Dataset:
    """A time-series data set for a feed-forward network: the last `window` steps side by side,
    thermometer-coded.

    A fifth of the training part serves as validation part. `window` defaults to the shortest training series;
    `bits` quantile thresholds a value are learned from the training part. Input `(t · features + f) · bits +
    b`.
    """
    train, test = archive_series(name, data_dir)
    classes, (train_labels, test_labels) = encode_labels(train, test)
    window = min(len(series) for series in train.values) if window is None else window
    fitting, choosing = split_indices(train_labels, max(len(classes), len(train_labels) // 5))
    values = train.last(window)
    encoder = DistributiveThermometerEncoder(bits).fit(values[fitting])
    inputs = encoder.transform(values)
    return Dataset(
        name,
        Part(inputs[fitting], train_labels[fitting]),
        Part(inputs[choosing], train_labels[choosing]),
        Part(encoder.transform(test.last(window)), test_labels),
        classes,
    )


def archive_steps(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    window: int,
    width: int,
    bits: int = 16,
    folds: int = 3,
    split_seed: int = SPLIT_SEED,
) -> Dataset:
    """A time-series data set for a recurrent network: one fold of a cross-validation over both of its parts.

    The test part is fold number `split_seed mod folds` of the stratified partition number `split_seed // folds`;
    a tenth of the rest serves as validation part. Every value of the last `window` steps gets a thermometer code
    of `bits` quantiles of the training part, the same at every step; the code of a step is then expanded to
    `width` inputs by a fixed random ±1 matrix, sign(E x). Input `t · width + i`. Errors as `archive_series`.
    """
    train, test = archive_series(name, data_dir)
    classes, (train_labels, test_labels) = encode_labels(train, test)
    values = np.concatenate([train.last(window), test.last(window)])
    labels = np.concatenate([train_labels, test_labels])
    partition, fold = divmod(split_seed, folds)
    from sklearn.model_selection import StratifiedKFold  # here, since it takes a second to import

    cutter = StratifiedKFold(folds, shuffle=True, random_state=partition)
    rest, held = list(cutter.split(values, labels))[fold]
    kept, choosing = split_indices(labels[rest], max(len(classes), len(rest) // 10), seed=partition)
    steps = values.reshape(-1, values.shape[2])
    encoder = DistributiveThermometerEncoder(bits).fit(values[rest[kept]].reshape(-1, values.shape[2]))
    inputs = expand(encoder.transform(steps).reshape(len(labels), window, -1), width)
    parts = (Part(inputs[index], labels[index]) for index in (rest[kept], rest[choosing], held))
    return Dataset(name, *parts, classes)


def expand(code: np.ndarray, width: int) -> np.ndarray:
    """`sign(E x)` of every step's ±1 code x, E fixed and random ±1: `(n, steps, bits)` to int8 `(n, steps · width)`."""
    count, steps, bits = code.shape
    expansion = generator(SPLIT_SEED, EXPANSION).choice(np.array([-1, 1], dtype=np.float32), (bits, width))
    inputs = np.empty((count, steps, width), dtype=np.int8)
    for start in range(0, count, 2048):
        sums = code[start : start + 2048].astype(np.float32) @ expansion
        inputs[start : start + 2048] = np.where(sums >= 0, 1, -1)
    return inputs.reshape(count, steps * width)


def encode_labels(train: Series, *others: Series) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """The class names, those of the training part in order, and the labels of every part as int64 `(n,)`.

    ValueError names the line of a label that the training part does not have.
    """
    classes = tuple(sorted(set(train.labels), key=_label_order))
    numbers = {label: number for number, label in enumerate(classes)}
    for part in others:
        for label, line in zip(part.labels, part.lines, strict=True):
            if label not in numbers:
                raise ValueError(
                    f"line {line}: label {label!r} does not occur in the training part, which has {classes}"
                )
    return classes, [
        np.array([numbers[label] for label in part.labels], dtype=np.int64) for part in (train, *others)
    ]


def _label_order(label: str):
    """Numbers by value, then text."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def dataset_names() -> list[str]:
    """Names that `load_dataset` knows."""
    return ["digits", "prototypes", "fashion-mnist", "mnist", *ARCHIVE]


def load_dataset(name: str, data_dir: str | os.PathLike | None = None, *, copies: int = 1, **options) -> Dataset:
    """A data set by name, with its default encoding.

    copies
        Every input stands so many times in a row; a recurrent network's delay line wants 2.
    options
        Of `digits`, `random_prototypes`, `images`, `archive`, or, when `width` is among them, `archive_steps`.

    Raises
    ------
    ValueError
        The name or an option is unknown or out of its range; else as `fetch`.
    """
    if copies < 1:
        raise ValueError(f"copies must be at least 1, not {copies}")
    loader: Callable[..., Dataset]
    if name == "digits":
        loader = digits
    elif name == "prototypes":
        loader = random_prototypes
    elif name in ("fashion-mnist", "mnist"):
        loader = partial(images, name, data_dir)
    elif name in ARCHIVE:
        loader = partial(archive_steps if "width" in options else archive, name, data_dir)
    else:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(dataset_names())}")
    try:
        inspect.signature(loader).bind(**options)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None
    dataset = loader(**options)
    if copies == 1:
        return dataset
    parts = (dataset.train, dataset.validation, dataset.test)
    return Dataset(
        name, *(Part(np.repeat(part.inputs, copies, axis=1), part.labels) for part in parts), dataset.classes
    )
