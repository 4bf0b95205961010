"""Finds the rows that a batch updates, where the columns answer for one sample at a time: a group after the other.

Of a group it asks for every sample's winner, last sample first, and chains the samples that the same row has won:

    columns ─► winner ──► heads: of each member, its first sample ┐
                    └───► Samples: of each sample, the next ◄─────┴─ o: a row and its first sample

Then it visits the group's rows, and the next group is asked for once the last row has been taken: its chains lie
beside those of the row in work. With `config.descending` the last group and the last row come first.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..model.config import MAX_BATCH
from .config import MEMBER_BITS, ArrayConfig
from .memory import registered
from .samples import LinkLayout
from .scan import search_members, walk_rows

__all__ = ["GroupScan"]


class GroupScan(wiring.Component):
    """Scans the groups of a layer; the array has one sample.

    Members are those of `RowScan`, but that nothing is asked by `member`, and:

    Members
    -------
    voting, voted : In
        While `voting`, only the groups that begin in the blocks below `voted` have winners.
    triggered : In(1)
        The sample whose turn it is updates.
    rotate : Out(1)
        The turn is the next sample's, from the batch's last to its first: 32 times for each group.
    link, link_place, link_to, link_up : Out
        To the chains, for the sample and half `link_place`: what comes after it, if it is not the last; and whether it
        steps up.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(search_members(config) | {
            "triggered": In(1),
            "rotate": Out(1),
            "link": Out(1),
            "link_place": Out(range(2 * MAX_BATCH)),
            "link_to": Out(LinkLayout),
            "link_up": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, found = self.config, self.found
        member = Signal(MEMBER_BITS)
        offset, pass_ = Signal(range(config.verdict_offsets)), Signal(config.pass_width, init=MAX_BATCH - 1)
        # Whose chains are being made or read, and whether a row of this group has been taken.
        half, used = Signal(), Signal()
        down = config.descending
        step, first = (-1, self.group) if down else (1, 0)

        # Asking, from the cycle after the one in which the group's first row is known. Groups are voted on as wholes.
        following_group, asking = Signal(), Signal()
        in_block = ceil_log2(config.rows)
        complete = registered(m, ~self.voting | (found.row[in_block:] < self.voted))
        m.d.comb += [
            self.query.eq(asking & complete & ~self.pause),
            self.address.eq(Cat(pass_, offset)),
        ]
        with m.If(registered(m, self.start | following_group)):
            m.d.sync += asking.eq(1)
        with m.If(self.query):
            m.d.sync += pass_.eq(pass_ - 1)
            with m.If(pass_ == 0):
                m.d.sync += asking.eq(0)

        # Answers: of each winner the head is read, and in the next cycle written. Twice the same row, one sample after
        # the other: then the head is the one that is being written.
        valid, last = self.query, self.query & (pass_ == 0)
        for _ in range(config.reply_latency):
            valid, last = registered(m, valid), registered(m, last)
        winner = self.reply.verdicts[0]
        m.submodules.heads = heads = Memory(
            shape=data.StructLayout({"link": LinkLayout, "some": 1}), depth=1 << MEMBER_BITS, init=[],
            attrs={"no_rw_check": 1, "ram_style": "block"})
        read, write = heads.read_port(), heads.write_port()
        wins, visiting, advance = Signal(), Signal(), Signal()
        sample = Signal(range(MAX_BATCH), init=MAX_BATCH - 1)
        place = registered(m, winner.member)
        m.d.sync += wins.eq(valid & winner.valid & self.triggered)
        with m.If(registered(m, valid)):
            m.d.sync += sample.eq(sample - 1)
        again = registered(m, wins & (place == winner.member))
        m.d.comb += [
            self.rotate.eq(valid),
            read.addr.eq(Mux(visiting, member, winner.member)),
            write.en.eq(wins | advance), write.addr.eq(Mux(visiting, member, place)), write.data.some.eq(wins),
            write.data.link.sample.eq(sample), write.data.link.last.eq(~(again | read.data.some)),
            self.link.eq(wins), self.link_place.eq(Cat(sample, half)), self.link_up.eq(registered(m, winner.up)),
            self.link_to.eq(Mux(again, registered(m, write.data.link.as_value()), read.data.link.as_value())),
        ]

        # Visiting: a row's head is read in one cycle, and in the next is here, and cleared.
        seen, last_member, last_row = Signal(), Signal(), Signal()
        taken = self.o.valid & self.o.ready
        with m.If(registered(m, last)):
            m.d.sync += visiting.eq(1)
        m.d.sync += [
            seen.eq(visiting & ~advance), last_member.eq(member == (0 if down else self.group)),
            last_row.eq(found.row == (0 if down else self.rows))]
        m.d.comb += [
            self.o.valid.eq(seen & read.data.some), self.o.payload.place.eq(found),
            self.o.payload.samples.first.eq(read.data.link), self.o.payload.samples.half.eq(half),
            advance.eq(seen & (~read.data.some | self.o.ready)),
            following_group.eq(advance & last_member & ~last_row),
        ]
        with m.If(taken):
            m.d.sync += used.eq(1)
        with m.If(advance):
            m.d.sync += member.eq(member + step)
            with m.If(last_member | last_row):
                m.d.sync += [
                    member.eq(first), offset.eq(offset + step), visiting.eq(0), half.eq(half ^ (used | taken)),
                    used.eq(0)]
            with m.If(last_row):
                m.d.sync += self.busy.eq(0)
        with m.If(self.start):
            m.d.sync += [offset.eq(self.verdict), self.busy.eq(1)]
            if down:
                m.d.sync += member.eq(first)
        walk_rows(m, self, advance)
        return m
