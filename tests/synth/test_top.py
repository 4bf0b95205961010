"""The iCEBreaker's design in simulation, at the pins of the FPGA: as it is synthesised, and what comes of that. Of the
ECP5 a small array, with all that the family's synthesis does: block RAM, LUT RAM, trimmed carries."""

import dataclasses
import re

import pytest
from bitprop.hw.config import ArrayConfig
from bitprop.sim.runner import CELLS, run_bench
from bitprop.synth.boards import find_board
from bitprop.synth.build import plan
from bitprop.synth.check import OUR_CELLS, NetlistError, bench_parameters, check_netlist, on_board

SUM = "0110100110010110"
"""Parity of four bits, for which Yosys uses three."""


def test_design_trains_through_its_uart():
    board = find_board("icebreaker")
    source = plan(board, debug_verilog=True)["top.debug.v"]
    cells = set(re.findall(r"^ *(SB_\w+) ", source, re.MULTILINE))
    assert {"SB_PLL40_2F_PAD", "SB_IO"} < cells
    run_bench(
        on_board(source), "bitprop.sim.bench_top", tests=1, top="board", timing=True,
        sources=[CELLS / f"{OUR_CELLS.get(name, name)}.v" for name in sorted(cells)],
        parameters=bench_parameters(board, batches=(32, 7, 1, 20, 5, 32), rounds=2))


SMALL = dataclasses.replace(
    find_board("ulx3s-25f"), name="ulx3s-25f-small",
    clock_hz=10_000_000, baud=1_000_000,  # ten cycles a bit: the line takes most of the time
    config=ArrayConfig(rows=8, update_lanes=32, load_words=2, tiles=64, counter_words=1024, scan_ahead=2,
                       pipelined=True))


@pytest.mark.parametrize("board", [find_board("icebreaker"), SMALL], ids=lambda board: board.name)
def test_netlist_does_the_same(board):
    done = check_netlist(board)
    assert (done.trained, done.inferred) == (37, 7) and done.row_updates > 100 and done.counters == 37 * 20 + 20 * 18


def test_netlist_with_one_bit_changed_does_not():
    changed = []

    def spoil(module):
        """Let an adder of the array's popcount say that 0 + 0 is 1."""
        carries = {cell["connections"]["CO"][0] for cell in module["cells"].values() if cell["type"] == "SB_CARRY"}
        adder = next(cell for name, cell in module["cells"].items()
                     if name.startswith("system.core.column_0.element.") and cell["type"] == "SB_LUT4"
                     and cell["connections"]["I3"][0] in carries and cell["parameters"]["LUT_INIT"] == SUM)
        adder["parameters"]["LUT_INIT"] = SUM[:-1] + "1"
        changed.append(adder)

    with pytest.raises(NetlistError, match="netlist and the golden model differ"):
        check_netlist(find_board("icebreaker"), change=spoil)
    assert len(changed) == 1
