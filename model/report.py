"""The results document: tables and plots made of saved runs, nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from .definitions import PROVENANCE
from .experiments import GROUPS, Experiment, load_runs

__all__ = ["Row", "summarise", "write_report"]

SCORES = {
    "best": "epoch that validates best",
    "last": "last epoch",
    "majority": "majority of the last epochs' weights",
}


@dataclass(frozen=True)
class Row:
    """One experiment's runs put together; accuracies in percent, None without a run.

    experiment
        The definition.
    runs
        Number of runs done.
    mean, deviation
        Of the experiment's score over its seeds; the sample standard deviation, 0 of a single run.
    best, last, majority
        Mean test accuracy of the epoch that validated best, of the last epoch, and of the majority of the last epochs'
        weights (None where it was not asked for).
    seconds
        Mean time of a run, by the clock, with its validation and its test.
    weights
        Trained weights; None of a baseline.
    """

    experiment: Experiment
    runs: int
    mean: float | None = None
    deviation: float | None = None
    best: float | None = None
    last: float | None = None
    majority: float | None = None
    seconds: float | None = None
    weights: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        experiment = self.experiment
        return {
            "name": experiment.name,
            "version": experiment.version,
            "about": experiment.about,
            "score": experiment.score,
            "runs": self.runs,
            "seeds": len(experiment.seeds),
            "mean": self.mean,
            "deviation": self.deviation,
            "best": self.best,
            "last": self.last,
            "majority": self.majority,
            "published": experiment.published,
            "bar": experiment.bar,
            "seconds": self.seconds,
            "weights": self.weights,
        }


def summarise(experiment: Experiment, folder: Path) -> Row:
    """The row of one experiment from its saved runs."""
    runs = load_runs(experiment, folder)
    if not runs:
        return Row(experiment, 0)
    scores = 100 * np.array([run[experiment.score] for run in runs])
    return Row(
        experiment,
        len(runs),
        float(scores.mean()),
        float(scores.std(ddof=1)) if len(runs) > 1 else 0.0,
        *(float(100 * np.mean([run[score] for run in runs])) for score in ("best", "last")),
        float(100 * np.mean([run["majority"] for run in runs])) if experiment.votes else None,
        float(np.mean([run["seconds"] for run in runs])),
        runs[0]["weights"],
    )


def write_report(experiments: Sequence[Experiment], folder: Path) -> list[Row]:
    """Write `README.md` and its plots into `folder`, from the runs in it; returns the rows.

    Rows without a run say so. The same runs give the same files.
    """
    rows = [summarise(experiment, folder) for experiment in experiments]
    lines = [
        "# Results",
        "",
        "Written by `bitprop experiments table` from the runs in this folder; every run is one JSON file.",
        "Accuracies in percent, mean ± sample standard deviation over the seeds. `runs` counts the seeds done of "
        "those asked for, `s/epoch` is the clock's time of a run over its epochs, one thread, other work beside it.",
        "",
        "No epoch is chosen by the test part. Settings are another matter; what each came from:",
        "",
        *(f"- {line}" for line in PROVENANCE),
        "",
    ]
    for section, members in itertools.groupby(rows, key=lambda row: row.experiment.section):
        members = list(members)
        lines += [f"## {section}", "", *_table(members), *_together(members, folder), ""]
    plots = [*_curves(rows, folder), *_learning_curves(rows, folder)]
    if plots:
        lines += ["## Plots", ""]
        for title, name in plots:
            lines += [f"![{title}]({name})", ""]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return rows


def _table(rows: list[Row]) -> list[str]:
    percent = lambda value: "–" if value is None else f"{value:.2f}"  # noqa: E731
    lines = [
        "| experiment | result | how measured | best epoch | last epoch | majority | published | bar | runs | s/epoch "
        "| command |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        experiment = row.experiment
        spread = f" ± {row.deviation:.2f}" if row.runs > 1 else " (one run)"
        pace = "–" if row.seconds is None else f"{row.seconds / experiment.epochs:.2f}"
        result = "not run" if row.mean is None else f"**{row.mean:.2f}**{spread}"
        lines.append(
            f"| {experiment.about} | {result} | {SCORES[experiment.score]} "
            f"| {percent(row.best)} | {percent(row.last)} | {percent(row.majority)} "
            f"| {percent(experiment.published)} | {percent(experiment.bar)} | {row.runs}/{len(experiment.seeds)} "
            f"| {pace} | `bitprop experiments run {experiment.name}` |"
        )
    means = [(row.mean, row.experiment.published) for row in rows if row.mean is not None and row.experiment.published]
    if len(means) == len(rows) > 1:
        ours, theirs = np.mean(means, axis=0)
        lines += ["", f"Mean over these rows: {ours:.2f}; published: {theirs:.2f}."]
    return lines


def _together(rows: list[Row], folder: Path) -> list[str]:
    """Of two experiments that take new data each run: how far the first one's result goes with the second one's."""
    if len(rows) != 2 or not all(row.experiment.data.get("redraw") and row.runs > 2 for row in rows):
        return []
    runs = [{run["seed"]: 100 * run[row.experiment.score] for run in load_runs(row.experiment, folder)} for row in rows]
    seeds = sorted(runs[0].keys() & runs[1].keys())
    first, second = ([found[seed] for seed in seeds] for found in runs)
    return [
        "",
        f"Over these draws the first row goes from {min(first):.1f} to {max(first):.1f}, the second from "
        f"{min(second):.1f} to {max(second):.1f}; their correlation is {np.corrcoef(first, second)[0, 1]:.2f}.",
    ]


def _curves(rows: list[Row], folder: Path) -> list[tuple[str, str]]:
    """One plot for each group of experiments: accuracy against the setting that it varies, or else against the number
    of weights.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.experiment.group and row.mean is not None:
            groups.setdefault(row.experiment.group, []).append(row)
    plots = []
    for group, members in groups.items():
        if len(members) < 2:
            continue
        members.sort(key=lambda row: row.experiment.value)
        figure, axes = _figure()
        place = {row.experiment.name: row.experiment.value if group in GROUPS else row.weights for row in members}
        values = list(place.values())
        means, deviations = [row.mean for row in members], [row.deviation for row in members]
        axes.errorbar(values, means, deviations, marker="o", capsize=3, label="here")
        known = [row.experiment for row in members if row.experiment.published]
        published = [(place[experiment.name], experiment.published) for experiment in known]
        if published:
            axes.plot(*zip(*published, strict=True), marker="x", linestyle="--", label="published")
            axes.legend()
        if min(values) > 0 and max(values) > 8 * min(values):
            axes.set_xscale("log", base=2)
            axes.set_xticks(values, [f"{value:,g}" if value < 1e5 else f"{value / 1000:,.0f} k" for value in values])
        axes.set_xlabel(GROUPS.get(group, "trained weights"))
        axes.set_ylabel("test accuracy, %")
        plots.append((f"Accuracy: {group}", _save(figure, folder, f"{group}.svg")))
    return plots


def _learning_curves(rows: list[Row], folder: Path) -> list[tuple[str, str]]:
    """Validation accuracy against the epoch, mean over the seeds, one plot a section."""
    plots = []
    for section, members in itertools.groupby(rows, key=lambda row: row.experiment.section):
        members = [row for row in members if row.runs and row.experiment.group not in GROUPS]
        if not members:
            continue
        figure, axes = _figure()
        for row in members:
            curves = np.array([run["validation_curve"] for run in load_runs(row.experiment, folder)])
            axes.plot(np.arange(1, curves.shape[1] + 1), 100 * curves.mean(axis=0), label=row.experiment.name)
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation accuracy, %")
        axes.set_title(section)
        axes.legend(fontsize="x-small")
        name = "".join(c if c.isalnum() else "-" for c in section.lower())
        plots.append((f"Learning curves: {section}", _save(figure, folder, f"learning-{name}.svg")))
    return plots


def _figure():
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Figure, folder: Path, name: str) -> str:
    # A fixed salt and no date: the same runs give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "bitprop"}):
        figure.savefig(folder / name, metadata={"Date": None})
    return name
