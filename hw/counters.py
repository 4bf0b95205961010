"""The hidden weights: saturating up/down counters k (h = 2k + 1), and one step of U of them.

    k ± 1, saturating; then, if picked for reinforcement, one more step away from zero, saturating

which is one addition of ±1 or ±2 and one clip, or nothing (Eq. 9 on the odd lattice).
"""

from amaranth import C, Cat, ClockSignal, Instance, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import ArrayConfig
from .memory import SplitMemory, registered

__all__ = ["CounterMemory", "CounterStep"]


class CounterStep(wiring.Component):
    """One counter's update, combinational.

    Members
    -------
    k : In, signed B bits
    up, pick, hold : In(1)
        Step up (else down); reinforce; or leave the counter as it is.
    o : Out, signed B bits
    lost : Out(1)
        A step was lost because the counter is at its end.
    """

    def __init__(self, config: ArrayConfig):
        self.bits = config.counter_bits
        super().__init__({
            "k": In(signed(self.bits)), "up": In(1), "pick": In(1), "hold": In(1),
            "o": Out(signed(self.bits)), "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        bits = self.bits
        # A picked counter steps on if its first step was outward, else back to where it was: the sign alone tells.
        # Unless the first led across zero, from 0 to -2 or from -1 to 1: which is the counter where it was, but with
        # all bits turned save the lowest.
        negative = self.k[-1]
        at_zero, inward, crossing = Signal(), Signal(), Signal()
        m.d.comb += [
            at_zero.eq(self.k.all() | ~self.k.any()),
            inward.eq(~(self.up ^ negative)),
            crossing.eq(at_zero & self.pick & inward & ~self.hold),
        ]
        step, total = Signal(signed(3)), Signal(bits)
        m.d.comb += [
            step.eq(Mux(self.hold | (self.pick & inward), 0, Cat(~self.pick, self.pick | ~self.up, ~self.up))),
            total.eq(self.k + step),
            self.lost.eq(~inward & (total[-1] ^ negative)),
            self.o.eq(Mux(self.lost, Cat((~negative).replicate(bits - 1), negative),
                          total ^ Cat(C(0, 1), crossing.replicate(bits - 1)))),
        ]
        return m


class CounterMemory(wiring.Component):
    """U counters a word, one read and one write a cycle; only one of the two where `single_port`.

    Of each word, a group's counters come and go a cycle later than those of the group before: see
    `ArrayConfig.update_groups`. The times below are the first group's.

    Members
    -------
    read, read_address : In
        Read a word; `o` holds it `config.shared_latency` cycles later.
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
            m.submodules[f"memory_{number}"] = memory = SplitMemory(
                width=width, depth=self.config.counter_words, pipelined=self.config.pipelined)
            m.d.comb += [
                memory.read_address.eq(read_address), memory.write_address.eq(write_address), memory.enable.eq(write),
                memory.i.eq(self.i.word_select(number, width)),
            ]
            outputs.append(memory.o)
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
