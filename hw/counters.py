"""The hidden weights: saturating up/down counters k (h = 2k + 1), steps of U of them, and the memory that keeps them.

    k ± 1, saturating; then, if picked for reinforcement, one more step away from zero, saturating

which is one addition of ±1 or ±2 and one clip, or nothing (Eq. 9 on the odd lattice).
"""

from amaranth import C, Cat, ClockSignal, Instance, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .config import ArrayConfig
from .memory import SplitMemory, registered

__all__ = ["CounterLanes", "CounterMemory", "CounterStep", "StepLayout"]

StepLayout = data.StructLayout({
    "valid": 1, "first": 1, "last": 1, "up": 1, "last_word": 1, "first_word": 1, "turn": 8, "word": 8})
"""A step of a counter word: the sample is the first, the last of the word's; its neuron's sum must go up; the word is
the last, the first of its row; the sample's turn of reinforcement (see `updater`); the word's number in the row."""


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


class CounterLanes(wiring.Component):
    """The counters of the word in work, which step once a cycle, and the way of the host's counters in and out.

    Each group of lanes is a cycle behind the one before: see `ArrayConfig.update_groups`.

    Members
    -------
    stages : In(StepLayout for each of `update_groups` + 1)
        The step that the first group takes in the next cycle; the one it takes now; and so on, to the last group's.
    found : In, U · B bits
        With the first step of a word, group by group: the word, as `CounterMemory.o` has it.
    activations : In(U)
        The sample's inputs of these weights, 1 for +1; with each step, or with `config.pipelined` a cycle before.
    reinforce, reinforce_mask, tail : In
        Of `program.LAYER`.
    hosted : In(1)
        The steps change nothing.
    load : In(1)
        No step is taken, and in the next cycle `found` is a word. Only where `config.copied`.
    shift, enters : In
        In the next cycle all counters move down by one lane, and `enters` comes into the highest; one cycle more with
        `config.pipelined`. No steps meanwhile.
    o : Out(U signed counters)
        The counters after their last step, to be written and to leave by lane 0.
    signs : Out(U)
        Their visible weights, 1 for +1, all together when the last group's step is done.
    lost : Out
        How many counters lost a step, some cycles later, for the statistics.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        lanes, bits = config.update_lanes, config.counter_bits
        super().__init__({
            "stages": In(data.ArrayLayout(StepLayout, config.update_groups + 1)),
            "found": In(lanes * bits),
            "activations": In(lanes),
            "reinforce": In(1),
            "reinforce_mask": In(8),
            "tail": In(range(lanes + 1)),
            "hosted": In(1),
            "load": In(1),
            "shift": In(1),
            "enters": In(signed(bits)),
            "o": Out(data.ArrayLayout(signed(bits), lanes)),
            "signs": Out(lanes),
            "lost": Out(range(lanes + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lanes, bits, groups = config.update_lanes, config.counter_bits, config.update_groups
        lane_bits = ceil_log2(lanes)
        counters = Signal(self.o.shape(), reset_less=True)
        m.d.comb += self.o.eq(counters)
        shift, enters = registered(m, self.shift), registered(m, self.enters)
        signs, lost_count, hold = [], C(0, 0), self.hosted | self.load
        for group in range(groups):
            hold = registered(m, hold)
            before, now = self.stages[group], self.stages[group + 1]
            valid, first = now.valid | shift, now.first
            if config.copied:
                valid, first = valid | registered(m, self.load), registered(m, before.first | self.load)
            if config.pipelined:
                valid, first = registered(m, before.valid | shift), registered(m, before.first | shift)
            # Which counters are reinforced is known a cycle before.
            high_match, pick = Signal(name=f"match_{group}"), Signal(
                config.group_lanes, name=f"pick_{group}", reset_less=True)
            lost = Signal(config.group_lanes, name=f"lost_{group}", reset_less=True)
            reach = self.reinforce_mask
            m.d.comb += high_match.eq(
                self.reinforce & (((before.word ^ before.turn[lane_bits:]) & reach[lane_bits:]) == 0))
            lanes_here = range(group * config.group_lanes, (group + 1) * config.group_lanes)
            for place, lane in enumerate(lanes_here):
                m.submodules[f"step_{lane}"] = unit = CounterStep(config)
                here = (before.turn[:lane_bits] ^ lane) & reach[:lane_bits]
                m.d.sync += pick[place].eq(high_match & (here == 0))
                found, kept = self.found.word_select(lane, bits), counters[lane]
                neighbour = counters[lane + 1] if lane + 1 < lanes else enters
                if config.pipelined:
                    # The host's counters come the same way as the memory's.
                    found = registered(m, Mux(shift, neighbour, found))
                    up = registered(m, before.up ^ ~self.activations[lane])
                else:
                    kept = Mux(shift, neighbour, kept)
                    up = ~(now.up ^ self.activations[lane])
                m.d.comb += [
                    unit.k.eq(Mux(first, found, kept)), unit.up.eq(up), unit.pick.eq(pick[place]), unit.hold.eq(hold)]
                # In a row's last word not all lanes have a counter. Which have is known well before.
                there_in_last = registered(m, lane < self.tail)
                counts = registered(m, before.valid & (~before.last_word | there_in_last))
                m.d.sync += lost[place].eq(unit.lost & counts)
                with m.If(valid):
                    m.d.sync += counters[lane].eq(unit.o)
            lost_parts = [sum(lost[first:first + 8]) for first in range(0, len(lost), 8)]
            if len(lost_parts) > 1:
                lost_parts = [registered(m, part) for part in lost_parts]
            lost_count = registered(m, lost_count + registered(m, sum(lost_parts)))
            new_signs = Cat(~counters[lane][bits - 1] for lane in lanes_here)
            for _ in range(groups - 1 - group):
                new_signs = registered(m, new_signs)
            signs.append(new_signs)
        m.d.comb += [self.signs.eq(Cat(signs)), self.lost.eq(lost_count)]
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
        return self.config.single_port

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
