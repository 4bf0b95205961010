"""Time series of the UCR and UEA archives, read from their `.ts`, `.tsv`, `.arff` and `.npy` files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Series", "read_series"]


@dataclass(frozen=True)
class Series:
    """Labelled series, of equal length or not.

    values
        One float64 `(steps, features)` array a series.
    labels
        The label of each, as text.
    lines
        The line of the file that each came from, from 1: for messages.
    """

    values: list[np.ndarray]
    labels: list[str]
    lines: list[int]

    def last(self, window: int) -> np.ndarray:
        """The last `window` steps of each series, `(n, window, features)`; how unequal lengths are handled.

        A series shorter than `window` is padded at its start with its first step. ValueError when `window` is
        below 1.
        """
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        return np.stack(
            [
                np.concatenate(
                    [np.repeat(series[:1], max(0, window - len(series)), axis=0), series[-window:]]
                )
                for series in self.values
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)


def read_series(path: str | Path) -> Series:
    """Read one file; the name's ending says the format.

    - `.ts`: header lines `@…`, then `value,value,…:value,…:label`, dimensions separated by colons.
    - `.tsv`: the label, then one value a step.
    - `.arff`: `value,value,…,label`, or, multivariate, `'dimension\\ndimension\\n…',label`.
    - `.npy`: an array whose first column is the label, else as `.tsv`.

    Raises
    ------
    ValueError
        Names file and line: no such format, a value that is not a number, NaN or missing (`?`), dimensions of
        unequal length, another number of dimensions than before, no series at all, a label that the header
        does not list.
    """
    path = Path(path)
    readers = {".ts": _read_ts, ".tsv": _read_tsv, ".arff": _read_arff, ".npy": _read_npy}
    if path.suffix not in readers:
        raise ValueError(f"{path}: must end in one of {', '.join(readers)}")
    values, labels, lines = [], [], []
    for line, label, dimensions in readers[path.suffix](path):
        where = f"{path}, line {line}"
        try:
            rows = [np.array(dimension, dtype=np.float64) for dimension in dimensions]
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if len({len(row) for row in rows}) != 1 or not len(rows[0]):
            raise ValueError(
                f"{where}: dimensions must be equally long, not {[len(row) for row in rows]} steps"
            )
        series = np.stack(rows, axis=1)
        if not np.isfinite(series).all():
            raise ValueError(
                f"{where}: step {np.argwhere(~np.isfinite(series))[0][0] + 1} is missing or not finite"
            )
        if values and series.shape[1] != values[0].shape[1]:
            raise ValueError(
                f"{where}: {series.shape[1]} dimensions, the series before had {values[0].shape[1]}"
            )
        values.append(series)
        labels.append(label)
        lines.append(line)
    if not values:
        raise ValueError(f"{path}: no series in it")
    return Series(values, labels, lines)


def _lines(path: Path):
    """Numbered lines that say something. Old headers hold Latin-1; data are ASCII."""
    with open(path, encoding="latin-1") as file:
        for number, line in enumerate(file, start=1):
            line = line.strip()
            if line:
                yield number, line


def _numbers(text: str, separator: str = ",") -> list[str]:
    return ["nan" if item.strip() == "?" else item for item in text.split(separator)]


def _known(path: Path, number: int, label: str, known: set[str]) -> str:
    if not label or known and label not in known:
        listed = ", ".join(sorted(known))
        raise ValueError(
            f"{path}, line {number}: unknown label {label!r}; the header lists {listed or 'none'}"
        )
    return label


def _read_ts(path: Path):
    known, in_data = set(), False
    for number, line in _lines(path):
        if line.startswith("#"):
            continue
        if line.startswith("@"):
            words = line.split()
            if words[0].lower() == "@classlabel":
                known = set(words[2:])
            if words[0].lower() == "@timestamps" and words[1:] != ["false"]:
                raise ValueError(f"{path}, line {number}: series with time stamps are not supported")
            in_data = in_data or words[0].lower() == "@data"
        elif not in_data:
            raise ValueError(
                f"{path}, line {number}: expected a header line that starts with @, not {line[:40]!r}"
            )
        else:
            *dimensions, label = line.split(":")
            if not dimensions:
                raise ValueError(f"{path}, line {number}: expected values, a colon and a label")
            yield number, _known(path, number, label.strip(), known), [_numbers(part) for part in dimensions]


def _read_tsv(path: Path):
    for number, line in _lines(path):
        label, *values = line.split("\t")
        if not values:
            raise ValueError(f"{path}, line {number}: expected a label and values separated by tabs")
        yield number, _label(label), [["nan" if value.strip() == "?" else value for value in values]]


def _read_arff(path: Path):
    known, in_data = set(), False
    for number, line in _lines(path):
        if line.startswith("%"):
            continue
        if not in_data:
            head = line.lower()
            if head.startswith("@attribute") and "{" in line:
                known = {name.strip() for name in line[line.index("{") + 1 : line.rindex("}")].split(",")}
            in_data = head == "@data"
        else:
            body, _, label = line.rpartition(",")
            if not body:
                raise ValueError(f"{path}, line {number}: expected values, a comma and a label")
            dimensions = body.strip("'\"").split("\\n")
            yield number, _known(path, number, label.strip(), known), [_numbers(part) for part in dimensions]


def _read_npy(path: Path):
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"{path}: expected (series, 1 + steps), not {table.shape}")
    for number, row in enumerate(table, start=1):
        yield number, _label(str(row[0])), [row[1:]]


def _label(text: str) -> str:
    """`1`, `1.0` and `1.0000000e+00` are one label: archives differ in how they print it."""
    text = text.strip()
    try:
        return f"{float(text):g}"
    except ValueError:
        return text
