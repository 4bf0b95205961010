"""Experiments: named, versioned definitions, the runs that they ask for, and the files that keep the results.

A run is one seed of one experiment. Its result is one small JSON file; a run whose file is there is not done
again, so an interrupted series goes on where it stopped.
"""

from __future__ import annotations

import fnmatch
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .baselines import BASELINES
from .data import Dataset, load_dataset
from .learners import build_learner
from .trainer import EpochRecord, Training, accuracy

__all__ = ["GROUPS", "RESULTS", "Experiment", "load_runs", "run", "run_path", "select"]

RESULTS = Path(__file__).parent / "results"
"""Folder of the runs that the results document is made of."""

RUN_FIELDS = frozenset({"definition", "seed", "weights", "best", "last", "majority", "training_curve",
                        "validation_curve", "seconds"})
"""What is read of a run's file."""

GROUPS = {
    "counter-bits": "counter bits B",
    "batch": "samples a batch",
    "gate": "gate ν",
    "members": "members of a group γ",
}
"""Groups of experiments that vary one setting, and what it is called; the report draws no learning curves of them."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is trained on what, how often, and what it is compared with.

    Parameters
    ----------
    name, version
        Name of the definition; the version rises whenever anything that changes results does.
    about
        One line for people.
    section
        Heading under which the results document shows it.
    data
        Data set and options: `{"name": …}` and what `load_dataset` takes. `"resplit": True` draws
        the parts anew for every seed, `"redraw": True` the data themselves (of `random_prototypes`).
    rule, network, batch
        As in `build_learner`; layer widths of 0 take the data set's input width. Or the name of one of
        `baselines.BASELINES` and its `network`.
    epochs
        Passes over the training part.
    seeds
        One run each.
    votes
        Last epochs whose weights are put to the vote (`Training.majority`); 0: none.
    score
        Which accuracy is the result: "best" (test, after the epoch that validated best), "last" or
        "majority".
    published, bar
        Accuracies in percent to stand against: the publication's, and what this project asks of itself.
    group, value
        Experiments of one group are points of one curve, at these values of what the group varies.
    """

    name: str
    about: str
    section: str
    data: dict[str, Any]
    network: dict[str, Any]
    epochs: int
    rule: str = "hardware"
    batch: int = 32
    version: int = 1
    seeds: tuple[int, ...] = (0, 1, 2)
    votes: int = 0
    score: str = "best"
    published: float | None = None
    bar: float | None = None
    group: str | None = None
    value: float | None = None

    def definition(self) -> dict[str, Any]:
        """JSON-ready: everything that decides a run's bits but the seed."""
        return json.loads(
            json.dumps(
                {
                    "data": self.data,
                    "rule": self.rule,
                    "network": self.network,
                    "batch": self.batch,
                    "epochs": self.epochs,
                    "votes": self.votes,
                }
            )
        )


def load_data(spec: dict[str, Any], seed: int, data_dir: str | os.PathLike | None = None) -> Dataset:
    """The data set that an experiment's `data` names, for one seed; errors as `load_dataset`."""
    options = dict(spec)
    name = options.pop("name")
    if options.pop("resplit", False):
        options["split_seed"] = seed
    if options.pop("redraw", False):
        options["seed"] = seed
    return load_dataset(name, data_dir, **options)


def run(
    experiment: Experiment,
    seed: int,
    data_dir: str | os.PathLike | None = None,
    folder: Path = RESULTS,
    progress: Callable[[EpochRecord], None] = lambda record: None,
) -> dict[str, Any]:
    """Do one run and write its file; returns the file's content. A run that is done is only read.

    `progress` is called after every epoch. ValueError when the file was made by another definition of the
    same version.
    """
    path = run_path(experiment, seed, folder)
    if path.exists():
        found = _read(path)
        if found["definition"] != experiment.definition():
            raise ValueError(f"{path} has another definition: raise the version of {experiment.name}")
        return found
    folder.mkdir(parents=True, exist_ok=True)  # now, not when the run is done
    dataset = load_data(experiment.data, seed, data_dir)
    start = time.perf_counter()
    measure = _run_baseline if experiment.rule in BASELINES else _run_rule
    measured = measure(experiment, dataset, seed, progress)
    content = {
        "experiment": experiment.name,
        "version": experiment.version,
        "seed": seed,
        "definition": experiment.definition(),
        "samples": [len(dataset.train), len(dataset.validation), len(dataset.test)],
        **measured,
        "seconds": round(time.perf_counter() - start, 1),
        "software": {"python": platform.python_version(), "numpy": np.__version__},
    }
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content) + "\n")
    temporary.replace(path)
    return content


def _run_rule(
    experiment: Experiment, dataset: Dataset, seed: int, progress: Callable[[EpochRecord], None]
) -> dict[str, Any]:
    network = dict(experiment.network)
    network["layers"] = [width or dataset.width // network.get("window", 1) for width in network["layers"]]
    network |= {"classes": len(dataset.classes), "seed": seed}
    learner = build_learner(experiment.rule, {"network": network, "batch": experiment.batch})
    training = Training(learner, vote_from=experiment.epochs - experiment.votes if experiment.votes else None)
    for record in training.run(dataset, experiment.epochs):
        progress(record)
    test = dataset.test
    best = training.best_record
    return {
        "weights": sum(w.size for w in learner.weights()),
        "best_epoch": best.epoch,
        "best_validation": best.validation,
        "best": training.best_accuracy(test.inputs, test.labels),
        "last": accuracy(learner.predict(test.inputs), test.labels),
        "majority": training.majority_accuracy(test.inputs, test.labels) if experiment.votes else None,
        "training_curve": [round(record.training, 5) for record in training.history],
        "validation_curve": [round(record.validation, 5) for record in training.history],
    }


def _run_baseline(
    experiment: Experiment, dataset: Dataset, seed: int, progress: Callable[[EpochRecord], None]
) -> dict[str, Any]:
    found = []
    for epoch in BASELINES[experiment.rule](dataset, experiment.network, experiment.epochs, seed):
        best = not found or epoch.validation > max(before.validation for before in found)
        found.append(epoch)
        progress(EpochRecord(len(found), epoch.training, epoch.validation, best))
    best = max(range(len(found)), key=lambda index: found[index].validation)
    return {
        "weights": None,
        "best_epoch": best + 1,
        "best_validation": found[best].validation,
        "best": found[best].test,
        "last": found[-1].test,
        "majority": None,
        "training_curve": [round(epoch.training, 5) for epoch in found],
        "validation_curve": [round(epoch.validation, 5) for epoch in found],
    }


def run_path(experiment: Experiment, seed: int, folder: Path = RESULTS) -> Path:
    """The file of one run; the version is part of its name."""
    return folder / f"{experiment.name}.v{experiment.version}.{seed}.json"


def load_runs(experiment: Experiment, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The runs of an experiment's seeds that are done."""
    paths = (run_path(experiment, seed, folder) for seed in experiment.seeds)
    return [_read(path) for path in paths if path.exists()]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict) or not RUN_FIELDS <= found.keys():
        raise ValueError(f"{path} is no run of an experiment: it must have {', '.join(sorted(RUN_FIELDS))}")
    return found


def select(experiments: Iterable[Experiment], patterns: Iterable[str]) -> Iterator[Experiment]:
    """Those whose name fits one of the shell patterns, in the order of the patterns. ValueError when none fits."""
    experiments = list(experiments)
    for pattern in patterns:
        found = [experiment for experiment in experiments if fnmatch.fnmatchcase(experiment.name, pattern)]
        if not found:
            raise ValueError(f"no experiment is called {pattern!r}; `bitprop experiments list` shows all")
        yield from found
