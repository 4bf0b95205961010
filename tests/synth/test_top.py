"""The iCEBreaker's design in simulation, at the pins of the FPGA: what is synthesised, but for the vendor's cells."""

import re

from bitprop.model.config import NetworkConfig
from bitprop.sim.runner import CELLS, run_bench
from bitprop.synth.boards import find_board
from bitprop.synth.build import plan

NETWORK = NetworkConfig(layers=(37, 20, 18), classes=5, groups=(5, 9), margin=6, reinforcement=8, seed=4)


def test_icebreaker_trains_through_its_uart():
    board = find_board("icebreaker")
    source = plan(board, debug_verilog=True)["top.debug.v"]
    cells = set(re.findall(r"^ *(SB_\w+) ", source, re.MULTILINE))
    assert {"SB_PLL40_PAD", "SB_IO"} < cells
    run_bench(
        source, "bitprop.sim.bench_top", tests=1, top="icebreaker", timing=True,
        sources=[CELLS / f"{name}.v" for name in (*sorted(cells), "icebreaker")],
        parameters={"network": NETWORK.to_dict(), "batches": [32, 7, 1, 20, 5, 32], "clock_hz": 12_000_000,
                    "baud": board.baud})
