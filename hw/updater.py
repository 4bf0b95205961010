"""Updates the counters of the rows that won, beside the array, and serves rows to the host.

A row's words are read once; the samples that update the row take their steps one a cycle; the word is written back,
with its signs to the weight memory:

    RowScan or GroupScan ─► row, samples ─► for each word: for each sample:
                              replay memory ─┐
              CounterMemory ─► k ─► CounterLanes ─► k ─► CounterMemory, weight memory
"""

from amaranth import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..model.config import MAX_BATCH
from .column import reply_layout
from .config import INPUT_WORDS, MEMBER_BITS, TILE, ArrayConfig
from .counters import CounterLanes, CounterMemory, StepLayout
from .group_scan import GroupScan
from .inputs import FETCH_LEAD
from .memory import registered
from .ports import TransferLayout
from .program import LAYER, SLOT
from .records import ProgramPort, RecordReader
from .samples import Samples
from .scan import RowScan

__all__ = ["Updater"]


class Updater(wiring.Component):
    """All that touches the counters.

    Members
    -------
    program : Out(ProgramPort)
    start, phase, parity : In
        Update with the batch whose triggers are known: its first sample has the number -`phase`. Sample μ reinforces in
        row i, at its turn `phase` - i - μ, the counters whose place is equal to that turn modulo R.
    voting, voted : In
        The batch is still in the array, and only the blocks below `voted` of the layer next to the input have winners.
    pause : In(1)
        Ask nothing of the columns.
    some : In(1)
        There are samples that update; in the cycle after `start`.
    triggered : In(32)
        Its samples that update; to be still while `busy`, but for `rotate`: see `Results`.
    replay_stride : In
        Of the loader's record.
    busy : Out(1)
        From the cycle after `start`, or after a row transfer was taken, until all is written.
    updating : Out(1)
        It is busy with a batch.
    slot, block : Out
        Of the layer in work: its slot, and its blocks below `block` are complete; or, with `config.descending`, those
        above. Slot 0: between batches.
    i_row, i_counter, o_counter
        See `ports.CoreSignature`. A row is taken while not busy and not `hold`.
    hold : In(1)
        Take no row.
    query, query_address, query_member : Out
        What to ask of the columns.
    reply : In
        The answer, `config.reply_latency` cycles later.
    read_word, read_half, read_sample : Out
        Address of the replay memory.
    fetch, fetch_sample, fetch_pair : Out
        Fetch a pair of input words: in the next cycle, of which sample and after which. See `InputMemory`; only where
        inputs lie apart.
    activations : In
        The word read, U bits, `config.shared_latency` cycles later, group after group as `ReplayMemory.o` has them.
    write, tile, row, half, signs, copy : Out
        To the weight memory.
    updated, lost : Out
        For the statistics: a row update began; how many of its counters lost a step.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        # With all ones, no block is above.
        self._no_block = no_block = (1 << config.block_width) - 1 if config.descending else 0
        super().__init__({
            "program": Out(ProgramPort(config)),
            "start": In(1),
            "phase": In(8),
            "parity": In(1),
            "voting": In(1),
            "voted": In(config.block_width),
            "pause": In(1),
            "some": In(1),
            "triggered": In(MAX_BATCH),
            "rotate": Out(1),
            "replay_stride": In(8),
            "busy": Out(1),
            "updating": Out(1),
            "slot": Out(4),
            "block": Out(config.block_width, init=no_block),
            "i_row": In(stream.Signature(TransferLayout)),
            "i_counter": In(stream.Signature(signed(config.counter_bits))),
            "o_counter": Out(stream.Signature(signed(config.counter_bits))),
            "hold": In(1),
            "query": Out(1),
            "query_address": Out(range(config.winner_words)),
            "query_member": Out(MEMBER_BITS),
            "reply": In(reply_layout(config)),
            "read_word": Out(8),
            "read_half": Out(1),
            "read_sample": Out(5),
            "activations": In(config.update_lanes),
            "write": Out(1),
            "tile": Out(range(config.tiles)),
            "row": Out(range(TILE)),
            "half": Out(1),
            "signs": Out(config.update_lanes),
            "copy": Out(range(config.tiles)),
            "updated": Out(1),
            "lost": Out(range(config.update_lanes + 1)),
        } | ({"fetch": Out(1), "fetch_sample": Out(range(MAX_BATCH)), "fetch_pair": Out(range(INPUT_WORDS // 2))}
             if config.inputs_apart else {}))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lanes = config.update_lanes
        counter_shape, tile_shape = range(config.counter_words), range(config.tiles)
        m.submodules.scan = scan = (GroupScan if config.chained else RowScan)(config)
        m.submodules.record = record = RecordReader(config, LAYER, {
            "counter": counter_shape, "tile": tile_shape, "tile_block_step": tile_shape,
            "copy": tile_shape, "verdict": range(config.verdict_offsets), "rows": config.sum_width,
            "words": range(config.row_words), "tail": range(config.update_lanes + 1)})
        layer = record.o
        m.d.comb += record.steps.replay_stride.eq(self.replay_stride)
        wiring.connect(m, wiring.flipped(self.program), record.program)
        m.submodules.counters = memory = CounterMemory(config)
        m.d.comb += [
            getattr(scan, name).eq(layer[name])
            for name in ("rows", "group", "verdict", "counter", "words", "tile", "tile_block_step")]
        m.d.comb += [
            scan.pause.eq(self.pause), scan.voting.eq(self.voting), scan.voted.eq(self.voted),
            scan.reply.eq(self.reply), self.query.eq(scan.query), self.query_address.eq(scan.address),
        ]

        # The row in work. Addresses are those of the word in work.
        active = Signal()
        fresh = Signal()
        m.submodules.samples = samples = Samples(config)
        place = Signal(data.StructLayout(
            {"counter": counter_shape, "tile": tile_shape, "half": 1, "row": config.sum_width}))
        by_word = Signal()
        # Inputs are fetched ahead: a row begins as many words before its first, which have no steps.
        lead = FETCH_LEAD if config.inputs_apart else 0
        word = Signal(range(-lead, max(2, config.row_words)))

        # Stage 0 is a sample of a word; memories are read in stage `issue`, counters step in stage `step`, and are
        # written in the next. Each group of lanes is a stage behind the one before; the signs wait for the last.
        groups = config.update_groups
        issue = 1 if config.pipelined else 0
        step = issue + config.step_latency
        final = step + groups
        stage = [Signal(StepLayout, name=f"stage_{number}") for number in range(final + 1)]
        stage_place = [Signal(place.shape(), name=f"place_{number}", reset_less=True) for number in range(final + 1)]
        chosen = Signal(data.StructLayout({"valid": 1, "first": 1, "last": 1, "last_word": 1, "first_word": 1}))
        chosen_word, chosen_half, chosen_region = Signal(8), Signal(), Signal(8)
        word_done, row_done, last_word = Signal(), Signal(), Signal()
        stall, ahead = Signal(), Signal()
        # The host's words pass through the stages too, which then change nothing.
        hosted, host_read, host_write = Signal(), Signal(), Signal()
        m.d.comb += [
            word_done.eq(active & samples.last), samples.next.eq(active & ~stall),
            row_done.eq(word_done & last_word),
        ]
        entry_bits = 1 if lanes < TILE else 0
        region = layer.replay_region + (word >> entry_bits)

        with m.If(~stall):
            m.d.sync += [
                chosen.valid.eq((active & (word >= 0) if lead else active) | host_read | host_write),
                chosen.first.eq(Mux(active, fresh, host_read)),
                chosen.last.eq(Mux(active, samples.last, host_write)),
                chosen.last_word.eq(last_word), chosen.first_word.eq(word == 0),
                chosen_region.eq(region), chosen_half.eq(word[0]), chosen_word.eq(word),
            ]
            with m.If(active):
                m.d.sync += fresh.eq(0)
                with m.If(word_done):
                    m.d.comb += by_word.eq(word >= 0 if lead else 1)
                    m.d.sync += [fresh.eq(1), word.eq(word + 1), last_word.eq(word + 1 == layer.words)]
                with m.If(row_done):
                    m.d.sync += active.eq(0)

        # The place is told a cycle later than the rest of the word in work, and so is stage 0's.
        m.d.comb += stage_place[0].eq(place)
        if config.pipelined:
            moves = registered(m, by_word)
        else:
            moved, moves = Signal(), Signal()
            with m.If(~stall):
                m.d.sync += moved.eq(by_word)
            m.d.comb += moves.eq(moved & ~stall)
        with m.If(moves):
            m.d.sync += [
                place.counter.eq(place.counter + 1),
                place.tile.eq(place.tile + (place.half if lanes < TILE else config.update_words)),
            ]
            if lanes < TILE:
                m.d.sync += place.half.eq(~place.half)

        if config.chained:
            m.d.comb += [
                scan.triggered.eq(self.triggered[-1]), self.rotate.eq(scan.rotate),
                *(getattr(samples, name).eq(getattr(scan, name))
                  for name in ("link", "link_place", "link_to", "link_up"))]
        else:
            m.d.comb += [scan.triggered.eq(self.triggered), self.query_member.eq(scan.member)]

        row, row_valid, taken, over = scan.o.payload, scan.o.valid, scan.o.ready, 0
        if config.pipelined:
            # The next row waits beside the samples: at the end of one, only what is here decides.
            waiting, row_valid, taken = Signal.like(row), Signal(), Signal()
            m.d.comb += scan.o.ready.eq(~row_valid)
            with m.If(scan.o.ready):
                m.d.sync += [waiting.eq(row), row_valid.eq(scan.o.valid)]
            with m.Elif(taken):
                m.d.sync += row_valid.eq(0)
            row, over = waiting, row_done
        # Without registers stage 0 must be empty: its place would be the next row's.
        ready = ~active | over if config.pipelined else ~(active | chosen.valid)
        m.d.comb += [taken.eq(row_valid & ready), samples.take.eq(taken), samples.i.eq(row.samples)]
        m.d.comb += samples.phase.eq(self.phase - (place if config.chained else row.place).row[:8])

        def begin(row):
            return [place.counter.eq(row.counter), place.tile.eq(row.tile), place.half.eq(0), place.row.eq(row.row)]

        with m.If(taken):
            m.d.sync += [
                active.eq(1), fresh.eq(1), last_word.eq(0 if lead else layer.words == 0), word.eq(-lead)]
        with m.If(registered(m, taken) if config.pipelined else taken):
            m.d.sync += begin(row.place)

        m.d.comb += [
            *(stage[0][name].eq(chosen[name]) for name in ("last", "last_word", "first_word")),
            stage[0].first.eq(chosen.first & ~registered(m, ahead)),
            stage[0].valid.eq(chosen.valid & ~stall), stage[0].up.eq(samples.up), stage[0].turn.eq(samples.turn),
            stage[0].word.eq(chosen_word)]
        in_flight = active | chosen.valid
        for number in range(final):
            m.d.sync += stage[number + 1].eq(stage[number])
            # What is written may stay for a second cycle.
            with m.If(stage[number].valid):
                m.d.sync += stage_place[number + 1].eq(stage_place[number])
            in_flight = in_flight | stage[number + 1].valid
        # There are many stages: the later ones tell a cycle late, by which time they are still at work or done.
        at_rest = Signal()
        m.d.comb += at_rest.eq(~(active | chosen.valid | registered(m, in_flight)))

        activations = self.activations
        if config.double_rate:
            # Read a stage ahead, and kept in a register: what steps with them takes the whole cycle.
            replay_address = Cat(region[:8], word[0], samples.coming)
            activations = Signal(lanes, reset_less=True)
            with m.If(registered(m, ~stall)):
                m.d.sync += activations.eq(self.activations)
        else:
            replay_address = Cat(chosen_region, chosen_half, samples.sample)
        if issue:
            replay_address = registered(m, replay_address)
        m.d.comb += [
            Cat(self.read_word, self.read_half, self.read_sample).eq(replay_address),
            memory.read.eq((stage[issue].valid & stage[issue].first) | ahead),
            memory.read_address.eq(stage_place[issue].counter),
            memory.write.eq(stage[step + 1].valid & stage[step + 1].last),
            memory.write_address.eq(stage_place[step + 1].counter),
        ]

        shift = Signal()
        m.submodules.steps = steps = CounterLanes(config)
        m.d.comb += [
            *(steps.stages[number].eq(stage[step - 1 + number]) for number in range(groups + 1)),
            *(getattr(steps, name).eq(layer[name]) for name in ("tail", "reinforce", "reinforce_mask")),
            steps.found.eq(memory.o), steps.activations.eq(activations), steps.hosted.eq(hosted),
            steps.load.eq(ahead), steps.shift.eq(shift), steps.enters.eq(self.i_counter.payload),
            self.o_counter.payload.eq(steps.o[0]),
            memory.i.eq(steps.o), self.signs.eq(steps.signs), self.lost.eq(steps.lost),
        ]
        m.d.sync += self.updated.eq(stage[step].valid & stage[step].first_word & ~hosted)
        m.d.comb += [
            self.write.eq(stage[final].valid & stage[final].last), self.copy.eq(layer.copy),
            *(getattr(self, name).eq(stage_place[final][name]) for name in ("tile", "half")),
            self.row.eq(stage_place[final].row),
        ]
        # Rows are written in order: with this one, the blocks on the way to its own are complete.
        with m.If(self.write):
            m.d.sync += self.block.eq(stage_place[final].row[ceil_log2(config.rows):])
        copying = C(0)
        if config.copied:
            # The place of what is written stays for a second cycle; the next word may be read in the one without step.
            copying = registered(m, stage[step - 1].valid & stage[step - 1].last & registered(m, layer.copy != 0))
            m.d.comb += ahead.eq(copying & chosen.valid & chosen.first)
        writes = memory.write
        if config.inputs_apart:
            # Whether to wait decides about much, and so comes of registers.
            first_layer, writes = (registered(m, flag) for flag in (
                self.slot == 1, stage[step].valid & stage[step].last))
        held_up = copying | (writes & chosen.valid & stage[0].first if memory.single_port else 0)
        m.d.comb += stall.eq(held_up)
        if config.inputs_apart:
            pair_bits = ceil_log2(FETCH_LEAD)
            m.d.comb += [
                self.fetch.eq(first_layer & active & (word[:pair_bits] == 0) & ~stall),
                self.fetch_sample.eq(samples.sample),
                self.fetch_pair.eq(chosen_word[pair_bits:])]

        # The layers of a batch, first to last; or one row for the host.
        request = Signal(data.StructLayout({
            "words": range(config.row_words + 1), "write": 1}))
        left = Signal(range(lanes + 1))
        there = Signal(data.StructLayout({"row": 1, "word": 1}))
        m.d.sync += [
            there.row.eq(scan.found.row == self.i_row.payload.row), there.word.eq(word == self.i_row.payload.first)]
        m.d.comb += [record.parity.eq(self.parity), record.base.eq(Cat(
            C(0, ceil_log2(SLOT)), self.slot))]

        layer_done, request_done = ~scan.busy & ~row_valid & at_rest, request.words == 1
        if not config.pipelined:
            # All that follows from these is too much for the same cycle on iCE40.
            layer_done, request_done = registered(m, layer_done & ~scan.start), registered(m, request_done)

        def rest():
            m.d.sync += [
                self.busy.eq(0), self.updating.eq(0), hosted.eq(0), self.slot.eq(0),
                self.block.eq(self._no_block)]
            m.next = "idle"

        with m.FSM():
            with m.State("idle"):
                with m.If(self.start):
                    m.d.sync += [self.busy.eq(1), self.updating.eq(1), self.slot.eq(1)]
                    m.next = "layer"
                with m.Elif(~self.hold):
                    with m.If(self.i_row.valid):
                        m.d.sync += [self.busy.eq(1), hosted.eq(1), self.slot.eq(self.i_row.payload.layer)]
                        m.next = "row"
            with m.State("layer"):
                with m.If(~self.some):
                    rest()
                with m.Else():
                    m.d.comb += record.start.eq(1)
                    m.next = "record"
            with m.State("record"):
                with m.If(~record.busy):
                    m.d.comb += scan.start.eq(1)
                    m.next = "rows"
            with m.State("rows"):
                # The last votes are in by now: the array reads no more weights of the layers above.
                with m.If(layer_done):
                    m.d.sync += [self.slot.eq(self.slot + 1), self.block.eq(self._no_block)]
                    m.next = "layer"
                    with m.If(layer.last):
                        rest()
            with m.State("row"):
                m.d.comb += record.start.eq(1)
                m.next = "row_record"
            with m.State("row_record"):
                with m.If(~record.busy):
                    m.d.comb += scan.seek.eq(1)
                    m.next = "seek"
            # Row by row, then word by word: no multiplier; and each in two cycles, since the comparisons are long.
            with m.State("seek"):
                m.next = "row_seen"
            with m.State("row_seen"):
                m.d.comb += scan.skip.eq(1)
                m.next = "seek"
                with m.If(there.row):
                    m.d.sync += [word.eq(-lead), *begin(scan.found)]
                    m.next = "seek_word"
            with m.State("seek_word"):
                m.next = "word_seen"
            with m.State("word_seen"):
                with m.If(~there.word):
                    m.d.comb += by_word.eq(word >= 0 if lead else 1)
                    m.d.sync += word.eq(word + 1)
                    m.next = "seek_word"
                with m.Else():
                    m.d.comb += self.i_row.ready.eq(1)
                    m.d.sync += [
                        left.eq(lanes),
                        *(request[name].eq(self.i_row.payload[name]) for name in request.shape().members)]
                    m.next = "read"
                    with m.If(self.i_row.payload.write):
                        m.next = "fill"
            with m.State("fill"):
                m.d.comb += [self.i_counter.ready.eq(1), shift.eq(self.i_counter.valid)]
                with m.If(self.i_counter.valid):
                    m.d.sync += left.eq(left - 1)
                    m.next = "shifted"
                    with m.If(left == 1):
                        m.next = "store"
            with m.State("store"):
                m.d.comb += host_write.eq(1)
                m.next = "wait"
            with m.State("read"):
                m.d.comb += host_read.eq(1)
                m.next = "wait"
            with m.State("wait"):
                with m.If(at_rest):
                    m.next = "empty"
                    with m.If(request.write):
                        m.next = "advance"
            with m.State("empty"):
                m.d.comb += [self.o_counter.valid.eq(1), shift.eq(self.o_counter.ready)]
                with m.If(self.o_counter.ready):
                    m.d.sync += left.eq(left - 1)
                    m.next = "shifted"
                    with m.If(left == 1):
                        m.next = "advance"
            with m.State("shifted"):
                m.next = "shifted_again"
            with m.State("shifted_again"):
                m.next = "empty"
                with m.If(request.write):
                    m.next = "fill"
            with m.State("advance"):
                m.d.comb += by_word.eq(1)
                m.d.sync += [request.words.eq(request.words - 1), left.eq(lanes)]
                with m.If(request_done):
                    rest()
                with m.Elif(request.write):
                    m.next = "fill"
                with m.Else():
                    m.next = "read"
        return m
