"""The demonstration with a small network, its command, and `bitprop run` on a simulated board behind a terminal."""

import json
import threading
import time
from dataclasses import asdict, replace

import pytest
from bitprop.hw.config import ArrayConfig
from bitprop.hw.system import System
from bitprop.model.config import NetworkConfig
from bitprop.model.presets import DIGITS_BATCH
from bitprop.sim import cli, demo
from bitprop.sim.demo import DemoSettings, link_for_simulation, run_demo
from bitprop.sim.runner import BenchError, run_bench
from bitprop.synth.boards import find_board
from typer.testing import CliRunner

from bitprop.cli import app

ARRAY = ArrayConfig(counter_words=4096)
SMALL = NetworkConfig(layers=(256, 16, 16), classes=10, seed=5)
LINK = link_for_simulation(find_board("icebreaker").link)


class Recorder:
    """Keeps what a demonstration says."""

    def __init__(self):
        self.said, self.tasks = [], {}

    def say(self, text):
        self.said.append(text)

    def progress(self, task, done, total, detail=""):
        self.tasks[task] = done / total


@pytest.fixture
def settings(tmp_path):
    return DemoSettings(rtl_epochs=0, rtl_batches=3, build=False, count=False, network=SMALL, array=ARRAY,
                        model_epochs=3, votes=2, accuracy=0.3, folder=tmp_path / "demo")


def test_summary_and_report(settings):
    watch = Recorder()
    summary = run_demo(settings, watch)
    assert summary["failures"] == []
    assert summary == json.loads((settings.folder / "summary.json").read_text())
    assert summary["bit_exact"] is True
    assert (summary["epochs"], summary["samples"]) == (0, 3 * DIGITS_BATCH)
    assert summary["state_hash"] == summary["model_hash"] and len(summary["state_hash"]) == 64
    assert set(summary["cycles"]) == {"forward", "backward", "update", "stall"}
    assert summary["cycles_per_sample"] == pytest.approx(sum(summary["cycles"].values()))
    assert summary["rtl_test_accuracy"] == summary["test_accuracy"] >= 0.3
    assert [record["epoch"] for record in summary["model"]["history"]] == [1, 2, 3]
    assert watch.tasks["golden model"] == watch.tasks["RTL under Verilator"] == 1
    assert sum(summary["state_hash"] in text for text in watch.said) == 1
    page = (settings.folder / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 2 and "http" not in page
    assert summary["state_hash"] in page


@pytest.mark.filterwarnings("ignore:.*created but never used")
def test_failures_are_told_and_the_rest_goes_on(settings, monkeypatch):
    def differs(*arguments, **options):
        raise BenchError("epoch 1, batch 2: predictions: 1 of 8 differ")

    monkeypatch.setattr(demo, "run_bench", differs)
    summary = run_demo(replace(settings, accuracy=1.0), Recorder())
    assert summary["bit_exact"] is False and summary["state_hash"] is None
    accuracy, rtl = summary["failures"]
    assert "test accuracy" in accuracy and "epoch 1, batch 2" in rtl
    page = (settings.folder / "report.html").read_text()
    assert "epoch 1, batch 2" in page and "Not shown to be equal" in page


def test_a_network_that_does_not_fit_is_refused(settings):
    summary = run_demo(replace(settings, array=ArrayConfig(tiles=16)), Recorder())
    assert not summary["bit_exact"]
    assert "tiles" in summary["failures"][0]


def test_demo_command(settings, monkeypatch):
    monkeypatch.setattr(cli.DemoSettings, "quick", lambda **changes: replace(settings, accuracy=1.0))
    monkeypatch.setattr(demo, "_train_rtl", lambda *arguments: (_ for _ in ()).throw(BenchError("a bit differs")))
    result = CliRunner().invoke(app, ["demo", "--quick", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["bit_exact"] is False
    assert "a bit differs" in result.stderr


@pytest.mark.parametrize("arguments, message", [
    (["bench", "--layers", "256,x"], "--layers"),
    (["bench", "--layers", "4096,64"], "fan_in"),
    (["bench", "--board", "none"], "board must be"),
    (["run", "--port", "/nowhere/tty"], "cannot open"),
    (["run", "--port", "/nowhere/tty", "--epochs", "0"], "nothing to train"),
    (["run", "--port", "/nowhere/tty", "--data", "mnist"], "need --layers"),
])
def test_mistakes_get_a_message(arguments, message):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and message in result.stderr


@pytest.mark.parametrize("options, batch", [
    ([], DIGITS_BATCH),
    (["--data", "digits", "--layers", "0,24,16", "--set", '{"groups": [8, 8]}', "--batch", "3"], 3)], ids=str)
def test_run_trains_a_board(tmp_path, options, batch):
    name, stop = tmp_path / "name", tmp_path / "stop"
    failures = []

    def serve():
        try:
            run_bench(System(ARRAY, LINK), "bitprop.sim.bench_port", tests=1, optimize=True, timeout=300, parameters={
                "link": asdict(LINK), "name": str(name), "stop": str(stop)})
        except BenchError as error:
            failures.append(error)

    board = threading.Thread(target=serve)
    board.start()
    try:
        while board.is_alive() and not name.exists():
            time.sleep(0.05)
        assert not failures, failures
        result = CliRunner().invoke(app, [
            "run", "--port", name.read_text(), "--epochs", "0", "--batches", "2", "--seed", "1", "--json",
            *options])
    finally:
        stop.touch()
        board.join()
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["bit_exact"] and summary["samples"] == 2 * batch
    assert summary["state_hash"] == summary["model_hash"]
    assert ArrayConfig(**summary["array"]).columns == ARRAY.columns
    assert not failures, failures
