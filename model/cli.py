"""Commands of the model: train, eval, inspect, export, experiments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .checkpoint import load_checkpoint, save_checkpoint
from .config import parse_widths
from .console import check_writable, clear_errors, console
from .data import ARCHIVE, Dataset, dataset_names, load_dataset
from .exchange import read_onnx, write_onnx
from .experiments_cli import app as experiment_commands
from .learners import RULES, Learner, build_learner, with_weights
from .step import visible
from .trainer import Training, accuracy, hold_interrupts

app = typer.Typer(help="Train and look at binary networks in the golden model.", no_args_is_help=True)
app.add_typer(experiment_commands, name="experiments")

RECURRENT = {"paper": "recurrent", "hardware": "recurrent-hardware", "recurrent": "recurrent",
             "recurrent-hardware": "recurrent-hardware"}
"""Rules with --rnn."""

OWN_OPTIONS = {"layers", "classes", "seed", "window", "initial"}
"""Fields of networks that are not for --set: the data set and options of their own say what they are."""

OPTIONS = {"settings": "--set", "rnn": "--rnn"}
"""Options whose parameters have other names."""

DataOption = Annotated[str, typer.Option("--data", help=f"Data set: {', '.join(dataset_names())}.")]
FolderOption = Annotated[Path | None, typer.Option(
    "--data-dir", exists=True, file_okay=False, help="Local copy of the data sets' files.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def train(
    context: typer.Context,
    data: DataOption = "digits",
    layers: Annotated[
        str, typer.Option(help="Widths, input first; 0 for the data set's own input width.")
    ] = "0,64,64",
    rule: Annotated[str, typer.Option(help=f"Training rule: {', '.join(RULES)}.")] = "hardware",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs in all, those before --resume included.")] = 30,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Samples a batch: 32, or 100 with the published rules.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seeds counters, classifier and order of samples.")] = 0,
    rnn: Annotated[
        bool, typer.Option("--rnn", help="A recurrent network: --window, --state; --layers is not used.")
    ] = False,
    window: Annotated[int | None, typer.Option(min=1, help="Last steps of a series, with --rnn.")] = None,
    state: Annotated[int, typer.Option(min=1, help="Width of state, top layer and a step's inputs, with --rnn.")] = 128,
    initial: Annotated[
        str, typer.Option(help="Where W_xs and W_ss start, with --rnn: random, or delay-line, which holds the window.")
    ] = "random",
    init: Annotated[Path | None, typer.Option(help="ONNX file whose ±1 weights and classifier to start from.")] = None,
    vote: Annotated[
        int, typer.Option(min=0, help="Also report the majority of the weights after the last so many epochs.")
    ] = 0,
    settings: Annotated[
        str,
        typer.Option("--set", help="More fields of the network as JSON, such as '{\"reinforcement\": 16}'."),
    ] = "{}",
    out: Annotated[Path | None, typer.Option(help="Checkpoint to write: after every epoch, and on Ctrl-C.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on from a checkpoint; its network and data are kept.")
    ] = None,
    data_dir: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network; the epoch that validates best is the one reported."""
    with clear_errors():
        given = {name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"}
        if resume:
            for name in sorted(given - {"epochs", "out", "resume", "data_dir", "as_json"}):
                raise ValueError(f"{OPTIONS.get(name, '--' + name)} is the checkpoint's own with --resume")
            training, about, dataset = _load(resume, data_dir)
            out = out or resume
            if training.epoch > epochs:
                raise ValueError(f"{resume} has {training.epoch} epochs; --epochs, which counts them too, is {epochs}")
        else:
            if vote > epochs:
                raise ValueError(f"--vote must be at most --epochs, {epochs}, not {vote}")
            fields = read_settings(settings) | {"seed": seed}
            options = {}
            if rnn:
                if window is None:
                    raise ValueError("--rnn needs --window")
                if rule not in RECURRENT:
                    raise ValueError(f"with --rnn, --rule must be one of {', '.join(RECURRENT)}, not {rule!r}")
                rule = RECURRENT[rule]
                # A delay line keeps pairs of copies, of so many inputs of a step as the state has room for.
                line = initial == "delay-line"
                width = max(1, state // (2 * window)) if line else state
                # Series are expanded to the width of the state; images come row by row as they are.
                options = ({"window": window, "width": width} if data in ARCHIVE else {}) | (
                    {"copies": 2} if line else {}
                )
            elif rule in RECURRENT.values() or given & {"window", "state", "initial"}:
                raise ValueError("a recurrent network is asked for with --rnn and --window")
            about = {"data": data, "options": options}
            dataset = load_dataset(data, data_dir, **options)
            if rnn:
                layers = f"{_step_width(dataset, window)},{state},{state}"
                fields |= {"window": window, "initial": initial}
            training = Training(
                new_learner(rule, layers, dataset, batch, fields, init),
                vote_from=epochs - vote if vote else None,
            )
        if out is not None:
            check_writable(out)

        def save() -> None:
            if out is not None:
                save_checkpoint(out, training, about)

        try:
            _run(training, dataset, epochs, save)
        except KeyboardInterrupt:
            save()
            if out is not None:
                console.print(f"Stopped in epoch {training.epoch + 1}; go on with --resume {out}", markup=False)
            raise typer.Exit(130) from None
        _report(_summary(training, dataset), as_json)


@app.command("eval")
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint file.")],
    data_dir: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accuracies of a checkpoint's best and last epoch on the data set it was trained on."""
    with clear_errors():
        training, _, dataset = _load(checkpoint, data_dir)
        _report(_summary(training, dataset), as_json)


@app.command()
def inspect(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint file.")],
    as_json: JsonOption = False,
) -> None:
    """Sizes, spread and saturation of the counters, and weights flipped since the start, layer by layer."""
    with clear_errors():
        loaded = load_checkpoint(checkpoint)
    rows = describe_layers(loaded.training.learner)
    if as_json:
        typer.echo(json.dumps({"network": loaded.training.learner.describe(), "layers": rows}))
        return
    table = Table("layer", "shape", "|k| mean", "quartiles of k", "saturated %", "flipped %", "+1 %")
    for row in rows:
        table.add_row(
            str(row["layer"]),
            "×".join(map(str, row["shape"])),
            f"{row['mean_magnitude']:.1f}",
            " ".join(map(str, row["quartiles"])),
            f"{100 * row['saturated']:.2f}",
            f"{100 * row['flipped']:.2f}",
            f"{100 * row['positive']:.1f}",
        )
    Console().print(table)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint file.")],
    out: Annotated[Path, typer.Argument(help="ONNX file to write.")],
    which: Annotated[str, typer.Option(help="Weights to write: best, last or majority.")] = "best",
) -> None:
    """Write the ±1 network as ONNX with QONNX's bipolar quantisation."""
    with clear_errors():
        training = load_checkpoint(checkpoint).training
        learner = training.learner
        if learner.rule.startswith("recurrent"):
            raise ValueError("recurrent networks can not be exported")
        arrays = {"best": lambda: training.best, "last": learner.arrays, "majority": training.majority}
        if which not in arrays:
            raise ValueError(f"--which must be one of {', '.join(arrays)}, not {which!r}")
        found = arrays[which]()
        if found is None:
            raise ValueError(f"{checkpoint} has no best epoch: no epoch is finished")
        learner.load(found)
        write_onnx(out, learner.weights(), learner.state.classifier)
    config = learner.config
    console.print(f"{out}: {'-'.join(map(str, config.layers))}, {config.classes} classes, QONNX bipolar", markup=False)


def describe_layers(learner: Learner) -> list[dict[str, Any]]:
    """One JSON-ready row a layer: shape, counters' mean magnitude, quartiles and histogram, and the fractions
    of saturated counters, of weights flipped since the start, and of weights that are +1.

    With the paper's rule the counters are k = (H - 1) / 2.
    """
    config = learner.config
    low, high = -(1 << 14), (1 << 14) - 1
    if hasattr(learner.state, "counters"):
        low, high = config.counter_min, config.counter_max
    fresh = build_learner(learner.rule, learner.describe())
    rows = []
    for layer, (k, start) in enumerate(zip(_counters(learner), _counters(fresh), strict=True), 1):
        counts, edges = np.histogram(k, bins=16)
        rows.append(
            {
                "layer": layer,
                "shape": list(k.shape),
                "mean_magnitude": float(np.abs(2 * k.astype(int) + 1).mean() / 2),
                "quartiles": [int(value) for value in np.quantile(k, (0, 0.25, 0.5, 0.75, 1))],
                "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
                "saturated": float(np.mean((k <= low) | (k >= high))),
                "flipped": float(np.mean(visible(k) != visible(start))),
                "positive": float(np.mean(k >= 0)),
            }
        )
    return rows


def _counters(learner: Learner) -> list[np.ndarray]:
    state = learner.state
    return state.counters if hasattr(state, "counters") else [(h - 1) // 2 for h in state.hidden]


def _load(path: Path, data_dir: Path | None) -> tuple[Training, dict[str, Any], Dataset]:
    """A checkpoint's training and notes, and the data set that it was trained on."""
    loaded = load_checkpoint(path)
    if not isinstance(loaded.about.get("data"), str):
        raise ValueError(f"{path} does not say what data set it was trained on")
    dataset = load_dataset(loaded.about["data"], data_dir, **loaded.about.get("options", {}))
    network = loaded.training.learner.config
    inputs = network.layers[0] * getattr(network, "window", 1)
    if (inputs, network.classes) != (dataset.width, len(dataset.classes)):
        raise ValueError(f"{path} holds a network of {inputs} inputs and {network.classes} classes; {dataset.name} has "
                         f"{dataset.width} and {len(dataset.classes)}")
    return loaded.training, loaded.about, dataset


def read_settings(text: str) -> dict[str, Any]:
    """The fields that `--set` gives. Raises ValueError for what is no JSON object, or has options of its own."""
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ValueError(f"--set must be a JSON object, not {text!r}: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"--set must be a JSON object, not {text!r}")
    for name in OWN_OPTIONS & fields.keys():
        raise ValueError(f"{name} is set by --{name}, not by --set")
    return fields


def new_learner(
    rule: str, layers: str, dataset: Dataset, batch: int | None, fields: dict[str, Any], init: Path | None = None
) -> Learner:
    """A learner for a data set: `layers` as the option has them, and more `fields` of the network.

    Raises ValueError where these, or what `init` holds, do not fit the data or one another.
    """
    widths = list(parse_widths("--layers", layers))
    inputs = dataset.width // fields.get("window", 1)
    widths[0] = widths[0] or inputs
    if widths[0] != inputs:
        raise ValueError(f"{dataset.name} has {inputs} inputs, --layers says {widths[0]}")
    fields = {"layers": widths, "classes": len(dataset.classes)} | fields
    learner = build_learner(rule, {"network": fields} | ({} if batch is None else {"batch": batch}))
    if init is not None:
        weights, classifier = read_onnx(init)
        shapes = [w.shape for w in weights]
        if shapes != learner.config.shapes or classifier.shape != learner.state.classifier.shape:
            raise ValueError(f"{init} holds layers of shapes {shapes} and a classifier of {classifier.shape}")
        learner.load(with_weights(learner.arrays(), weights) | {"classifier": classifier})
    return learner


def _step_width(dataset: Dataset, window: int) -> int:
    if dataset.width % window:
        raise ValueError(f"{dataset.name} has {dataset.width} inputs, which {window} steps do not divide")
    return dataset.width // window


def _run(training: Training, dataset: Dataset, epochs: int, save: Callable[[], None]) -> None:
    """Train with a bar over all batches and the accuracies so far; `save` after every epoch."""
    batches = len(training.batches(dataset))
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[accuracies]}"),
    )
    with Progress(*columns, console=console) as bar, hold_interrupts() as leave:
        task = bar.add_task("", total=epochs * batches, epoch=training.epoch + 1, accuracies="")
        while training.epoch < epochs:
            for done in training.run_batches(dataset):
                bar.update(task, completed=training.epoch * batches + done, epoch=training.epoch + 1)
                leave()
            record = training.end_epoch(dataset)
            best = training.best_record
            bar.update(
                task,
                completed=training.epoch * batches,
                accuracies=(
                    f"training {100 * record.training:.1f} %  validation {100 * record.validation:.1f} %  "
                    f"best {100 * best.validation:.1f} % (epoch {best.epoch})"
                ),
            )
            save()
            leave()


def _summary(training: Training, dataset: Dataset) -> dict[str, Any]:
    best, test = training.best_record, dataset.test
    return {
        "data": dataset.name,
        "rule": training.learner.rule,
        "epochs": training.epoch,
        "best_epoch": best.epoch if best else None,
        "best_validation_accuracy": best.validation if best else None,
        "test_accuracy": training.best_accuracy(test.inputs, test.labels) if best else None,
        "majority_test_accuracy": (
            None if training.votes is None else training.majority_accuracy(test.inputs, test.labels)
        ),
        "last_test_accuracy": accuracy(training.learner.predict(test.inputs), test.labels),
    } | training.learner.describe()


def _report(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary))
        return
    percent = lambda value: "–" if value is None else f"{100 * value:.2f} %"  # noqa: E731
    table = Table(f"{summary['data']}, {summary['rule']} rule, {summary['epochs']} epochs", "")
    table.add_row(f"test accuracy, best epoch ({summary['best_epoch']})", percent(summary["test_accuracy"]))
    table.add_row("its validation accuracy", percent(summary["best_validation_accuracy"]))
    if summary["majority_test_accuracy"] is not None:
        table.add_row("test accuracy, majority of the last epochs", percent(summary["majority_test_accuracy"]))
    table.add_row("test accuracy, last epoch", percent(summary["last_test_accuracy"]))
    Console().print(table)
