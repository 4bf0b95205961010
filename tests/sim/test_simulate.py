"""The command that runs the core's bench on a network of the user's, and records waveforms."""

import dataclasses
import json

import pytest
from bitprop.hw.config import ArrayConfig
from bitprop.synth.boards import BOARDS
from typer.testing import CliRunner

from bitprop.cli import app

ARRAY = ArrayConfig(lanes=1, rows=8, update_lanes=8, counter_bits=5, tiles=64, operand_words=1024, replay_words=1024,
                    rank_words=4096, winner_words=2048, counter_words=2048, fan_in=127, statistic_width=16)


@pytest.fixture
def call(monkeypatch):
    """The command on a board with a small array."""
    board = dataclasses.replace(BOARDS["hx8k"], config=ARRAY)
    monkeypatch.setitem(BOARDS, board.name, board)
    return lambda *arguments: CliRunner().invoke(app, ["simulate", "--board", board.name, *arguments])


def test_simulation_is_told_and_recorded(call, tmp_path):
    waves = tmp_path / "core.vcd"
    options = ("--layers", "20,9", "--classes", "4", "--batches", "7,32,3,5", "--stalls", "--json")
    result = call(*options, "--waves", str(waves))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["samples"] == 47 and 0 < found["triggered"] <= 47 and found["row_updates"] > 0
    assert found["cycles"] > 4 * (found["samples"] + 40) and found["waves"] == str(waves)
    with open(waves) as file:
        head = file.read(200_000)
    # Not the ports only: the units, and their signals by the names in the source.
    assert {"$scope module sequencer $end", "$scope module updater $end"} <= set(map(str.strip, head.splitlines()))
    again = json.loads(call(*options).stdout)
    assert [again[name] for name in ("samples", "triggered", "row_updates", "cycles", "waves")] == [
        *(found[name] for name in ("samples", "triggered", "row_updates", "cycles")), None]


@pytest.mark.parametrize("options, message", [
    (("--batches", "33"), "batches must be sizes from 1 to 32, not 33"),
    (("--batches", "4,x"), "--batches must be numbers separated by commas, not '4,x'"),
    (("--layers", "200,9"), "the network needs fan_in = 200, and this array has 127"),
    (("--waves", "none/x.vcd"), "the folder of none/x.vcd does not exist")])
def test_what_cannot_be_simulated_is_said_at_once(call, options, message):
    result = call("--layers", "20,9", *options) if "--layers" not in options else call(*options)
    assert result.exit_code == 1 and message in result.output
