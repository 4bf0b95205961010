"""Takes the samples of the next batch to the columns, to the replay memory, and their targets to the columns.

The target of a sample is its class's prototype (`a*_L = ρ^c`), which the loader fetches from the program memory.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..model.config import MAX_BATCH
from .config import TILE, ArrayConfig
from .ports import SampleWordLayout
from .program import LOADER
from .records import ProgramPort, RecordReader

__all__ = ["Loader"]


class Loader(wiring.Component):
    """Loads samples, `config.load_words` words a cycle where nothing else writes.

    Members
    -------
    program : Out(ProgramPort)
    i_sample : In(stream)
        See `ports.CoreSignature`.
    taken : In(1)
        One cycle: the samples loaded are being run; the next belong to another batch.
    running, overtaken : In(1)
        A batch is in the array; and the updates of the one before still read its inputs.
    operand, label : Out(1)
        Write `data` to `address` (word `odd` of that pair, or with `pair` both) of the operand memory, to `address` of
        the verdict memory, of `lane` of `column`; done when `ready`.
    replay : Out(1)
        Write the sample's words to the replay memory, at `word`, `part` and `sample`, in the same cycle as `operand`;
        where inputs lie apart, to their memory, and `word` is that of the sample.
    ready : In(1)
        All that is asked for is written; where inputs lie apart, all but these.
    inputs_ready : In(1)
        Where inputs lie apart: they are written.
    loaded : Out(1)
        There are samples, and all that came are where they belong; only then may they be `taken`.
    final_pass : Out
        The last pass of those that the samples loaded take.
    parity : Out(1)
        Of the batch being loaded.
    batch : Out(2)
        Its number, modulo four. Only where inputs lie apart.
    header : Out
        The fields of `program.LOADER`: what holds for the whole network. Those not buffered are still once read.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        operand_shape, verdict_shape = range(config.operand_offsets), range(config.verdict_offsets)
        self._shapes = {
            "inputs": operand_shape, "targets": operand_shape, "label": verdict_shape, "stride": operand_shape,
            "prototypes": range(config.program_words), "first_phase": range(config.program_words)}
        self._header = data.StructLayout({name: field.width for name, field in LOADER.items()} | self._shapes)
        super().__init__({
            "program": Out(ProgramPort(config)),
            "i_sample": In(stream.Signature(SampleWordLayout(config))),
            "taken": In(1),
            "running": In(1),
            "overtaken": In(1),
            "operand": Out(1),
            "label": Out(1),
            "replay": Out(1),
            "ready": In(1),
            "address": Out(range(max(config.operand_words, config.winner_words))),
            "odd": Out(1),
            "pair": Out(1),
            "column": Out(range(max(2, config.columns))),
            "lane": Out(range(max(2, config.lanes))),
            "data": Out(TILE * config.load_words),
            "word": Out(8),
            "part": Out(range(max(2, config.update_words))),
            "sample": Out(6),
            "loaded": Out(1),
            "final_pass": Out(config.pass_width),
            "parity": Out(1),
            "header": Out(self._header),
        } | ({"inputs_ready": In(1), "batch": Out(2)} if config.inputs_apart else {}))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.record = record = RecordReader(config, LOADER, self._shapes)
        header = record.o
        m.d.comb += [
            record.parity.eq(self.parity), record.steps.stride.eq(header.stride),
            record.steps.replay_stride.eq(header.replay_stride), self.header.eq(header)]

        word = Signal(8)
        target, last_target = Signal(range(256)), Signal()
        # Asked for is the prototype's word `step` behind `fetch`, which at first counts from the network's prototypes.
        fetch, step, wanted = (Signal(range(config.program_words)) for _ in range(3))
        column, lane = self.column, self.lane
        part_bits = ceil_log2(config.update_words)
        sample_word = self.i_sample.payload
        m.d.comb += [
            self.part.eq(word[:part_bits]),
            self.word.eq(word if config.inputs_apart else header.replay_region + (word >> part_bits)),
        ]
        # The program port is the record reader's but for the prototypes.
        fetching = Signal()
        m.d.comb += [
            wanted.eq(fetch + step),
            self.program.request.eq(record.program.request | fetching),
            self.program.address.eq(Mux(fetching, wanted, record.program.address)),
            record.program.grant.eq(self.program.grant & ~fetching),
            record.program.data.eq(self.program.data),
        ]

        pass_full = (lane == config.lanes - 1) & (column == config.columns - 1)

        def following(of_another_pass):
            with m.If(of_another_pass):
                m.d.sync += self.final_pass.eq(self.final_pass + 1)
            m.next = "inputs"

        with m.FSM():
            with m.State("empty"):
                may_load = ~self.running | (header.double & ~self.overtaken)
                with m.If(self.i_sample.valid & may_load):
                    m.d.comb += record.start.eq(1)
                    m.d.sync += [
                        column.eq(0), lane.eq(0), self.sample.eq(0), self.final_pass.eq(0), word.eq(0)]
                    m.next = "header"
            with m.State("header"):
                with m.If(~record.busy):
                    m.next = "inputs"
            with m.State("inputs"):
                taken = Mux(sample_word.last, self.ready, self.inputs_ready) if config.inputs_apart else self.ready
                m.d.comb += [
                    self.operand.eq(0 if config.inputs_apart else self.i_sample.valid & ~sample_word.last),
                    self.replay.eq(self.i_sample.valid & ~sample_word.last if config.inputs_apart else self.operand),
                    self.label.eq(self.i_sample.valid & sample_word.last),
                    self.odd.eq(word[0]),
                    self.pair.eq(config.load_words == 2),
                    self.data.eq(sample_word.data),
                    self.address.eq(Cat(self.final_pass, Mux(
                        sample_word.last, header.label, (header.inputs + (word >> 1))[:len(header.inputs)]))),
                    self.i_sample.ready.eq(taken),
                ]
                # As if each word were the label: what matters is the last.
                m.d.sync += [
                    target.eq(0), last_target.eq(header.target_words == 0),
                    fetch.eq(sample_word.data[:7] << header.prototype_shift), step.eq(header.prototypes)]
                with m.If(self.i_sample.valid & taken):
                    m.d.sync += word.eq(word + config.load_words)
                    with m.If(sample_word.last):
                        m.next = "fetch"
            with m.State("fetch"):
                m.d.comb += fetching.eq(1)
                m.d.sync += [fetch.eq(wanted), step.eq(self.program.grant)]
                with m.If(self.program.grant):
                    m.next = "target"
            with m.State("target"):
                # The word is here for one cycle, and the next is asked for, as if this could be written; if not, it is
                # fetched again.
                m.d.comb += [
                    self.operand.eq(1), self.data.eq(self.program.data),
                    self.address.eq(Cat(self.final_pass, header.targets + target)), fetching.eq(1)]
                with m.If(~self.program.grant | ~self.ready):
                    m.d.sync += step.eq(0)
                    m.next = "fetch"
                with m.If(self.ready):
                    m.d.sync += [
                        target.eq(target + 1), last_target.eq(target + 1 == header.target_words), fetch.eq(wanted)]
                    with m.If(last_target):
                        m.d.sync += [word.eq(0), self.sample.eq(self.sample + 1), lane.eq(lane + 1)]
                        with m.If(lane == config.lanes - 1):
                            m.d.sync += [lane.eq(0), column.eq(column + 1)]
                            with m.If(column == config.columns - 1):
                                m.d.sync += column.eq(0)
                        m.next = "next"
                        with m.If(self.i_sample.valid & (self.sample != MAX_BATCH - 1)):
                            following(pass_full)
            with m.State("next"):
                m.d.comb += self.loaded.eq(1)
                with m.If(self.taken):
                    m.next = "taken"
                with m.Elif(self.i_sample.valid & ~self.sample[5]):
                    following((lane == 0) & (column == 0))
            with m.State("taken"):
                m.d.sync += self.parity.eq(~self.parity)
                if config.inputs_apart:
                    m.d.sync += self.batch.eq(self.batch + 1)
                m.next = "empty"
        return m
