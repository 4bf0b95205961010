"""Commands of the experiments: list, run, table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .console import clear_errors, console
from .definitions import EXPERIMENTS
from .experiments import RESULTS, Experiment, run, run_path, select
from .report import summarise, write_report

__all__ = ["app"]

app = typer.Typer(help="Named experiments: what they are, running them, the results document.", no_args_is_help=True)

ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of the saved runs.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("list")
def show(results: ResultsOption = RESULTS, as_json: JsonOption = False) -> None:
    """All experiments, and how many of their runs are done."""
    with clear_errors():
        rows = [summarise(experiment, results) for experiment in EXPERIMENTS]
    if as_json:
        typer.echo(json.dumps([row.to_dict() for row in rows]))
        return
    table = Table("name", "version", "what", "runs", "result %")
    for row in rows:
        result = "" if row.mean is None else f"{row.mean:.2f} ± {row.deviation:.2f}"
        done = f"{row.runs}/{len(row.experiment.seeds)}"
        table.add_row(row.experiment.name, str(row.experiment.version), row.experiment.about, done, result)
    Console().print(table)


@app.command("run")
def run_experiments(
    names: Annotated[list[str], typer.Argument(help="Names; * and ? stand for anything.")],
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Only these seeds.")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Local copy of the data sets' files.")] = None,
    results: ResultsOption = RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Do the runs that are not done yet; what is done stays when you stop it."""
    with clear_errors():
        chosen = list(select(EXPERIMENTS, names))
        try:
            for experiment in chosen:
                for number in experiment.seeds if seed is None else seed:
                    _run_one(experiment, number, data_dir, results)
        except KeyboardInterrupt:
            console.print("Stopped; the runs that are done are kept, the same command goes on.")
            raise typer.Exit(130) from None
        rows = [summarise(experiment, results) for experiment in chosen]
    if as_json:
        typer.echo(json.dumps([row.to_dict() for row in rows]))
        return
    for row in rows:
        result = "no run of its seeds" if row.mean is None else f"{row.mean:.2f} ± {row.deviation:.2f} %"
        typer.echo(f"{row.experiment.name}: {result} ({row.runs} runs)")


@app.command()
def table(results: ResultsOption = RESULTS, as_json: JsonOption = False) -> None:
    """Write the results document, README.md and plots, from the saved runs."""
    with clear_errors():
        results.mkdir(parents=True, exist_ok=True)
        rows = write_report(EXPERIMENTS, results)
    if as_json:
        typer.echo(json.dumps([row.to_dict() for row in rows]))
    else:
        typer.echo(f"{results / 'README.md'}: {sum(row.runs > 0 for row in rows)} of {len(rows)} experiments have runs")


def _run_one(experiment: Experiment, seed: int, data_dir: Path | None, results: Path) -> None:
    title = f"{experiment.name}, seed {seed}"
    if run_path(experiment, seed, results).exists():
        console.print(f"{title}: done")
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[accuracy]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=experiment.epochs, accuracy="")
        run(
            experiment,
            seed,
            data_dir,
            results,
            lambda record: bar.update(
                task, completed=record.epoch, accuracy=f"validation {100 * record.validation:.2f} %"
            ),
        )
        bar.update(task, completed=experiment.epochs)
