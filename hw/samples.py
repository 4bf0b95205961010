"""The samples that update a row, one after the other, as often as the row has words.

Where the answers of many samples come at once, a mask over the batch tells them; where they come one by one, a list.
"""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..model.config import MAX_BATCH
from .config import ArrayConfig

__all__ = ["SampleLayout", "Samples", "take_first"]


def SampleLayout(config: ArrayConfig) -> data.StructLayout:
    """A row's samples: the first, the mask of the others (bit μ), and in `up` those that step up; or `count` of them,
    less one, in list `half`."""
    if config.listed:
        return data.StructLayout({"count": range(MAX_BATCH), "half": 1})
    return data.StructLayout({"first": _Head, "rest": MAX_BATCH, "up": MAX_BATCH})


_Head = data.StructLayout({"sample": range(MAX_BATCH), "up": 1, "last": 1})


def take_first(m: Module, mask, up) -> tuple:
    """The lowest sample of `mask`, as `SampleLayout` has it, and the mask of the others."""
    # The lowest bit by a subtraction and its place by trees: a chain of 32 choices would set the clock.
    alone, rest, head = Signal(MAX_BATCH), Signal(MAX_BATCH), Signal(_Head)
    m.d.comb += [rest.eq(mask & (mask - 1)), alone.eq(mask & ~(mask - 1))]
    for bit in range(len(head.sample)):
        m.d.comb += head.sample[bit].eq(
            Cat(alone[sample] for sample in range(MAX_BATCH) if sample >> bit & 1).any())
    m.d.comb += [head.up.eq((up & alone).any()), head.last.eq(rest == 0)]
    return head, rest


class Samples(wiring.Component):
    """Gives a row's samples in ascending order, again and again.

    Members
    -------
    take, i : In
        Begin with the first sample of `i`; after this cycle's, if there is a `next` too.
    next : In(1)
        Give the next sample.
    last : Out(1)
        With `next`: it is the row's last; the first comes after it.
    sample, up, turn : Out
        Number of the sample given, whether it steps up, and its turn of reinforcement (see `updater`), which is `phase`
        less its number; from the cycle after `next` until the next.
    phase : In(8)
        With `take`. Only where samples are not listed.
    write, write_sample, write_up, write_turn, write_place : In
        Put a sample in the list, at (place, half). Only where samples are listed.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        members = {
            "take": In(1),
            "i": In(SampleLayout(config)),
            "next": In(1),
            "last": Out(1),
            "sample": Out(range(MAX_BATCH)),
            "up": Out(1),
            "turn": Out(8),
        }
        if config.listed:
            members |= {"write": In(1), "write_sample": In(range(MAX_BATCH)), "write_up": In(1), "write_turn": In(8),
                        "write_place": In(range(2 * MAX_BATCH))}
        else:
            members["phase"] = In(8)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        if self.config.listed:
            self._from_list(m)
        else:
            self._from_mask(m)
        return m

    def _from_mask(self, m: Module):
        # The next sample is known before it is asked for.
        row, head, rest = Signal(SampleLayout(self.config)), Signal(_Head), Signal(MAX_BATCH)
        phase = Signal(8)
        following, others = take_first(m, rest, row.up)
        m.d.comb += self.last.eq(head.last)
        with m.If(self.next):
            m.d.sync += [
                self.sample.eq(head.sample), self.up.eq(head.up), self.turn.eq(phase - head.sample),
                head.eq(following), rest.eq(others)]
            with m.If(head.last):
                m.d.sync += [head.eq(row.first), rest.eq(row.rest)]
        with m.If(self.take):
            m.d.sync += [row.eq(self.i), head.eq(self.i.first), rest.eq(self.i.rest), phase.eq(self.phase)]

    def _from_list(self, m: Module):
        m.submodules.memory = memory = Memory(
            shape=data.StructLayout({"sample": range(MAX_BATCH), "up": 1, "turn": 8}), depth=2 * MAX_BATCH, init=[],
            attrs={"no_rw_check": 1, "ram_style": "block"})
        write, read = memory.write_port(), memory.read_port()
        place, row = Signal(range(MAX_BATCH)), Signal(SampleLayout(self.config))
        m.d.comb += [
            write.en.eq(self.write), write.addr.eq(self.write_place),
            write.data.sample.eq(self.write_sample), write.data.up.eq(self.write_up),
            write.data.turn.eq(self.write_turn), self.turn.eq(read.data.turn),
            read.en.eq(self.next), read.addr.eq(Cat(place, row.half)),
            self.sample.eq(read.data.sample), self.up.eq(read.data.up),
            self.last.eq(place == row.count),
        ]
        with m.If(self.next):
            m.d.sync += place.eq(place + 1)
        with m.If((self.next & self.last) | self.take):
            m.d.sync += place.eq(0)
        with m.If(self.take):
            m.d.sync += row.eq(self.i)
