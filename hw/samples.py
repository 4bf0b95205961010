"""The samples that update a row, one after the other, as often as the row has words.

Where the answers of many samples come at once, a mask over the batch tells them; where they come one by one, a chain.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..model.config import MAX_BATCH
from .config import ArrayConfig

__all__ = ["LinkLayout", "SampleLayout", "Samples", "part_first"]

LinkLayout = data.StructLayout({"sample": range(MAX_BATCH), "last": 1})
"""To a sample of a chain, and whether the chain ends with it."""


def SampleLayout(config: ArrayConfig) -> data.StructLayout:
    """A row's samples: the first and the others, as masks (bit μ), and those that step up. Or the first of the chain,
    and in which half the chain lies."""
    if config.chained:
        return data.StructLayout({"first": LinkLayout, "half": 1})
    return data.StructLayout({"first": MAX_BATCH, "rest": MAX_BATCH, "up": MAX_BATCH})


def part_first(m: Module, mask) -> tuple:
    """The lowest sample of `mask`, alone in a mask, and the mask of the others."""
    # A subtraction: a chain of 32 choices would set the clock.
    first, rest = Signal(MAX_BATCH), Signal(MAX_BATCH)
    m.d.comb += [rest.eq(mask & (mask - 1)), first.eq(mask & ~(mask - 1))]
    return first, rest


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
        Number of the sample given, whether it steps up, and its turn of reinforcement (see `updater`), which is the
        row's less its number; from the cycle after `next` until the next.
    coming : Out
        The sample that `next` would give. Only where samples are chained.
    phase : In(8)
        The row's turn: with `take`, or, where samples are chained, with `next`.
    link, link_place, link_to, link_up : In
        See `GroupScan`. Only where samples are chained.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        members = {
            "take": In(1),
            "i": In(SampleLayout(config)),
            "next": In(1),
            "last": Out(1),
            "phase": In(8),
            "sample": Out(range(MAX_BATCH)),
            "up": Out(1),
            "turn": Out(8),
        }
        if config.chained:
            members |= {"link": In(1), "link_place": In(range(2 * MAX_BATCH)), "link_to": In(LinkLayout),
                        "link_up": In(1), "coming": Out(range(MAX_BATCH))}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        if self.config.chained:
            self._from_chain(m)
        else:
            self._from_mask(m)
        return m

    def _from_mask(self, m: Module):
        # The next sample is known before it is asked for, and the one after it as a mask.
        head_layout = data.StructLayout({"sample": range(MAX_BATCH), "up": 1, "last": 1})
        head, first = Signal(head_layout), Signal(head_layout)
        after, rest, all_rest, row_up = (
            Signal(MAX_BATCH, name=name) for name in ("after", "rest", "all_rest", "row_up"))
        phase = Signal(8)

        def named(alone, up, others):
            """The one sample of a mask, by its number."""
            number = Cat(Cat(alone[sample] for sample in range(MAX_BATCH) if sample >> bit & 1).any()
                         for bit in range(len(head.sample)))
            return Cat(number, (up & alone).any(), others == 0)

        m.d.comb += self.last.eq(head.last)
        begins = named(self.i.first, self.i.up, self.i.rest)
        with m.If(self.next):
            m.d.sync += [
                self.sample.eq(head.sample), self.up.eq(head.up), self.turn.eq(phase - head.sample),
                head.eq(Mux(head.last, first, named(after, row_up, rest))),
                Cat(after, rest).eq(Cat(*part_first(m, Mux(head.last, all_rest, rest))))]
        # That a row is taken is known last: it only chooses.
        with m.If(self.take):
            m.d.sync += [
                first.eq(begins), head.eq(begins), all_rest.eq(self.i.rest), row_up.eq(self.i.up),
                Cat(after, rest).eq(Cat(*part_first(m, self.i.rest))), phase.eq(self.phase)]

    def _from_chain(self, m: Module):
        m.submodules.memory = memory = Memory(
            shape=data.StructLayout({"to": LinkLayout, "up": 1}), depth=2 * MAX_BATCH, init=[],
            attrs={"no_rw_check": 1, "ram_style": "block"})
        write, read = memory.write_port(), memory.read_port()
        begins, row, link = Signal(), Signal(SampleLayout(self.config)), Signal(LinkLayout)
        m.d.comb += [
            write.en.eq(self.link), write.addr.eq(self.link_place),
            write.data.to.eq(self.link_to), write.data.up.eq(self.link_up),
            link.eq(Mux(begins, row.first, read.data.to)),
            read.en.eq(self.next), read.addr.eq(Cat(link.sample, row.half)),
            self.up.eq(read.data.up), self.last.eq(link.last), self.coming.eq(link.sample),
        ]
        with m.If(self.next):
            m.d.sync += [begins.eq(link.last), self.sample.eq(link.sample), self.turn.eq(self.phase - link.sample)]
        with m.If(self.take):
            m.d.sync += [row.eq(self.i), begins.eq(1)]
