"""The system behind a pseudo terminal: other programs find a serial port there, with a board on it.

Parameters: `link` (fields of its configuration), `name` (a file that gets the port's name), `stop` (the simulation ends
when this file appears).
"""

import os
import time
import tty
from pathlib import Path

import cocotb
from cocotb.triggers import Timer

from ..hw.link.config import LinkConfig
from .runner import bench_parameters
from .streams import reset, start_clock
from .transport import SimulatedTransport

PERIOD = 10  # ns
IDLE_SECONDS = 0.002


@cocotb.test()
async def serves(dut):
    """Carry characters both ways until told to stop."""
    parameters = bench_parameters()
    start_clock(dut, PERIOD)
    await reset(dut)
    line = SimulatedTransport(dut.rx, dut.tx, bit_time=LinkConfig(**parameters["link"]).divisor * PERIOD)
    board, port = os.openpty()
    tty.setraw(port)
    os.set_blocking(board, False)
    cocotb.start_soon(answer(line, board))
    partial = Path(parameters["name"] + ".part")
    partial.write_text(os.ttyname(port))
    partial.rename(parameters["name"])
    while not Path(parameters["stop"]).exists():
        try:
            characters = os.read(board, 1024)
        except BlockingIOError:
            # Answers are still on their way; Python's time goes on slowly, for the other side computes.
            time.sleep(IDLE_SECONDS)
            await Timer(20, "us")
        else:
            await line.drive(characters)


async def answer(line: SimulatedTransport, board: int) -> None:
    """Pass the frames on."""
    while True:
        frame = await line.next_frame()
        if frame is not None:
            os.write(board, frame + b"\0")
