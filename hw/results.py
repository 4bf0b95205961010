"""Reads a batch's results from the columns' verdict memories: the triggers for the updater, then all to the host."""

from amaranth import C, Cat, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.config import MAX_BATCH
from .column import reply_layout
from .config import ArrayConfig
from .memory import registered
from .ports import ResultLayout

__all__ = ["Results"]


class Results(wiring.Component):
    """Collects the results of a batch, sample by sample.

    Members
    -------
    start : In(1)
        Collect `count` results, which lie at `offset` in the verdict memory, in each pass.
    busy : Out(1)
        From the cycle after `start` until all results are out.
    complete : Out(1)
        `triggered` is; not so from the cycle after `start` on, for some cycles a pass.
    query, address, column : Out
        What to ask of the columns.
    reply : In
        The answer, `config.reply_latency` cycles later.
    o : Out(stream)
        See `ports.CoreSignature.o_result`. A stalled host holds the next batch's results back.
    triggered : Out(32)
        Bit μ is set when sample μ triggered; 0 beyond the batch.
    some : Out(1)
        Any of them is; from the cycle after `triggered` is complete.
    rotate : In(1)
        Where samples are chained: turn `triggered` by one, up; after 32 times it is as it was.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__({
            "start": In(1),
            "count": In(6),
            "offset": In(range(config.verdict_offsets)),
            "busy": Out(1),
            "complete": Out(1),
            "query": Out(1),
            "query_address": Out(range(config.winner_words)),
            "query_column": Out(range(max(2, config.columns))),
            "reply": In(reply_layout(config)),
            "o": Out(stream.Signature(ResultLayout)),
            "triggered": Out(MAX_BATCH),
            "some": Out(1),
            "rotate": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        samples, latency = config.samples, config.reply_latency
        left = Signal(6)
        pass_, offset = Signal(config.pass_width), Signal.like(self.offset)
        m.d.comb += self.query_address.eq(Cat(pass_, offset))
        column, lane = self.query_column, Signal(range(max(2, config.lanes)))
        verdicts = Signal.like(self.reply.verdicts)
        wait = Signal(range(max(latency, 0 if config.chained else config.passes) + 1))
        m.d.comb += [
            self.o.payload.prediction.eq(verdicts[0].member),
            self.o.payload.triggered.eq(verdicts[0].up),
        ]

        triggered, enter, coming = Signal(samples * config.passes), Signal(), Signal(samples)
        m.d.comb += self.triggered.eq(triggered)
        with m.If(enter):
            m.d.sync += triggered.eq(Cat(triggered, coming)[samples:])
        if config.chained:
            # One comes with each result; beyond the batch there are none.
            entered = Signal(range(MAX_BATCH + 1))
            m.d.comb += pass_.eq(entered)
            with m.If(enter):
                m.d.sync += [entered.eq(entered + 1), self.some.eq(self.some | coming)]
            with m.Elif(self.rotate):
                m.d.sync += triggered.eq(triggered.rotate_left(1))
            m.d.comb += self.complete.eq(~self.busy)
        else:
            # They are asked for first, those of a pass at once. What lies beyond the batch is of another.
            asked, missing, places = Signal(), Signal(range(config.passes + 1)), Signal(signed(8))
            answered = asked
            for _ in range(latency):
                answered = registered(m, answered)
            m.d.comb += [
                enter.eq(answered), self.complete.eq(missing == 0),
                coming.eq(Cat(self.reply.up[sample] & (C(sample) < places) for sample in range(samples)))]
            m.d.sync += [missing.eq(missing - answered), self.some.eq(triggered != 0)]
            with m.If(enter):
                m.d.sync += places.eq(places - samples)

        with m.FSM():
            with m.State("idle"):
                with m.If(self.start):
                    m.d.sync += [
                        left.eq(self.count), lane.eq(0), column.eq(0), offset.eq(self.offset), self.busy.eq(1)]
                    if config.chained:
                        m.d.sync += [entered.eq(0), wait.eq(latency), self.some.eq(0)]
                        m.next = "ask"
                    else:
                        m.d.sync += [
                            places.eq(self.count), wait.eq(config.passes - 1), missing.eq(config.passes),
                            pass_.eq(0)]
                        m.next = "triggers"
            if not config.chained:
                with m.State("triggers"):
                    m.d.comb += [self.query.eq(1), asked.eq(1)]
                    m.d.sync += [pass_.eq(pass_ + 1), wait.eq(wait - 1)]
                    with m.If(wait == 0):
                        m.d.sync += [pass_.eq(0), wait.eq(latency)]
                        m.next = "ask"
            with m.State("ask"):
                m.d.comb += self.query.eq(wait == latency)
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.d.sync += verdicts.eq(self.reply.verdicts)
                    m.next = "emit"
            with m.State("emit"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [left.eq(left - 1), lane.eq(lane + 1)]
                    if config.chained:
                        m.d.comb += [enter.eq(1), coming.eq(verdicts[0].up)]
                    for number in range(config.lanes - 1):
                        m.d.sync += verdicts[number].eq(verdicts[number + 1])
                    with m.If(lane == config.lanes - 1):
                        m.d.sync += [lane.eq(0), column.eq(column + 1), wait.eq(latency)]
                        with m.If(column == config.columns - 1):
                            m.d.sync += column.eq(0)
                            if not config.chained:
                                m.d.sync += pass_.eq(pass_ + 1)
                        m.next = "ask"
                    with m.If(left == 1):
                        m.next = "over"
            with m.State("over"):
                over = entered == MAX_BATCH if config.chained else 1
                if config.chained:
                    m.d.comb += enter.eq(~over)
                with m.If(over):
                    m.d.sync += self.busy.eq(0)
                    m.next = "idle"
        return m
