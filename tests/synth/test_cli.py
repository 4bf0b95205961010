"""The board commands."""

import dataclasses
import json

import pytest
from bitprop.synth import cli
from bitprop.synth.boards import BOARDS
from bitprop.synth.check import NetlistCheck, NetlistError
from bitprop.synth.cli import app
from typer.testing import CliRunner


@pytest.fixture
def call():
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_boards(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert all(name in call("boards").stdout for name in BOARDS)
    listed = json.loads(call("boards", "--json").stdout)
    assert [board["name"] for board in listed] == list(BOARDS)
    for board in listed:
        assert board["block_ram"] <= board["block_ram_available"]


@pytest.mark.parametrize("verb", ["build", "program"])
def test_unknown_board_is_an_error_that_names_the_known_ones(call, verb):
    result = call(verb, "--board", "nosuch")
    assert result.exit_code == 1
    assert ("board must be one of icebreaker, icebreaker-wide, hx8k, ulx3s-25f, ulx3s-85f, ulx3s-85f-small, "
            "not 'nosuch'" in result.output)


@pytest.fixture
def built(monkeypatch):
    """What is checked is another matter here."""
    class Report:
        met = True
        bitstream = "icebreaker.bin"

        def to_dict(self):
            return {"board": "icebreaker"}

    boards = []
    monkeypatch.setattr(cli, "_build", lambda board, **options: boards.append(board) or Report())
    return boards


def test_netlist_that_is_equal(call, built, monkeypatch):
    done = NetlistCheck(trained=37, inferred=7, row_updates=200, counters=1100)
    monkeypatch.setattr(cli, "check_netlist", lambda board, **options: done)
    result = call("build", "--board", "icebreaker", "--check", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"board": "icebreaker", "netlist": {
        "equal": True, "trained": 37, "inferred": 7, "row_updates": 200, "counters": 1100}}


def test_netlist_that_differs(call, built, monkeypatch):
    def differ(board, **options):
        raise NetlistError("sample 3 was predicted as 4")

    monkeypatch.setattr(cli, "check_netlist", differ)
    result = call("build", "--board", "icebreaker", "--check", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["netlist"] == {"equal": False, "difference": "sample 3 was predicted as 4"}
    assert "netlist" not in call("build", "--board", "icebreaker", "--json").stdout


def test_all_boards_are_built_by_one_command(call, built):
    result = call("build", "--board", "all", "--json")
    assert result.exit_code == 0 and len(json.loads(result.stdout)) == len(BOARDS)


def test_link_at_another_speed(call, built, monkeypatch):
    monkeypatch.setenv("OPENFPGALOADER", "true")
    assert call("build", "--board", "icebreaker", "--json").exit_code == 0
    assert call("build", "--board", "icebreaker", "--baud", "6000000", "--json").exit_code == 0
    assert call("program", "--board", "icebreaker", "--baud", "6000000").exit_code == 0
    own, *others = [board.link for board in built]
    assert others == [dataclasses.replace(own, baud=6_000_000)] * 2 != [own] * 2


def test_link_at_a_speed_that_cannot_be_had(call, built):
    result = call("build", "--board", "all", "--baud", "12000000")
    assert result.exit_code == 1 and not built
    assert "baud must be from 1 to a quarter of clock_hz 36000000, not 12000000" in result.output


def test_loader_that_cannot_be_started_is_named(call, built, monkeypatch):
    monkeypatch.setenv("OPENFPGALOADER", "/no/such/loader")
    result = call("program", "--board", "icebreaker")
    assert result.exit_code == 1
    assert "openfpgaloader cannot be started: /no/such/loader: No such file" in result.output
    assert "OPENFPGALOADER names it" in result.output


def test_loader_that_finds_no_board(call, built, monkeypatch):
    monkeypatch.setenv("OPENFPGALOADER", "false")
    result = call("program", "--board", "icebreaker")
    assert result.exit_code == 1 and "is the board plugged in" in result.output
