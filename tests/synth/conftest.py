"""A design that builds in seconds, on both families, for all tests of the flow."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from bitprop.synth.boards import find_board
from bitprop.synth.build import build
from bitprop.synth.top import Top

DEPTH = 512


class Echo(wiring.Component):
    """Has the system's pins; what comes in goes out later, through a block RAM and an adder."""

    rx: In(1)
    tx: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=DEPTH, init=[], attrs={"no_rw_check": 1})
        write, read = memory.write_port(), memory.read_port()
        place, incoming, total = Signal(range(DEPTH)), Signal(), Signal(8)
        m.d.sync += [incoming.eq(self.rx), place.eq(place + 1), total.eq(total + incoming + read.data[1:])]
        m.d.comb += [
            write.en.eq(1), write.addr.eq(place), write.data.eq(total),
            read.addr.eq(place + 1), self.tx.eq(read.data[7]),
        ]
        return m


@pytest.fixture(scope="session")
def echo():
    """Makes an `Echo` on a board."""
    return lambda board: Top(board, Echo())


@pytest.fixture(scope="session", params=["icebreaker", "ulx3s-25f"])
def built(request, echo, tmp_path_factory):
    """A board, a folder, and the report of a build in it."""
    board = find_board(request.param)
    folder = tmp_path_factory.mktemp(board.name)
    return board, folder, build(board, top=echo(board), folder=folder)
