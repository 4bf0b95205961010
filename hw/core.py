"""The accelerator, without any link: streams in, streams out.

    i_sample ─► Loader ──────────────► operands      ┌────────────┐
    i_run ────► Sequencer ── control ─► Column ─► Column ─► …     │ replies
                   │      WeightMemory ─ tile ─►                  ▼
                   ▼            ▲ signs           Results ─► o_result
            ProgramMemory       └── Updater ◄── search ◄── who won
                                    │    ▲
                              counters   ReplayMemory
"""

from amaranth import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import flipped

from .column import Column, control_layout
from .config import ArrayConfig
from .inputs import InputMemory
from .loader import Loader
from .ports import STATISTICS, CoreSignature
from .records import ProgramMemory
from .replay import ReplayMemory
from .results import Results
from .sequencer import Sequencer
from .updater import Updater
from .weights import WeightMemory

__all__ = ["Core"]


class Core(wiring.Component):
    """Trains and runs binary networks; members: see `ports.CoreSignature`.

    Of batch b the array makes forward phases, logits and backward phases. The updater moves the counters of the rows
    that won, first layer first: beginning while the array still votes on that layer, if groups are 2^n blocks, and
    going on while the array works on batch b + 1, block after block, in what the updater has left: from the first block
    to the last, or, with `config.descending`, in the first layer from the last to the first. The samples of batch
    b + 2 are loaded once the updater has left the first layer, since it reads the inputs of b there; at once, where
    inputs lie apart (`InputMemory`).
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(CoreSignature(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.program = program = ProgramMemory(config, clients=3)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.loader = loader = Loader(config)
        m.submodules.results = results = Results(config)
        m.submodules.updater = updater = Updater(config)
        m.submodules.replay = replay = ReplayMemory(config)
        m.submodules.weights = weights = WeightMemory(config)
        for client, unit in enumerate((sequencer, updater, loader)):
            wiring.connect(m, unit.program, getattr(program, f"port_{client}"))

        # Host side.
        batch_pending, learned, idle = Signal(), Signal(), Signal(init=1)
        update_pending, update_busy = Signal(), Signal()
        m.d.comb += [
            self.i_program.ready.eq(self.idle),
            program.write.eq(self.i_program.valid & self.i_program.ready),
            program.address.eq(self.i_program.payload.address),
            program.data.eq(self.i_program.payload.data),
            self.idle.eq(idle),
            learned.eq(sequencer.classified & sequencer.learning),
            update_busy.eq(learned | update_pending | updater.busy),
            batch_pending.eq(sequencer.running | results.busy | learned | update_pending),
        ]
        m.d.sync += idle.eq(~(sequencer.running | results.busy | update_busy))
        wiring.connect(m, flipped(self.i_sample), loader.i_sample)
        wiring.connect(m, flipped(self.i_run), sequencer.i_run)
        wiring.connect(m, flipped(self.i_row), updater.i_row)
        wiring.connect(m, flipped(self.i_counter), updater.i_counter)
        wiring.connect(m, updater.o_counter, flipped(self.o_counter))
        wiring.connect(m, results.o, flipped(self.o_result))

        # A batch: array, results, update. The next may enter the array while this one is updated.
        count, time = Signal(6), Signal(8)
        update_phase, update_parity, parity = Signal(8), Signal(), Signal()
        # The batch whose first layer is being updated is not the one in the array.
        run_taken, overtaken = Signal(), Signal()
        m.d.comb += [
            run_taken.eq(self.i_run.valid & self.i_run.ready),
            sequencer.hold.eq(~loader.loaded | (updater.busy & ~updater.updating)),
            sequencer.first_phase.eq(loader.header.first_phase),
            sequencer.final_pass.eq(loader.final_pass),
            sequencer.parity.eq(loader.parity),
            sequencer.stride.eq(loader.header.stride),
            sequencer.replay_stride.eq(loader.header.replay_stride),
            updater.replay_stride.eq(loader.header.replay_stride),
            sequencer.update_busy.eq(update_busy),
            sequencer.update_slot.eq(updater.slot),
            sequencer.update_block.eq(updater.block),
            sequencer.results_busy.eq(results.busy),
            loader.taken.eq(run_taken),
            loader.running.eq(sequencer.running),
            loader.overtaken.eq(0 if config.inputs_apart else overtaken),
            results.start.eq(sequencer.classified),
            results.count.eq(count),
            results.offset.eq(sequencer.result_offset),
            updater.start.eq(update_pending & results.complete & ~updater.busy),
            updater.hold.eq(batch_pending),
            updater.phase.eq(update_phase),
            updater.parity.eq(update_parity),
            updater.voting.eq(sequencer.voting),
            updater.voted.eq(sequencer.voted),
            updater.pause.eq(results.query),
            updater.some.eq(results.some),
            updater.triggered.eq(results.triggered),
            results.rotate.eq(updater.rotate),
        ]
        with m.If(run_taken | (updater.slot > 1) | ~update_busy):
            m.d.sync += overtaken.eq(update_busy & (updater.slot <= 1))
        with m.If(run_taken):
            m.d.sync += [count.eq(self.i_run.payload.count), time.eq(self.i_run.payload.time), parity.eq(loader.parity)]
        with m.If(updater.start):
            m.d.sync += update_pending.eq(0)
        with m.If(learned):
            m.d.sync += [update_pending.eq(1), update_phase.eq(-time), update_parity.eq(parity)]

        # Control bus of the columns.
        control = Signal(control_layout(config))
        write_free = Signal()
        m.d.comb += [
            control.eq(sequencer.control),
            write_free.eq(~(sequencer.control.write.value | sequencer.control.write.gate)),
            # Not by what the loader has, which is known late; one sample's signs come with `write_free` at 0.
            loader.ready.eq(write_free & ~sequencer.verdict_write & (
                1 if config.samples == 1 else replay.ready | ~loader.replay)),
        ]
        with m.If(write_free):
            m.d.comb += [
                control.write.host.eq(loader.operand & loader.ready),
                control.write.odd.eq(loader.odd),
                control.write.pair.eq(loader.pair),
                control.write.address.eq(loader.address),
            ]
        with m.If(loader.label & loader.ready):
            m.d.comb += control.write.label.eq(1)
        m.d.comb += [
            control.write.column.eq(loader.column),
            control.write.lane.eq(loader.lane),
            control.write.data.eq(loader.data),
        ]
        query = Signal.like(control.query)
        with m.If(sequencer.control.query.label):
            m.d.sync += query.eq(sequencer.control.query)
        with m.Else():
            m.d.sync += [
                query.label.eq(0),
                query.address.eq(Mux(results.query, results.query_address, updater.query_address)),
                query.member.eq(updater.query_member),
                query.column.eq(results.query_column),
            ]
        m.d.comb += control.query.eq(query)

        # Array.
        m.d.comb += [
            weights.i_address.eq(sequencer.tile),
            weights.i_transpose.eq(sequencer.transpose),
            weights.i_block.eq(sequencer.tile_block),
            weights.write.eq(updater.write),
            weights.tile.eq(updater.tile),
            weights.row.eq(updater.row),
            weights.half.eq(updater.half),
            weights.signs.eq(updater.signs),
            weights.copy.eq(updater.copy),
        ]
        bus, tile, reply, copy, copy_place = control, weights.o_tile, None, sequencer.copy, sequencer.o_copy
        if config.bus_delay:
            # A cycle for the way from here to the array; tiles have theirs in the weight memory.
            bus, copy_place, copy = Signal.like(bus), Signal.like(copy_place), Signal()
            m.d.sync += [bus.eq(control), copy.eq(sequencer.copy), copy_place.eq(sequencer.o_copy)]
        # No reset goes to the columns: what is in them is gone when idle control has passed through.
        m.domains.array = ClockDomain(reset_less=True, local=True)
        m.d.comb += ClockSignal("array").eq(ClockSignal())
        if config.double_rate:
            # Its clock rises with each edge of the other; what goes by the second edge of a cycle must be early.
            cycle, seen, second_half = Signal(), Signal(reset_less=True), Signal(reset_less=True)
            m.d.sync += cycle.eq(~cycle)
            m.d.double += [seen.eq(cycle), second_half.eq(cycle ^ seen)]
            m.d.comb += [weights.i_double.eq(control.issue.double), weights.second_half.eq(second_half)]
        columns = []
        for index in range(config.columns):
            column = Column(config, index)
            m.submodules[f"column_{index}"] = DomainRenamer("array")(column)
            m.d.comb += [column.i_control.eq(bus), column.i_tile.eq(tile)]
            if config.double_rate:
                m.d.comb += column.second_half.eq(second_half)
            if reply is not None:
                m.d.comb += column.i_reply.eq(reply)
            bus, tile, reply = column.o_control, column.o_tile, column.o_reply
            columns.append(column)
        for west, east in zip(columns, columns[1:], strict=False):
            m.d.comb += [west.i_signs.eq(east.o_signs), west.i_arrive.eq(east.o_arrive)]
        m.d.comb += [results.reply.eq(reply), updater.reply.eq(reply)]

        # Replay memory.
        m.d.comb += [
            replay.copy.eq(copy),
            replay.i_copy.eq(copy_place),
            replay.arrive.eq(columns[0].o_arrive),
            replay.signs.eq(columns[0].o_signs),
            replay.write.eq(0 if config.inputs_apart else loader.replay & loader.ready),
            replay.word.eq(loader.word),
            replay.part.eq(loader.part),
            replay.sample.eq(loader.sample),
            replay.data.eq(self.i_sample.payload.data),
            replay.read_word.eq(updater.read_word),
            replay.read_half.eq(updater.read_half),
            replay.read_sample.eq(updater.read_sample),
        ]
        if config.inputs_apart:
            m.submodules.inputs = inputs = InputMemory(config)
            # A register of its own: the elements are far from there.
            first_half = Signal(reset_less=True)
            m.d.double += first_half.eq(~(cycle ^ seen))
            issue = sequencer.control.issue
            batch, update_batch = Signal(2), Signal(2)
            with m.If(run_taken):
                m.d.sync += batch.eq(loader.batch)
            with m.If(learned):
                m.d.sync += update_batch.eq(batch)
            m.d.comb += [
                sequencer.fetch.eq(updater.fetch),
                inputs.fetch.eq(updater.fetch),
                inputs.fetched.sample.eq(updater.fetch_sample),
                inputs.fetched.pair.eq(updater.fetch_pair),
                inputs.fetched.batch.eq(update_batch),
                inputs.word.eq(Cat(updater.read_half, updater.read_word)),
                inputs.sample.eq(updater.read_sample),
                inputs.hidden.eq(replay.o),
                inputs.inputs.eq(updater.slot == 1),
                updater.activations.eq(inputs.activations),
                inputs.read.eq(issue.input),
                inputs.first_half.eq(first_half),
                inputs.place.sample.eq(issue.address[:config.pass_width]),
                inputs.place.pair.eq(issue.address[config.pass_width:]),
                inputs.place.batch.eq(batch),
                inputs.whole.eq(issue.double),
                loader.inputs_ready.eq(inputs.ready),
                inputs.write.eq(loader.replay),
                Cat(inputs.write_place.second, inputs.write_place.pair).eq(loader.word),
                inputs.write_place.sample.eq(loader.sample),
                inputs.write_place.batch.eq(loader.batch),
                inputs.i.eq(self.i_sample.payload.data),
                columns[0].input.eq(inputs.o),
            ]
        else:
            m.d.comb += updater.activations.eq(replay.o)

        # Statistics.
        others = ~(self.idle | sequencer.forward | sequencer.backward)
        phases = {"forward": sequencer.forward, "backward": sequencer.backward, "update": others & update_busy,
                  "stall": others & ~update_busy}
        events = phases | {
            "samples": Mux(run_taken, self.i_run.payload.count, 0),
            "triggered": self.o_result.valid & self.o_result.ready & self.o_result.payload.triggered,
            "row_updates": updater.updated, "saturations": updater.lost,
        }
        for number, name in enumerate(STATISTICS):
            # Counted a cycle late: long carries do not wait for what is known late.
            event = Signal.like(events[name], name=f"event_{name}")
            m.d.sync += [event.eq(events[name]), self.statistics[number].eq(self.statistics[number] + event)]
        return m
