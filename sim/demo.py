"""The demonstration: digits trained on the golden model and on the accelerator's RTL, bitstreams, cycles, a report."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..hw.config import ArrayConfig
from ..hw.link.config import LinkConfig
from ..hw.program import CapacityError, compile_network
from ..hw.system import System
from ..model.config import NetworkConfig
from ..model.data import Dataset, load_dataset
from ..model.learners import HardwareLearner
from ..model.presets import DIGITS_BATCH, DIGITS_EPOCHS, DIGITS_VOTES, digits_network
from ..model.trainer import Training
from ..synth.boards import find_board
from ..synth.build import BuildError, build
from ..synth.tools import ToolError
from .cycles import measure_cycles, model_seconds
from .report import write_report
from .runner import BenchError, array_cells, run_bench
from .workload import Workload

__all__ = ["DemoSettings", "Watch", "link_for_simulation", "run_demo"]

POLL_SECONDS = 0.3
CYCLES_A_BIT = 4
"""Of the simulated link: as few as it can, since what is shown is the training and not the line."""


class Watch(Protocol):
    """Is told what the demonstration does. Called from several threads."""

    def say(self, text: str) -> None:
        """Something is done."""

    def progress(self, task: str, done: float, total: float, detail: str = "") -> None:
        """How far a task is."""


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What is demonstrated.

    Parameters
    ----------
    seed
        Of the network.
    rtl_epochs, rtl_batches
        Trained on the RTL: whole epochs, and batches after those.
    boards
        Names of those that bitstreams are built for and cycles are counted for; the first one's array is simulated.
    build, count
        Whether bitstreams are built, and cycles counted with every sample triggered.
    network, array
        In place of the digits' network and of the first board's array.
    model_epochs, votes
        Trained by the golden model; the trained network is the majority of the weights after the last `votes`.
    accuracy
        Least test accuracy that is a success.
    folder
        Where the report goes.
    """

    seed: int = 0
    rtl_epochs: int = 3
    rtl_batches: int = 0
    boards: tuple[str, ...] = ("icebreaker", "ulx3s-85f-small")
    build: bool = True
    count: bool = True
    network: NetworkConfig | None = None
    array: ArrayConfig | None = None
    model_epochs: int = DIGITS_EPOCHS
    votes: int = DIGITS_VOTES
    accuracy: float = 0.95
    folder: Path = Path("build/demo")

    @classmethod
    def quick(cls, **changes: Any) -> DemoSettings:
        """Some batches on the RTL, and the first board only."""
        return cls(**{"rtl_epochs": 0, "rtl_batches": 8, "boards": ("icebreaker",)} | changes)


@dataclass
class _Demo:
    settings: DemoSettings
    watch: Watch
    failures: list[str] = field(default_factory=list)

    def attempt(self, step: str, work: Callable[[], Any]) -> Any:
        """The result of a step, or None where it failed, which is then noted."""
        try:
            return work()
        except (BenchError, BuildError, ToolError, CapacityError, ValueError, OSError) as error:
            self.fail(f"{step}: {error}")
            return None

    def fail(self, message: str) -> None:
        self.failures.append(message)
        self.watch.say(f"FAILED  {message}")


def run_demo(settings: DemoSettings, watch: Watch) -> dict[str, Any]:
    """All steps; returns what `summary.json` then holds, with `failures`, a message for each step that failed.

    A step that fails does not keep those from running that do not need it.
    """
    started = time.monotonic()
    demo = _Demo(settings, watch)
    settings.folder.mkdir(parents=True, exist_ok=True)
    network = digits_network(settings.seed) if settings.network is None else settings.network
    boards = [find_board(name) for name in settings.boards]
    array = boards[0].config if settings.array is None else settings.array

    dataset = load_dataset("digits")
    watch.say(f"1  digits: {dataset.width} inputs; {len(dataset.train)} samples to train on, "
              f"{len(dataset.validation)} for validation, {len(dataset.test)} for the test")

    stop = threading.Event()
    pool = ThreadPoolExecutor(1)
    try:
        # Placement takes one core and the simulation another.
        builds = {board.name: pool.submit(_build, board, watch, stop) for board in boards} if settings.build else {}
        training, seconds = _train_model(settings, network, dataset, watch)
        test_accuracy = training.majority_accuracy(dataset.test.inputs, dataset.test.labels)
        watch.say(f"2  {'-'.join(map(str, network.layers))} on the golden model, {training.epoch} epochs: "
                  f"test accuracy {test_accuracy:.2%}")
        if test_accuracy < settings.accuracy:
            demo.fail(f"golden model: test accuracy {test_accuracy:.2%}, less than {settings.accuracy:.0%}")

        rtl = demo.attempt("training on the RTL", lambda: _train_rtl(settings, network, array, training, watch))
        if rtl is not None:
            what = f"{rtl['epochs']} epochs, " if rtl["epochs"] else ""
            watch.say(f"3  the same on the RTL, {what}{rtl['samples']} samples: every bit equal\n"
                      f"   state of the RTL    {rtl['state_hash']}\n   state of the model  {rtl['model_hash']}")
        summaries = {board.name: _finish_build(demo, board.name, builds[board.name])
                     for board in boards if board.name in builds}
        headline = {board.name: demo.attempt(f"cycles of {board.name}", lambda board=board: _count(board, watch))
                    for board in boards if settings.count}
        counts = [("digits on the RTL", rtl["cycles_per_sample"])] if rtl else []
        counts += [(f"every sample triggered, {name}", count["train"]["cycles_per_sample"])
                   for name, count in headline.items() if count]
        watch.say("5  cycles a trained sample: " + "; ".join(f"{what} {cycles:.0f}" for what, cycles in counts))
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)

    summary = {
        "bit_exact": rtl is not None and rtl["bit_exact"],
        "epochs": rtl["epochs"] if rtl else 0,
        "samples": rtl["samples"] if rtl else 0,
        "test_accuracy": test_accuracy,
        "rtl_test_accuracy": rtl["rtl_test_accuracy"] if rtl else None,
        "cycles_per_sample": rtl["cycles_per_sample"] if rtl else None,
        "cycles": rtl["cycles"] if rtl else None,
        "state_hash": rtl["state_hash"] if rtl else None,
        "model_hash": rtl["model_hash"] if rtl else None,
        "boards": {name: value for name, value in summaries.items() if value},
        "all_triggered": {name: value for name, value in headline.items() if value},
        "model": {"epochs": training.epoch, "batch": training.learner.batch, "seconds_per_sample": seconds,
                  "history": [asdict(record) for record in training.history]},
        "rtl": rtl,
        "clock_mhz": boards[0].clock_hz / 1e6,
        "network": network.to_dict(),
        "array": array.to_dict(),
        "seconds": round(time.monotonic() - started, 1),
        "failures": demo.failures,
    }
    (settings.folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    report = write_report(summary, settings.folder / "report.html")
    watch.say(f"6  {report} and {settings.folder / 'summary.json'}")
    return summary


def link_for_simulation(link: LinkConfig) -> LinkConfig:
    """A board's link, as fast as can be."""
    return replace(link, baud=link.clock_hz // CYCLES_A_BIT)


def _train_model(settings: DemoSettings, network: NetworkConfig, dataset: Dataset,
                 watch: Watch) -> tuple[Training, float]:
    """The finished training, and seconds per sample that it took."""
    training = Training(HardwareLearner(network, batch=DIGITS_BATCH),
                        vote_from=max(0, settings.model_epochs - settings.votes))
    seconds = 0.0
    while training.epoch < settings.model_epochs:
        started = time.perf_counter()
        for _ in training.run_batches(dataset):
            pass
        seconds += time.perf_counter() - started
        record = training.end_epoch(dataset)
        watch.progress("golden model", record.epoch, settings.model_epochs, f"validation {record.validation:.1%}")
    return training, seconds / (training.epoch * len(dataset.train))


def _train_rtl(settings: DemoSettings, network: NetworkConfig, array: ArrayConfig, training: Training,
               watch: Watch) -> dict[str, Any]:
    """What `bench_demo` found; BenchError where it differed."""
    progress = (settings.folder / "rtl.jsonl").resolve()
    progress.unlink(missing_ok=True)
    trained = (settings.folder / "trained.npz").resolve()
    arrays = training.majority()
    np.savez_compressed(trained, **arrays)
    compile_network(network, arrays["classifier"], array)
    link = link_for_simulation(find_board(settings.boards[0]).link)
    watch.progress("RTL under Verilator", 0, 1, "compiling")
    with ThreadPoolExecutor(1) as pool:
        bench = pool.submit(
            run_bench, System(array, link), "bitprop.sim.bench_demo", tests=1, optimize=True, timeout=3600,
            sources=array_cells(array), parameters={
                "array": array.to_dict(), "link": asdict(link),
                "network": network.to_dict(), "data": "digits", "batch": DIGITS_BATCH,
                "epochs": settings.rtl_epochs, "batches": settings.rtl_batches,
                "progress": str(progress), "trained": str(trained)})
        events = _follow(progress, bench, watch)
    mismatch = next((event["mismatch"] for event in events if "mismatch" in event), None)
    if mismatch:
        raise BenchError(mismatch)
    result = bench.result()
    return json.loads((result.directory / "result.json").read_text())


def _follow(path: Path, work: Future, watch: Watch) -> list[dict[str, Any]]:
    """Show the events that appear in the file until the work ends; returns all of them."""
    events, place = [], 0
    ended = False
    while not ended:
        ended = work.done()
        if path.exists():
            with open(path) as file:
                file.seek(place)
                text = file.read()
            whole = text[:text.rfind("\n") + 1]
            place += len(whole.encode())
            for line in whole.splitlines():
                events.append(json.loads(line))
                _show(events[-1], watch)
        if not ended:
            time.sleep(POLL_SECONDS)
    return events


def _show(event: dict[str, Any], watch: Watch) -> None:
    if "total" in event:
        watch.progress("RTL under Verilator", event["done"], event["total"],
                       f"batch {event['done']} of {event['total']}, equal so far")
    elif "state_hash" in event:
        watch.say(f"   epoch {event['epoch']}, {event['samples']} samples: state {event['state_hash'][:16]}… on the "
                  f"RTL, {event['model_hash'][:16]}… in the model; validation {event['validation']:.1%}")


def _build(board, watch: Watch, stop: threading.Event) -> dict[str, Any]:
    """What is reported of a board's bitstream."""
    task = f"bitstream {board.name}"

    def progress(step: str, detail: str) -> None:
        if stop.is_set():
            raise BuildError("given up")
        watch.progress(task, 0, 1, step)

    report = build(board, progress=progress)
    watch.progress(task, 1, 1, "built")
    return {"title": board.title, **report.to_dict()}


def _finish_build(demo: _Demo, name: str, built: Future) -> dict[str, Any] | None:
    """The finished build, once it is, and what is wrong with it."""
    summary = demo.attempt(f"bitstream for {name}", built.result)
    if summary is None:
        return None
    demo.watch.say(
        f"4  {summary['title']}: {summary['lut4']} of {summary['lut4_available']} LUTs, {summary['block_ram']} of "
        f"{summary['block_ram_available']} block RAMs, Fmax {summary['fmax_mhz']:.1f} MHz, "
        f"clock {summary['target_mhz']:.1f} MHz")
    if not summary["met"]:
        demo.fail(f"bitstream for {name}: Fmax {summary['fmax_mhz']:.1f} MHz, less than its clock of "
                  f"{summary['target_mhz']:.1f} MHz")
    return summary


def _count(board, watch: Watch) -> dict[str, Any]:
    """Cycles where every sample triggers, in batches of 32."""
    watch.progress(f"cycles {board.name}", 0, 1, "compiling and counting")
    workload = Workload(network=NetworkConfig(layers=(256, 64, 64), classes=10))
    train, infer = measure_cycles(board.config, workload)
    watch.progress(f"cycles {board.name}", 1, 1, "")
    return {"train": train.to_dict(), "infer": infer.to_dict(), "clock_mhz": board.clock_hz / 1e6,
            "model_seconds_per_sample": model_seconds(workload)}
