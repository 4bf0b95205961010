"""A training in one `.npz` file: what was reached, and all that is needed to go on with the same bits."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .learners import Learner, build_learner
from .trainer import EpochRecord, Training

__all__ = ["FORMAT", "Checkpoint", "load_checkpoint", "save_checkpoint"]

FORMAT = 1
"""Version of the file's layout."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    training
        The training as it was, its learner rebuilt.
    about
        JSON-ready notes of whoever saved it, such as the data set's name.
    """

    training: Training
    about: dict[str, Any]

    def best_learner(self) -> Learner:
        """A learner as it was after the epoch that validated best; before the first epoch, as it is now."""
        learner = self.training.learner
        other = build_learner(learner.rule, learner.describe())
        other.load(learner.arrays() if self.training.best is None else self.training.best)
        return other


def save_checkpoint(path: str | os.PathLike, training: Training, about: dict[str, Any] | None = None) -> Path:
    """Write a training to `path` as a compressed `.npz`; an older file is replaced in one step or not at all.

    Arrays: the learner's by their names (`counters_1` …, `classifier`, `samples`), the best snapshot's with
    `best_` before them, the sums of votes (`votes_1` …), and `meta`, a JSON text with format, rule,
    configuration, progress, history and notes.
    """
    path = Path(path)
    learner = training.learner
    meta = {
        "format": FORMAT,
        "rule": learner.rule,
        "config": learner.describe(),
        "progress": training.progress(),
        "about": about or {},
    }
    arrays = dict(learner.arrays())
    if training.best is not None:
        arrays |= {f"best_{name}": array for name, array in training.best.items()}
    if training.votes is not None:
        arrays |= {f"votes_{layer}": votes for layer, votes in enumerate(training.votes, start=1)}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, meta=np.array(json.dumps(meta)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def load_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not a checkpoint, is damaged, or has another format version.
    """
    if not zipfile.is_zipfile(path) and Path(path).exists():
        raise ValueError(f"{path} is not a checkpoint, or is damaged: it is no .npz file")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(str(arrays.pop("meta")))
        version = meta["format"]
    except FileNotFoundError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError, EOFError, NotImplementedError, zipfile.BadZipFile,
            zlib.error) as error:
        raise ValueError(f"{path} is not a checkpoint, or is damaged: {error}") from error
    if version != FORMAT:
        raise ValueError(f"{path} has checkpoint format {version}, this program reads {FORMAT}")
    try:
        learner, progress, about = build_learner(meta["rule"], meta["config"]), meta["progress"], dict(meta["about"])
        for name in ("epoch", "batch", "errors"):
            if not isinstance(progress[name], int) or progress[name] < 0:
                raise ValueError(f"{name} must be a number of 0 or more, not {progress[name]!r}")
        best = {
            name.removeprefix("best_"): array for name, array in arrays.items() if name.startswith("best_")
        }
        if best:
            learner.load(best)
        learner.load({name: array for name, array in arrays.items() if not name.startswith("best_")})
        votes = [arrays[f"votes_{layer}"] for layer in range(1, 1 + sum(name.startswith("votes_") for name in arrays))]
        training = Training(
            learner,
            progress["epoch"],
            progress["batch"],
            progress["errors"],
            [EpochRecord(**record) for record in progress["history"]],
            best or None,
            progress.get("vote_from"),
            votes or None,
        )
    except (KeyError, TypeError, ValueError) as error:
        missing = "there is no " if isinstance(error, KeyError) else ""
        raise ValueError(f"{path} is damaged: {missing}{error}") from error
    return Checkpoint(training, about)
