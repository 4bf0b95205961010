"""Updates the counters of the rows that won, beside the array, and serves rows to the host.

A row's words are read once; the samples that update the row take their steps one a cycle; the word is written back,
with its signs to the weight memory:

    RowScan ─► row, mask ─► for each word: for each sample in mask:
                              replay memory ─┐
               counter memory ─► k ─► CounterStep ─► k ─► counter memory, weight memory
"""

from amaranth import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..model.config import MAX_BATCH
from .column import reply_layout
from .config import TILE, ArrayConfig
from .counters import CounterMemory, CounterStep, zone_of
from .program import LAYER, SLOT
from .records import ProgramPort, RecordReader
from .samples import Samples
from .scan import RowScan
from .winners import MEMBER_BITS

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
    triggered : In(32)
        Its samples that update; to be still while `busy`, but for `rotate`: see `Results`.
    replay_stride : In
        Of the loader's record.
    busy : Out(1)
        From the cycle after `start`, or after a row transfer was taken, until all is written.
    updating : Out(1)
        It is busy with a batch.
    block : Out
        In the layer next to the input, the blocks of 16 rows below this one are complete.
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
    activations : In
        The word read, U bits, a cycle later.
    write, tile, row, half, signs, copy : Out
        To the weight memory.
    updated, lost : Out
        For the statistics: a row update began; how many of its counters lost a step.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__({
            "program": Out(ProgramPort(config)),
            "start": In(1),
            "phase": In(8),
            "parity": In(1),
            "voting": In(1),
            "voted": In(config.block_width),
            "pause": In(1),
            "triggered": In(MAX_BATCH),
            "rotate": Out(1),
            "replay_stride": In(8),
            "busy": Out(1),
            "updating": Out(1),
            "block": Out(config.block_width),
            "i_row": In(stream.Signature(data.StructLayout(
                {"layer": 4, "row": 12, "first": 12, "words": 12, "write": 1}))),
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
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lanes, bits = config.update_lanes, config.counter_bits
        counter_shape, tile_shape = range(config.counter_words), range(config.tiles)
        m.submodules.scan = scan = RowScan(config)
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
            scan.triggered.eq(self.triggered), self.rotate.eq(scan.rotate), scan.reply.eq(self.reply),
            self.query.eq(scan.query), self.query_address.eq(scan.address), self.query_member.eq(scan.member),
        ]

        # The row in work. Addresses are those of the word in work.
        active = Signal()
        fresh = Signal()
        m.submodules.samples = samples = Samples(config)
        place = Signal(data.StructLayout({"counter": counter_shape, "tile": tile_shape, "half": 1, "row": 4}))
        by_word = Signal()
        word = Signal(range(max(2, config.row_words)))

        # Stage I picks the next sample; stage A reads; stage E steps, `read_latency` later; then the word is written.
        step_layout = data.StructLayout({
            "valid": 1, "first": 1, "last": 1, "last_word": 1, "first_word": 1})
        chosen = Signal(step_layout)
        chosen_place = Signal.like(place)
        chosen_word = Signal(8)
        chosen_half = Signal()
        word_done, row_done, last_word = Signal(), Signal(), Signal()
        stall = Signal()
        host_read, reading = Signal(), Signal()  # The host's words pass through the steps, which then do nothing.
        m.d.comb += [
            word_done.eq(active & samples.last), samples.next.eq(active & ~stall),
            row_done.eq(word_done & last_word),
        ]
        entry_bits = 1 if lanes < TILE else 0
        writes = Signal()
        in_flight = Signal()

        with m.If(~stall):
            m.d.sync += [
                chosen.valid.eq(active | host_read), chosen.first.eq(fresh | host_read),
                chosen.last.eq(samples.last & ~host_read),
                chosen.last_word.eq(last_word), chosen.first_word.eq(word == 0), chosen_place.eq(place),
                chosen_word.eq(layer.replay_region + (word >> entry_bits)), chosen_half.eq(word[0]),
            ]
            with m.If(active):
                m.d.sync += fresh.eq(0)
                with m.If(word_done):
                    m.d.comb += by_word.eq(1)
                    m.d.sync += [fresh.eq(1), word.eq(word + 1), last_word.eq(word + 1 == layer.words)]
                with m.If(row_done):
                    m.d.sync += active.eq(0)

        with m.If(by_word):
            m.d.sync += [
                place.counter.eq(place.counter + 1),
                place.tile.eq(place.tile + (place.half if lanes < TILE else config.update_words)),
            ]
            if lanes < TILE:
                m.d.sync += place.half.eq(~place.half)

        if config.listed:
            m.d.comb += [
                samples.write.eq(scan.write), samples.write_sample.eq(scan.write_sample),
                samples.write_up.eq(scan.write_up), samples.write_turn.eq(scan.write_turn),
                samples.write_place.eq(scan.write_place), scan.phase.eq(self.phase)]

        # A row of another block waits for the last to be written, so that `block` can be believed.
        row = scan.o.payload
        same_block, ready = Signal(), Signal()
        m.d.comb += [
            ready.eq(scan.o.valid & (same_block | (~active & ~in_flight))),
        ]
        same = (row.row[4:] == self.block) | ~layer.first
        if config.scan_ahead == 1:
            # The row is there long before it is valid.
            m.d.sync += same_block.eq(same)
        else:
            m.d.comb += same_block.eq(same)
        if config.pipelined:
            # Long words spread over the device, and taking a row has a long way: it must have been ready a cycle ago,
            # and the row before is over.
            was_ready = Signal()
            m.d.sync += was_ready.eq(ready & ~samples.take)
            m.d.comb += samples.take.eq(was_ready & ~active)
        else:
            m.d.comb += samples.take.eq(ready & ~active)
        m.d.comb += [samples.i.eq(row.samples), scan.o.ready.eq(samples.take)]
        if not config.listed:
            m.d.comb += samples.phase.eq(self.phase - row.row[:8])

        def begin(row):
            return [word.eq(0), place.counter.eq(row.counter), place.tile.eq(row.tile), place.half.eq(0),
                    place.row.eq(row.row)]

        with m.If(samples.take):
            m.d.sync += [active.eq(1), fresh.eq(1), *begin(row)]
            m.d.sync += last_word.eq(layer.words == 0)
            with m.If(layer.first):
                m.d.sync += self.block.eq(row.row[4:])

        # Stage A.
        m.d.comb += [
            self.read_word.eq(chosen_word), self.read_half.eq(chosen_half), self.read_sample.eq(samples.sample),
        ]
        executed = Signal(data.StructLayout({
            "valid": 1, "first": 1, "last": 1, "up": 1, "last_word": 1, "first_word": 1, "turn": 8, "word": 8}))
        executed_place = Signal.like(place)
        lane_bits = ceil_log2(lanes)
        chosen_lane_word = Signal(8)
        with m.If(~stall):
            m.d.sync += chosen_lane_word.eq(word)
        stages = executed.shape()
        staged = Signal(stages, name="stage_0")
        m.d.comb += [
            staged[name].eq(chosen[name]) for name in ("first", "last", "last_word", "first_word")]
        m.d.comb += [
            staged.up.eq(samples.up), staged.valid.eq(chosen.valid & ~stall), staged.turn.eq(samples.turn),
            staged.word.eq(chosen_lane_word)]
        staged_place = chosen_place
        busy_stages = active | chosen.valid
        passing = [staged]
        for number in range(config.read_latency):
            following, following_place = Signal(stages, name=f"stage_{number + 1}"), Signal.like(place)
            m.d.sync += [following.eq(staged), following_place.eq(staged_place)]
            staged, staged_place = following, following_place
            passing.append(staged)
            busy_stages = busy_stages | staged.valid
        m.d.comb += [executed.eq(staged), executed_place.eq(staged_place)]
        activations = self.activations
        if config.pipelined:
            activations = Signal.like(self.activations)
            m.d.sync += activations.eq(self.activations)

        # Stage E. The same register takes rows to and from the host.
        counters = Signal(data.ArrayLayout(signed(bits), lanes))
        stepped = Signal(data.ArrayLayout(signed(bits), lanes))
        present = Signal(data.ArrayLayout(signed(bits), lanes))
        lost = Signal(lanes)
        m.d.comb += present.eq(Mux(executed.first, memory.o, counters.as_value()))
        # Which counters are reinforced is known a cycle before.
        high_match, pick = Signal(), Signal(lanes)
        reach, source = layer.reinforce_mask, passing[-2]
        m.d.comb += high_match.eq(
            layer.reinforce & (((source.word ^ source.turn[lane_bits:]) & reach[lane_bits:]) == 0))
        for lane in range(lanes):
            m.submodules[f"step_{lane}"] = step = CounterStep(config)
            here = (source.turn[:lane_bits] ^ lane) & reach[:lane_bits]
            m.d.sync += pick[lane].eq(high_match & (here == 0))
            m.d.comb += [
                step.k.eq(present[lane]),
                # In front of the choice between the two, which has a long way.
                step.zone.eq(Mux(executed.first, zone_of(memory.o.word_select(lane, bits)), zone_of(counters[lane]))),
                step.up.eq(~(executed.up ^ activations[lane])),
                step.pick.eq(pick[lane]),
                step.hold.eq(reading),
                step.valid.eq(executed.valid),
                step.other.eq(counters[lane + 1] if lane < lanes - 1 else self.i_counter.payload),
                stepped[lane].eq(step.o),
                lost[lane].eq(step.lost & (~executed.last_word | (lane < layer.tail))),
            ]
        lost_lanes = Signal(lanes)
        m.d.sync += [
            lost_lanes.eq(Mux(executed.valid, lost, 0)),
            self.updated.eq(executed.valid & executed.first_word & ~reading),
            self.lost.eq(sum(lost_lanes)),
        ]
        write_place = Signal.like(place)
        host_write, shift = Signal(), Signal()
        m.d.sync += writes.eq((executed.valid & executed.last) | host_write)
        with m.If(executed.valid | host_write):
            m.d.sync += write_place.eq(Mux(host_write, chosen_place, executed_place))
        with m.If(executed.valid | shift):
            m.d.sync += counters.eq(stepped)
        m.d.comb += [
            memory.i.eq(counters), memory.write.eq(writes), memory.write_address.eq(write_place.counter),
            self.write.eq(writes), self.tile.eq(write_place.tile), self.row.eq(write_place.row),
            self.half.eq(write_place.half), self.signs.eq(Cat(~counters[lane][bits - 1] for lane in range(lanes))),
            in_flight.eq(busy_stages | writes),
        ]
        m.d.comb += [
            memory.read.eq(chosen.valid & chosen.first & ~stall),
            memory.read_address.eq(chosen_place.counter),
        ]
        stalls = []
        if memory.single_port:
            stalls.append(writes & chosen.valid & chosen.first)
        if config.weight_memory == "copied":
            # What is written stays for a second cycle.
            copied, second = Signal(), Signal()
            m.d.sync += [copied.eq(layer.copy != 0), second.eq(passing[-2].valid & passing[-2].last & copied)]
            stalls.append(second)
        m.d.comb += [stall.eq(Cat(stalls).any()), self.copy.eq(layer.copy)]

        # The layers of a batch, first to last; or one row for the host.
        slot = Signal(4)
        request = Signal(data.StructLayout({
            "words": range(config.row_words + 1), "write": 1}))
        left = Signal(range(lanes + 1))
        there = Signal(data.StructLayout({"row": 1, "word": 1}))
        m.d.sync += [
            there.row.eq(scan.found.row == self.i_row.payload.row), there.word.eq(word == self.i_row.payload.first)]
        m.d.comb += [record.parity.eq(self.parity), record.base.eq(Cat(
            C(0, ceil_log2(SLOT)), slot))]
        with m.FSM():
            with m.State("idle"):
                with m.If(self.start):
                    m.d.sync += [self.busy.eq(1), self.updating.eq(1), slot.eq(1)]
                    m.next = "layer"
                with m.Elif(~self.hold):
                    with m.If(self.i_row.valid):
                        m.d.sync += [self.busy.eq(1), slot.eq(self.i_row.payload.layer)]
                        m.next = "row"
            with m.State("layer"):
                with m.If(self.triggered == 0):
                    m.d.sync += [self.busy.eq(0), self.updating.eq(0), self.block.eq(0)]
                    m.next = "idle"
                with m.Else():
                    m.d.comb += record.start.eq(1)
                    m.next = "record"
            with m.State("record"):
                with m.If(~record.busy):
                    m.d.comb += scan.start.eq(1)
                    m.next = "rows"
            with m.State("rows"):
                # The last votes are in by now: the array reads no more weights of the layers above.
                with m.If(~scan.busy & ~in_flight & ~active):
                    m.d.sync += [slot.eq(slot + 1), self.block.eq(~0)]
                    m.next = "layer"
                    with m.If(layer.last):
                        m.d.sync += [self.busy.eq(0), self.updating.eq(0), self.block.eq(0)]
                        m.next = "idle"
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
                    m.d.sync += begin(scan.found)
                    m.next = "seek_word"
            with m.State("seek_word"):
                m.next = "word_seen"
            with m.State("word_seen"):
                with m.If(~there.word):
                    m.d.comb += by_word.eq(1)
                    m.d.sync += word.eq(word + 1)
                    m.next = "seek_word"
                with m.Else():
                    m.d.comb += self.i_row.ready.eq(1)
                    m.d.sync += [
                        reading.eq(~self.i_row.payload.write), left.eq(lanes),
                        *(request[name].eq(self.i_row.payload[name]) for name in request.shape().members)]
                    m.next = "read"
                    with m.If(self.i_row.payload.write):
                        m.next = "fill"
            with m.State("fill"):
                m.d.comb += [self.i_counter.ready.eq(1), shift.eq(self.i_counter.valid)]
                with m.If(self.i_counter.valid):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.next = "store"
            with m.State("store"):
                m.d.comb += host_write.eq(1)
                m.next = "advance"
            with m.State("read"):
                m.d.comb += host_read.eq(1)
                m.next = "wait"
            with m.State("wait"):
                with m.If(executed.valid):
                    m.next = "empty"
            with m.State("empty"):
                m.d.comb += [self.o_counter.valid.eq(1), shift.eq(self.o_counter.ready)]
                with m.If(self.o_counter.ready):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.next = "advance"
            with m.State("advance"):
                m.d.comb += by_word.eq(1)
                m.d.sync += [request.words.eq(request.words - 1), left.eq(lanes)]
                with m.If(request.words == 1):
                    m.d.sync += [self.busy.eq(0), reading.eq(0)]
                    m.next = "idle"
                with m.Elif(request.write):
                    m.next = "fill"
                with m.Else():
                    m.next = "read"
        m.d.comb += self.o_counter.payload.eq(counters[0])
        return m
