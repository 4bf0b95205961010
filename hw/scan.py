"""Finds the rows that a batch updates, with the samples that update each.

For every row of a layer it asks the columns, pass by pass, in which samples the row has won its group. The answers
make a mask over the batch; rows that nobody won are dropped. So all the batch's updates of a row come together, and its
counters are read and written once. An array of one sample has another way: see `group_scan`.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..model.config import MAX_BATCH
from .column import reply_layout
from .config import MEMBER_BITS, TILE, ArrayConfig
from .memory import registered
from .samples import SampleLayout, part_first

__all__ = ["PlaceLayout", "QueueLayout", "RowLayout", "RowScan", "search_members", "walk_rows"]


def PlaceLayout(config: ArrayConfig) -> data.StructLayout:
    """A row: its number, first counter word and first tile."""
    return data.StructLayout({
        "row": config.sum_width, "counter": range(config.counter_words), "tile": range(config.tiles)})


def RowLayout(config: ArrayConfig) -> data.StructLayout:
    """A row to update, and the samples that do."""
    return data.StructLayout({"place": PlaceLayout(config), "samples": SampleLayout(config)})


def QueueLayout(config: ArrayConfig) -> data.StructLayout:
    """A row that was found and waits: the mask of the samples that update it, and those that step up."""
    return data.StructLayout({"wins": MAX_BATCH, "up": MAX_BATCH, "place": PlaceLayout(config)})


def search_members(config: ArrayConfig) -> dict:
    """Members that every search for rows has; see `RowScan`."""
    return {
        "start": In(1),
        "rows": In(config.sum_width),
        "group": In(MEMBER_BITS),
        "verdict": In(range(config.verdict_offsets)),
        "counter": In(range(config.counter_words)),
        "words": In(range(config.row_words)),
        "tile": In(range(config.tiles)),
        "tile_block_step": In(range(config.tiles)),
        "seek": In(1),
        "skip": In(1),
        "pause": In(1),
        "voting": In(1),
        "voted": In(config.block_width),
        "busy": Out(1),
        "query": Out(1),
        "address": Out(range(config.winner_words)),
        "reply": In(reply_layout(config)),
        "found": Out(PlaceLayout(config)),
        "o": Out(stream.Signature(RowLayout(config))),
    }


def walk_rows(m: Module, scan: wiring.Component, advance) -> None:
    """Keep `scan.found` the row in question: the layer's first, and, with each `advance` or `skip`, the next; or its
    last, and the one before."""
    found, descending = scan.found, scan.config.descending
    counter, step, turn = found.counter, 1, TILE - 1
    if descending:
        # What is added to the complement is taken from the address.
        counter, step, turn = Signal.like(found.counter), -1, 0
        m.d.comb += found.counter.eq(~counter)
    with m.If(scan.start | scan.seek):
        m.d.sync += [
            found.row.eq(scan.rows if descending else 0), counter.eq(~scan.counter if descending else scan.counter),
            found.tile.eq(scan.tile)]
    with m.If(advance | scan.skip):
        m.d.sync += [found.row.eq(found.row + step), counter.eq(counter + scan.words + 1)]
        with m.If(found.row[:4] == turn):
            m.d.sync += found.tile.eq(found.tile + scan.tile_block_step)


class RowScan(wiring.Component):
    """Scans the rows of a layer.

    Members
    -------
    start : In(1)
        Scan the layer described by `rows` … `tile` (see `program.LAYER`), which must be still until done.
    seek, skip : In(1)
        For the host, while not busy: `found` is the layer's first row; is the next.
    pause : In(1)
        Ask nothing.
    voting, voted : In
        While `voting`, only rows of the blocks below `voted` have winners.
    triggered : In(32)
        Samples that update.
    busy : Out(1)
        From the cycle after `start` until the last row has left `o`.
    query, address, member : Out
        What to ask of the columns.
    reply : In
        The answer, `config.reply_latency` cycles later.
    found : Out(PlaceLayout)
        The row that is being gathered.
    o : Out(stream of RowLayout)
        Rows with at least one sample, ascending.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(search_members(config) | {"triggered": In(MAX_BATCH), "member": Out(MEMBER_BITS)})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        ahead = config.scan_ahead

        # Asking: a row at a time, its passes one after the other.
        asking = Signal()
        row, member = Signal(config.sum_width), Signal(MEMBER_BITS)
        pass_ = Signal(config.pass_width)
        offset = Signal(range(config.verdict_offsets))
        under_way = Signal(range(ahead + 1))
        taken, dropped = Signal(), Signal()
        begin, last_pass = Signal(), Signal()
        # Whether the row's block has been voted on is known a cycle late, and so not in the first cycle of a block.
        complete_block, next_block = Signal(), Signal()
        in_block = ceil_log2(config.rows)
        m.d.comb += next_block.eq(self.start | (self.query & last_pass & row[:in_block].all()))
        m.d.sync += complete_block.eq((~self.voting | (row[in_block:] < self.voted)) & ~next_block)
        m.d.comb += [
            last_pass.eq(pass_ == config.passes - 1),
            begin.eq(asking & (pass_ == 0) & (under_way != ahead) & ~self.pause & complete_block),
            self.query.eq(begin | (asking & (pass_ != 0) & ~self.pause)),
            self.address.eq(Cat(pass_, offset)),
            self.member.eq(member),
        ]
        m.d.sync += under_way.eq(under_way + begin - taken - dropped)
        # What is the last is known before it is asked for.
        last_member, last_row = Signal(), Signal()
        next_member, next_row = Signal.like(member), Signal.like(row)
        m.d.comb += [next_member.eq(Mux(last_member, 0, member + 1)), next_row.eq(row + 1)]
        with m.If(self.start):
            m.d.sync += [
                asking.eq(1), row.eq(0), member.eq(0), pass_.eq(0), offset.eq(self.verdict),
                last_member.eq(self.group == 0), last_row.eq(self.rows == 0)]
        with m.Elif(self.query):
            m.d.sync += pass_.eq(pass_ + 1)
            with m.If(last_pass):
                m.d.sync += [
                    pass_.eq(0), row.eq(next_row), member.eq(next_member), offset.eq(offset + last_member),
                    last_member.eq(next_member == self.group), last_row.eq(next_row == self.rows),
                    asking.eq(~last_row)]

        # Answers: `reply_latency` cycles behind, gathered until a row is complete.
        valid, last = self.query, self.query & last_pass
        for _ in range(config.reply_latency):
            next_valid, next_last = Signal(), Signal()
            m.d.sync += [next_valid.eq(valid), next_last.eq(last)]
            valid, last = next_valid, next_last
        complete, some, push = Signal(), Signal(), Signal()
        m.d.sync += complete.eq(last)
        found, samples = self.found, Signal(SampleLayout(config))
        empty = complete & ~some
        m.d.comb += [push.eq(complete & some), dropped.eq(registered(m, empty) if config.pipelined else empty)]
        width = config.samples * config.passes
        mask, up = Signal(width), Signal(width)
        wins = Signal(MAX_BATCH)
        with m.If(valid):
            m.d.sync += [
                mask.eq(Cat(mask, self.reply.match)[config.samples:]),
                up.eq(Cat(up, self.reply.up)[config.samples:])]
        m.d.comb += [wins.eq(mask & self.triggered), some.eq(wins != 0)]
        # With one row ahead, the row waits where it was gathered; else it moves on at once.
        walk_rows(m, self, complete if ahead > 1 else taken | dropped)

        if ahead == 1:
            place, waits = found, Signal()
            with m.If(push):
                m.d.sync += waits.eq(1)
            with m.If(taken):
                m.d.sync += waits.eq(0)
        else:
            # There is always room for what has been asked.
            layout = QueueLayout(config)
            m.submodules.queue = queue = SyncFIFOBuffered(width=layout.size, depth=ahead)
            found_row, found_some = Cat(wins, up[:MAX_BATCH], found), push
            if config.pipelined:
                # Its samples are a long way into the cycle.
                found_row, found_some = registered(m, found_row), registered(m, push)
            m.d.comb += [queue.w_data.eq(found_row), queue.w_en.eq(found_some), queue.r_en.eq(self.o.ready)]
            queued, waits = data.View(layout, queue.r_data), queue.r_rdy
            wins, up, place = queued.wins, queued.up, queued.place
        first, rest = part_first(m, wins)
        m.d.comb += [
            samples.first.eq(first), samples.rest.eq(rest), samples.up.eq(up),
            self.o.valid.eq(waits),
            self.o.payload.place.eq(place),
            self.o.payload.samples.eq(samples),
            taken.eq(self.o.valid & self.o.ready),
            self.busy.eq(asking | (under_way != 0)),
        ]
        return m
