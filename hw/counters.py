"""The hidden weights: saturating up/down counters k (h = 2k + 1), and one step of U of them.

    k ± 1, saturating; then, if picked for reinforcement, one more step away from zero, saturating

which is one addition of -2 … 2 and one clip (Eq. 9 on the odd lattice).
"""

from amaranth import Cat, ClockSignal, Instance, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .config import ArrayConfig

__all__ = ["CounterMemory", "CounterStep", "ZoneLayout", "zone_of"]

ZoneLayout = data.StructLayout({"near": 1, "far": 1})
"""Whether a counter is next to zero, 0 or -1; whether it is at its end or next to it."""


def zone_of(k):
    """The `ZoneLayout` bits of a counter."""
    inner, negative = k[1:-1], k[-1]
    return Cat(Mux(negative, inner.all() & k[0], ~(inner.any() | k[0])), Mux(negative, ~inner.any(), inner.all()))


class CounterStep(wiring.Component):
    """One counter's update, combinational.

    Members
    -------
    k : In, signed B bits
    zone : In(ZoneLayout)
        Of k.
    up, pick, hold : In(1)
        Step up (else down); reinforce; or leave the counter as it is.
    valid : In(1)
        There is a step.
    other : In, signed B bits
        What to give if there is none.
    o : Out, signed B bits
    lost : Out(1)
        A step was lost because the counter is at its end.
    """

    def __init__(self, config: ArrayConfig):
        self.bits = config.counter_bits
        super().__init__({
            "k": In(signed(self.bits)), "zone": In(ZoneLayout), "up": In(1), "pick": In(1), "hold": In(1),
            "valid": In(1), "other": In(signed(self.bits)),
            "o": Out(signed(self.bits)), "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        bits = self.bits
        # A picked counter steps on if its first step was outward, or led across zero; else it steps back. Both follow
        # from its sign, and from whether it is next to zero, 0 or -1.
        negative = self.k[-1]
        up, pick, outward = Signal(), Signal(), Signal()
        m.d.comb += [
            up.eq(self.up | self.hold), pick.eq(self.pick & ~self.hold), outward.eq(self.zone.near | (up ^ negative))]
        step = Signal(signed(3))
        m.d.comb += [
            step[0].eq(~(pick | self.hold)), step[1].eq(Mux(pick, outward, ~up)), step[2].eq(~up & (~pick | outward))]
        # What is lost, two steps outward or one at the very end, does not wait for the sum; and behind the two there is
        # one level of logic.
        total, losing, end = Signal(signed(bits)), Signal(), Signal(bits)
        m.d.comb += [
            total.eq(self.k + step),
            losing.eq((up ^ negative) & ~self.hold & (pick | (self.k[0] ^ negative))),
            self.lost.eq(self.zone.far & losing),
            end.eq(Mux(self.valid, Cat((~negative).replicate(bits - 1), negative), self.other)),
            self.o.eq(Mux(self.valid & ~self.lost, total, end)),
        ]
        return m


class CounterMemory(wiring.Component):
    """U counters a word, one read and one write a cycle; only one of the two where `single_port`.

    Members
    -------
    read, read_address : In
        Read a word; `o` holds it from `config.read_latency` cycles later on until the next.
    write, write_address, i : In
        Write a word.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        word = config.update_lanes * config.counter_bits
        super().__init__({
            "read": In(1),
            "read_address": In(range(config.counter_words)),
            "o": Out(word),
            "write": In(1),
            "write_address": In(range(config.counter_words)),
            "i": In(word),
        })

    @property
    def single_port(self) -> bool:
        """Whether a read and a write exclude one another."""
        return self.config.counter_memory == "spram"

    def elaborate(self, platform):
        m = Module()
        if self.single_port:
            self._spram(m)
            return m
        m.submodules.memory = memory = Memory(
            shape=len(self.o), depth=self.config.counter_words, init=[], attrs={"no_rw_check": 1})
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(self.read_address), read.en.eq(self.read),
            write.addr.eq(self.write_address), write.data.eq(self.i), write.en.eq(self.write),
        ]
        if self.config.pipelined:
            m.d.sync += self.o.eq(read.data)
        else:
            m.d.comb += self.o.eq(read.data)
        return m

    def _spram(self, m: Module):
        # Four blocks side by side: 64 bits, 16,384 words.
        address = Signal(14)
        m.d.comb += address.eq(Mux(self.write, self.write_address, self.read_address))
        padded, output = Signal(64), Signal(64)
        m.d.comb += [padded.eq(self.i), self.o.eq(output)]
        for number in range(-(-len(self.o) // 16)):
            part = slice(16 * number, 16 * number + 16)
            m.submodules[f"block_{number}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(), i_ADDRESS=address, i_DATAIN=padded[part], i_MASKWREN=0b1111,
                i_WREN=self.write, i_CHIPSELECT=self.read | self.write,
                i_STANDBY=0, i_SLEEP=0, i_POWEROFF=1, o_DATAOUT=output[part])
