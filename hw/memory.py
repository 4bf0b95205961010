"""A memory in two parts, for depths that are no power of two: block RAMs of few bits side by side need no multiplexer
behind them, and a small rest may lie in LUTs."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["SplitMemory", "registered", "split_depths"]


def registered(m: Module, value) -> Signal:
    """`value`, a cycle later."""
    register = Signal(len(value), reset_less=True)
    m.d.sync += register.eq(value)
    return register


def split_depths(depth: int) -> tuple[int, ...]:
    """Depths of the parts: the largest power of two, and the rest if there is one."""
    lower = 1 << (depth.bit_length() - 1)
    return (lower, depth - lower) if depth > lower else (lower,)


class SplitMemory(wiring.Component):
    """One read and one write port; a word must not be read in the cycle it is written, or, where pipelined, the next.

    Parameters
    ----------
    width, depth
        Bits and words.
    granularity
        Bits that are written on their own; must divide `width`.
    pipelined
        With registers on the way in and out, since a full device has its block RAM far from what it serves: of a write,
        one; of a read, one behind each part, which the ECP5 has in its block RAM (see
        `synth.netlist.absorb_registers`), and one behind what chooses between them.

    Members
    -------
    read_address : In
    o : Out(width)
        The word, a cycle later, or three where pipelined.
    write_address, enable, i : In
        Write the parts of word `i` whose bit in `enable` is set.
    """

    def __init__(self, *, width: int, depth: int, granularity: int | None = None, pipelined: bool = False):
        self.width, self.depth, self.granularity = width, depth, width if granularity is None else granularity
        self.pipelined = pipelined
        super().__init__({
            "read_address": In(range(depth)),
            "o": Out(width),
            "write_address": In(range(depth)),
            "enable": In(width // self.granularity),
            "i": In(width),
        })

    def elaborate(self, platform):
        m = Module()
        depths = split_depths(self.depth)
        outputs = []
        for place, depth in enumerate(depths):
            m.submodules[f"part_{place}"] = memory = Memory(
                shape=self.width, depth=depth, init=[], attrs={"no_rw_check": 1})
            write, read = memory.write_port(granularity=self.granularity), memory.read_port()
            here = (self.write_address >= depths[0]) == place if len(depths) > 1 else 1
            address, enable, word = self.write_address, Mux(here, self.enable, 0), self.i
            if self.pipelined:
                address, enable, word = (registered(m, signal) for signal in (address, enable, word))
            m.d.comb += [
                write.addr.eq(address), write.data.eq(word), write.en.eq(enable),
                read.addr.eq(self.read_address),
            ]
            outputs.append(registered(m, read.data) if self.pipelined else read.data)
        found = outputs[0]
        if len(depths) > 1:
            upper = self.read_address >= depths[0]
            for _ in range(2 if self.pipelined else 1):
                upper = registered(m, upper)
            found = Mux(upper, outputs[1], outputs[0])
        m.d.comb += self.o.eq(registered(m, found) if self.pipelined else found)
        return m
