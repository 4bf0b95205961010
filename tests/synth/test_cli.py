"""The board commands."""

import json

import pytest
from bitprop.synth.boards import BOARDS
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
    assert "board must be one of icebreaker, hx8k, ulx3s-25f, ulx3s-85f, not 'nosuch'" in result.output
