"""Commands that train on an accelerator: simulated (demo, simulate, bench), or on a board (run)."""

import json
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..hw.link.config import BAUD
from ..hw.ports import PHASES
from ..model.cli import DataOption, FolderOption, new_learner, read_settings
from ..model.config import MAX_BATCH, parse_widths
from ..model.console import check_writable, clear_errors, console, fail
from ..model.data import load_dataset
from ..model.learners import HardwareLearner
from ..model.presets import DIGITS_BATCH, digits_network
from ..model.trainer import Training, accuracy
from ..synth.accelerator import Accelerator
from ..synth.boards import find_board
from ..synth.cli import (
    BatchOption,
    BoardOption,
    ClassesOption,
    GroupsOption,
    LayersOption,
    TriggerOption,
    read_network,
)
from ..synth.driver import Device, SerialTransport
from ..synth.replay import Comparison, Mismatch, replay
from .benchmark import benchmark_table, run_benchmark
from .demo import DemoSettings, run_demo
from .picture import draw
from .runner import BenchError
from .simulate import simulate
from .speed import measure_speed

__all__ = ["app"]

app = typer.Typer()

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seeds counters, classifier and order of samples.")]
PICTURES = Path("build/bench")
FORMATS = (".svg", ".png", ".pdf")


class _Screen:
    """A bar for each task that is at work, and what is done above them. Also without a terminal a line now and
    then says how far things are."""

    LINES_A_TASK = 5

    def __init__(self):
        self._bars = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[detail]}"),
                              TimeElapsedColumn(), console=console, transient=True)
        self._tasks, self._shown, self._lock = {}, {}, threading.Lock()

    def __enter__(self):
        self._bars.start()
        return self

    def __exit__(self, kind, error, trace):
        self._bars.stop()

    def say(self, text: str) -> None:
        self._bars.console.print(escape(text), highlight=False, soft_wrap=True)

    def progress(self, task: str, done: float, total: float, detail: str = "") -> None:
        with self._lock:
            if task not in self._tasks:
                self._tasks[task] = self._bars.add_task(task, detail="")
            self._bars.update(
                self._tasks[task], completed=done, total=total if total > 1 or done else None, detail=escape(detail))
            if done >= total:
                self._bars.remove_task(self._tasks.pop(task))
            step = (int(self.LINES_A_TASK * done / total), detail if total == 1 else "")
            if not console.is_terminal and self._shown.get(task) != step:
                self._shown[task] = step
                self.say(f"   {task}: {detail or 'done'}")


@app.command()
def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Some batches on the RTL, the iCEBreaker only.")] = False,
    seed: SeedOption = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Whole epochs on the RTL: 3, or none if quick.")] = None,
    as_json: JsonOption = False,
):
    """Train digits on the golden model and on the accelerator's RTL, bit for bit the same; build the bitstreams;
    leave build/demo/report.html and summary.json."""
    changes: dict[str, Any] = {"seed": seed} | ({"rtl_epochs": epochs} if epochs else {})
    settings = DemoSettings.quick(**changes) if quick else DemoSettings(**changes)
    with clear_errors(), _Screen() as screen:
        summary = run_demo(settings, screen)
    if as_json:
        print(json.dumps(summary, indent=2))
    else:
        _show_summary(summary)
    if summary["failures"]:
        fail("\n".join(summary["failures"]))


@app.command("simulate")
def simulate_core(
    board: BoardOption = "icebreaker",
    layers: LayersOption = "64,32,16",
    groups: GroupsOption = "",
    classes: ClassesOption = 10,
    batches: Annotated[str, typer.Option(help="Their sizes; the fourth of each four is inferred only.")] = "32,5,32,32",
    stalls: Annotated[bool, typer.Option("--stalls", help="Keep the core waiting on every stream, at random.")] = False,
    waves: Annotated[Path | None, typer.Option(help="Record all signals here, as VCD, for GTKWave or Surfer.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
):
    """Run the cocotb bench of a board's core: random batches on a network of your sizes, RTL and golden model compared
    bit for bit."""
    with clear_errors(BenchError):
        chosen = find_board(board)
        network = replace(read_network(chosen, layers, groups, classes), seed=seed)
        if waves is not None:
            check_writable(waves)
        with console.status(f"{chosen.title}: compiling and simulating the core"):
            done = simulate(chosen.config, network, parse_widths("--batches", batches), stalls=stalls, waves=waves)
    if as_json:
        print(json.dumps(done.to_dict() | {"waves": str(waves) if waves else None}, indent=2))
        return
    Console().print(
        f"{chosen.title}, {'-'.join(map(str, network.layers))}: {done.samples} samples, {done.triggered} triggered, "
        f"{done.row_updates} rows updated, {done.saturations} counters saturated, {done.cycles:,} cycles; every "
        "prediction, trigger, statistic and counter equal to the golden model's", highlight=False)
    Console().print(f"log: {done.log}", highlight=False, soft_wrap=True)
    if waves is not None:
        Console().print(f"waveforms: {waves}", highlight=False, soft_wrap=True)


@app.command()
def bench(
    board: BoardOption = "icebreaker",
    layers: LayersOption = "256,64,64",
    groups: GroupsOption = "",
    classes: ClassesOption = 10,
    batch: BatchOption = MAX_BATCH,
    trigger: TriggerOption = 1.0,
    picture: Annotated[Path | None, typer.Option(help="Where the picture goes: .svg, .png or .pdf.")] = None,
    speed: Annotated[bool, typer.Option(
        "--speed", help="How fast the simulation is instead: an epoch of digits, compared with the model.")] = False,
    as_json: JsonOption = False,
):
    """Count the cycles of a trained and of an inferred sample, on the simulated core of a board; say what they go to,
    and how far they are from the roofline; draw a picture."""
    if speed:
        return _bench_speed(board, as_json)
    with clear_errors(BenchError):
        chosen = find_board(board)
        network = read_network(chosen, layers, groups, classes)
        if picture is None:
            PICTURES.mkdir(parents=True, exist_ok=True)
        elif picture.suffix not in FORMATS:
            raise ValueError(f"--picture must end in {', '.join(FORMATS)}, not {picture.name!r}")
        file = picture or PICTURES / f"{board}-{'-'.join(map(str, network.layers))}.svg"
        check_writable(file)
        with console.status(f"{chosen.title}: compiling and counting") as status:
            result = run_benchmark(chosen, network, batch=batch, trigger=trigger, progress=status.update)
        draw(result.forecast, result.train, result.infer, file)
    if as_json:
        print(json.dumps(result.to_dict() | {"picture": str(file)}, indent=2))
        return
    Console().print(benchmark_table(result))
    Console().print(f"picture: {file}", highlight=False)


@app.command()
def run(
    port: Annotated[str, typer.Option(help="Serial port of the board.")],
    baud: Annotated[int, typer.Option(min=1, help="As the bitstream was built for.")] = BAUD,
    epochs: Annotated[int, typer.Option(min=0, help="Whole epochs.")] = 3,
    batches: Annotated[int, typer.Option(min=0, help="Batches after those.")] = 0,
    data: DataOption = "digits",
    layers: Annotated[str | None, typer.Option(
        help="Widths, input first; 0 for the data set's own input width. Default: the demo's network.")] = None,
    settings: Annotated[str, typer.Option(
        "--set", help="With --layers, more fields of the network as JSON; counter_bits are the board's.")] = "{}",
    batch: Annotated[int | None, typer.Option(min=1, max=MAX_BATCH, help="Samples a batch.")] = None,
    data_dir: FolderOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
):
    """Train on a board and on the golden model, and compare them bit for bit."""
    if not epochs + batches:
        fail("nothing to train: --epochs and --batches are both 0")
    with clear_errors(Mismatch):
        fields = read_settings(settings) | {"seed": seed}
        if layers is None and (data != "digits" or len(fields) > 1):
            raise ValueError("--data and --set need --layers: the demo's network is for digits")
        dataset = load_dataset(data, data_dir)
    with clear_errors(Mismatch), SerialTransport(port, baud) as line, _Screen() as screen:
        device = Device(line)
        if layers is None:
            learner = HardwareLearner(digits_network(seed), batch=batch or DIGITS_BATCH)
        else:
            learner = new_learner("hardware", layers, dataset, batch,
                                  {"counter_bits": device.config.counter_bits} | fields)
        training = Training(learner)
        accelerator = Accelerator(device, learner.config, learner.state.classifier)

        def show(comparison: Comparison):
            screen.say(f"epoch {comparison.epoch}, {comparison.samples} samples: state "
                       f"{comparison.state_hash[:16]}… on the board and in the model; "
                       f"validation {comparison.validation:.1%}")

        result = replay(
            accelerator, training, dataset, epochs=epochs, batches=batches, on_comparison=show,
            on_batch=lambda done, total: screen.progress("board", done, total, f"batch {done} of {total}"))
        test = accuracy(accelerator.infer(dataset.test.inputs), dataset.test.labels)
    summary = result.to_dict() | {"test_accuracy": test, "array": asdict(accelerator.device.config)}
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    Console().print(
        f"{result.samples} samples, every bit equal; test accuracy of the last state {test:.2%}; "
        f"{result.cycles_per_sample:.1f} cycles a sample; state {summary['state_hash']}")


def _bench_speed(name: str, as_json: bool) -> None:
    with clear_errors(BenchError, Mismatch):
        board = find_board(name)
        with console.status(f"{board.title}: compiling, and an epoch of digits"):
            speed = measure_speed(board.config)
    if as_json:
        print(json.dumps({"board": name, "bit_ops": board.config.bit_ops} | speed.to_dict(), indent=2))
        return
    Console().print(
        f"{board.title}: {speed.cycles_per_second:,.0f} simulated cycles a second, "
        f"{speed.cycles_per_processor_second:,.0f} of processor time; an epoch of digits, {speed.samples} samples, "
        f"in {speed.epoch_seconds:.1f} s, every bit equal to the golden model's; "
        f"state {speed.state_hash}")


def _show_summary(summary: dict[str, Any]) -> None:
    table = Table("cycles a trained sample", *PHASES, "all", "µs")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = []
    if summary["cycles"]:
        rows.append(("digits, on the RTL", summary["cycles"], summary["cycles_per_sample"], summary["clock_mhz"]))
    rows += [(f"all triggered, {name}", count["train"]["cycles"], count["train"]["cycles_per_sample"],
              count["clock_mhz"]) for name, count in summary["all_triggered"].items()]
    for name, cycles, total, clock in rows:
        table.add_row(name, *(f"{cycles[phase]:.1f}" for phase in PHASES), f"{total:.1f}", f"{total / clock:.1f}")
    table.add_row("digits, golden model", *[""] * 5, f"{1e6 * summary['model']['seconds_per_sample']:.1f}")
    Console().print(table)
    if summary["boards"]:
        table = Table("", "LUT4", "block RAM", "Fmax", "clock")
        for value in summary["boards"].values():
            table.add_row(
                value["title"], f"{value['lut4']} of {value['lut4_available']}",
                f"{value['block_ram']} of {value['block_ram_available']}", f"{value['fmax_mhz']:.1f} MHz",
                f"{value['target_mhz']:.1f} MHz")
        Console().print(table)
