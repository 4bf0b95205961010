"""A small design with the members of the system, to try the tools on: what comes in goes out, through a block RAM."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

DEPTH = 512


class Echo(wiring.Component):
    """`tx` follows `rx` by `DEPTH` and a few cycles."""

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
