"""The hidden weights: saturating up/down counters k (h = 2k + 1), and one step of U of them.

    k ± 1, saturating; then, if picked for reinforcement, one more step away from zero, saturating

which is one addition of ±1 or ±2 and one clip, or nothing (Eq. 9 on the odd lattice).
"""

from amaranth import Cat, ClockSignal, Instance, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import ArrayConfig
from .memory import SplitMemory
from .weights import registered

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
        self.config = config
        self.bits = config.counter_bits
        super().__init__({
            "k": In(signed(self.bits)), "zone": In(ZoneLayout), "up": In(1), "pick": In(1), "hold": In(1),
            "valid": In(1), "other": In(signed(self.bits)),
            "o": Out(signed(self.bits)), "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        bits = self.bits
        # A picked counter steps on if its first step was outward, or led across zero; else it steps back. Both follow
        # from its sign, and from whether it is next to zero.
        negative = self.k[-1]
        outward, stay = Signal(), Signal()
        m.d.comb += [
            outward.eq(self.zone.near | (self.up ^ negative)),
            stay.eq(self.hold | (self.pick & ~outward)),
        ]
        step, total, end = Signal(signed(3)), Signal(signed(bits + 1)), Signal(bits)
        m.d.comb += [
            step.eq(Cat(~self.pick, self.pick | ~self.up, ~self.up)),
            end.eq(Mux(self.valid, Cat((~negative).replicate(bits - 1), negative), self.other)),
        ]
        if self.config.pipelined:
            # The way through the adder sets the clock: whether to stay is found beside it.
            beyond = total[bits] ^ total[bits - 1]
            m.d.comb += [
                total.eq(self.k + step), self.lost.eq(beyond & ~stay),
                self.o.eq(Mux(stay, self.k, Mux(beyond, end, total[:bits])))]
        else:
            # What is lost, two steps outward or one at the very end, does not wait for the sum; and behind the two
            # there is one level of logic.
            losing = (self.up ^ negative) & ~self.hold & (self.pick | (self.k[0] ^ negative))
            m.d.comb += [
                total.eq(self.k + Mux(stay, 0, step)), self.lost.eq(self.zone.far & losing),
                self.o.eq(Mux(self.valid & ~self.lost, total[:bits], end))]
        return m


class CounterMemory(wiring.Component):
    """U counters a word, one read and one write a cycle; only one of the two where `single_port`.

    Of each word, a group's counters come and go a cycle later than those of the group before: see
    `ArrayConfig.update_groups`. The times below are the first group's.

    Members
    -------
    read, read_address : In
        Read a word; `o` holds it `config.read_latency` cycles later.
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
        width = self.config.group_lanes * self.config.counter_bits
        read_address, write, write_address = self.read_address, self.write, self.write_address
        outputs = []
        for number in range(self.config.update_groups):
            if number:
                read_address, write, write_address = (
                    registered(m, signal) for signal in (read_address, write, write_address))
            m.submodules[f"memory_{number}"] = memory = SplitMemory(width=width, depth=self.config.counter_words)
            m.d.comb += [
                memory.read_address.eq(read_address), memory.write_address.eq(write_address), memory.enable.eq(write),
                memory.i.eq(self.i.word_select(number, width)),
            ]
            outputs.append(registered(m, memory.o) if self.config.pipelined else memory.o)
        m.d.comb += self.o.eq(Cat(outputs))
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
