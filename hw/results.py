"""Reads a batch's results from the columns' verdict memories: out to the host, and the triggers to the updater."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.config import MAX_BATCH
from .column import reply_layout
from .config import ArrayConfig

__all__ = ["Results"]


class Results(wiring.Component):
    """Collects the results of a batch, sample by sample.

    Members
    -------
    start : In(1)
        Collect `count` results from address `address` on, `frame` further for each pass.
    busy : Out(1)
        From the cycle after `start` until all results are out and `triggered` is complete.
    query, address, column : Out
        What to ask of the columns.
    reply : In
        The answer, `config.reply_latency` cycles later.
    o : Out(stream)
        See `ports.CoreSignature.o_result`. A stalled host holds the next batch's results back, and the update.
    triggered : Out(32)
        Bit μ is set when sample μ triggered; 0 beyond the batch.
    rotate : In(1)
        Turn `triggered` by one, down; after 32 times it is as it was.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__({
            "start": In(1),
            "count": In(6),
            "address": In(range(config.winner_words)),
            "frame": In(range(config.winner_words)),
            "busy": Out(1),
            "query": Out(1),
            "query_address": Out(range(config.winner_words)),
            "query_column": Out(range(max(2, config.columns))),
            "reply": In(reply_layout(config)),
            "o": Out(stream.Signature(data.StructLayout({"prediction": 7, "triggered": 1}))),
            "triggered": Out(MAX_BATCH),
            "rotate": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        left = Signal(6)
        places = Signal(range(MAX_BATCH + 1))
        column, lane = self.query_column, Signal(range(max(2, config.lanes)))
        verdicts = Signal.like(self.reply.verdicts)
        wait = Signal(range(config.reply_latency + 1))

        def keep(triggered):
            return [self.triggered.eq(Cat(self.triggered[1:], triggered)), places.eq(places - 1)]

        m.d.comb += [
            self.o.payload.prediction.eq(verdicts[0].member),
            self.o.payload.triggered.eq(verdicts[0].up),
        ]
        with m.If(self.rotate):
            m.d.sync += self.triggered.eq(Cat(self.triggered[1:], self.triggered[0]))
        with m.FSM():
            with m.State("idle"):
                with m.If(self.start):
                    m.d.sync += [
                        left.eq(self.count), places.eq(MAX_BATCH), column.eq(0), lane.eq(0),
                        self.query_address.eq(self.address), self.busy.eq(1), wait.eq(config.reply_latency)]
                    m.next = "ask"
            with m.State("ask"):
                m.d.comb += self.query.eq(1)
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.d.sync += verdicts.eq(self.reply.verdicts)
                    m.next = "emit"
            with m.State("emit"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [left.eq(left - 1), lane.eq(lane + 1), *keep(verdicts[0].up)]
                    for number in range(config.lanes - 1):
                        m.d.sync += verdicts[number].eq(verdicts[number + 1])
                    with m.If(lane == config.lanes - 1):
                        m.d.sync += [lane.eq(0), column.eq(column + 1), wait.eq(config.reply_latency)]
                        with m.If(column == config.columns - 1):
                            m.d.sync += [column.eq(0), self.query_address.eq(self.query_address + self.frame)]
                        m.next = "ask"
                    with m.If(left == 1):
                        m.next = "pad"
            with m.State("pad"):
                with m.If(places == 0):
                    m.d.sync += self.busy.eq(0)
                    m.next = "idle"
                with m.Else():
                    m.d.sync += keep(0)
        return m
