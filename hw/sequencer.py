"""The order of work in the array: a batch is a list of phases; a phase is jobs, in loops over parts of the blocks, the
passes, and the blocks of the part.

A job is one block, as high as the elements, for the samples of one pass:

    issue   word word word … aux | next job …
    drain                row row row … row
    write                                 value gate

Between the words of two jobs there is at least one cycle, in which the sums are cleared: the one in which the auxiliary
operands are read, if there are any. Of blocks of 8 rows two leave in a cycle: a pair, of which only one counts at a
time where it could be of two groups, or where logits are compared.

A phase begins when the one before has left the array, or, with `config.pipelined`, while its last sums come out: the
next record is read meanwhile, and what the drain needs of the last is kept. The phases themselves, and all sizes, come
from the program memory: another network, or another rule, is another program.
"""

from contextlib import nullcontext

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..model.config import MAX_BATCH
from .column import control_layout
from .config import TILE, ArrayConfig
from .memory import registered
from .ports import RunLayout
from .program import PHASE
from .records import ProgramPort, RecordReader
from .timing import Timing

__all__ = ["CopyLayout", "Sequencer"]


def CopyLayout(config: ArrayConfig) -> data.StructLayout:
    """Where a block's signs go in the replay memory: word `word`, its part `part`, block `block` of that, from sample
    `sample` on."""
    return data.StructLayout({
        "word": 8, "part": range(max(2, config.update_words)), "block": range(config.tile_blocks), "sample": 6})


class Sequencer(wiring.Component):
    """Runs batches.

    Members
    -------
    program : Out(ProgramPort)
    i_run : In(stream)
        `learn`: with backward phases. Taken when no batch is in the array and `hold` is 0.
    hold : In(1)
        Something of the last batch still keeps the next from starting.
    first_phase, final_pass, parity : In
        Where the program begins; the last pass and the parity of the batch, as the run is taken.
    stride, replay_stride : In
        Of the loader's record.
    update_busy, update_slot, update_block : In
        Rows of the last batch are still being updated: in the layer in slot `update_slot`, those of blocks from
        `update_block` on, or, with `config.descending`, down; and all of the layers above. Slot 0: of all layers.
    results_busy : In(1)
        The last batch's results have not all been read from the verdict memory.
    fetch : In(1)
        In the cycle after the next the updates read inputs. Only where inputs lie apart.
    tile, transpose, tile_block : Out
        With `control.issue`; with `config.pipelined` a cycle before.
    control : Out
        Issue, drain, value and gate writes, label queries and phase; zero where idle.
    copy, o_copy : Out
        The signs being written by `control.write.value` go to the replay memory too, to `o_copy`.
    verdict_write : Out(1)
        The columns write verdicts with this cycle's control.
    running : Out(1)
        A batch is in the array.
    learning : Out(1)
        It learns.
    classified : Out(1)
        One cycle: the batch's results are complete.
    voting, voted : Out
        Between these two, of a batch that learns: the winners of the layer next to the input are complete in the blocks
        below `voted`.
    result_offset : Out
        With `classified`: where the results lie in the verdict memory.
    forward, backward : Out(1)
        The array is at work in a phase of sums or logits, of votes (for the statistics).
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__({
            "program": Out(ProgramPort(config)),
            "i_run": In(stream.Signature(RunLayout)),
            "hold": In(1),
            "first_phase": In(range(config.program_words)),
            "final_pass": In(config.pass_width),
            "parity": In(1),
            "stride": In(range(config.operand_offsets)),
            "replay_stride": In(8),
            "update_busy": In(1),
            "update_slot": In(4),
            "update_block": In(config.block_width),
            "results_busy": In(1),
            "tile": Out(range(config.tiles)),
            "transpose": Out(1),
            "tile_block": Out(range(max(2, config.tile_blocks))),
            "control": Out(control_layout(config)),
            "copy": Out(1),
            "o_copy": Out(CopyLayout(config)),
            "verdict_write": Out(1),
            "running": Out(1),
            "learning": Out(1),
            "classified": Out(1),
            "result_offset": Out(range(config.verdict_offsets)),
            "voting": Out(1),
            "voted": Out(config.block_width),
            "forward": Out(1),
            "backward": Out(1),
        } | ({"fetch": In(1)} if config.inputs_apart else {}))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        operand_shape, verdict_shape = range(config.operand_offsets), range(config.verdict_offsets)
        rank_shape, pass_shape = range(config.rank_blocks), config.pass_width
        words_shape, blocks_shape = (range(max(2, -(-config.fan_in // height))) for height in (TILE, config.rows))
        m.submodules.record = record = RecordReader(config, PHASE, {
            "tile": range(config.tiles), "tile_word_step": range(config.tiles),
            "tile_block_step": range(config.tiles), "gate": config.sum_width, "operand": operand_shape,
            "keep_value_offset": operand_shape, "pair_offset": operand_shape, "write_offset": operand_shape,
            "rank": rank_shape, "verdict": verdict_shape, "label": verdict_shape,
            "words": range(2 * words_shape.stop) if config.double_rate else words_shape,
            "blocks": blocks_shape, "part": blocks_shape, "pace": range(max(config.rows + 1, 2 * config.columns) - 1),
            "last_rows": range(config.rows),
            "replay_region": range(max(2, config.replay_words // MAX_BATCH)), "next": range(config.program_words)})
        m.d.comb += [record.steps.stride.eq(self.stride), record.steps.replay_stride.eq(self.replay_stride)]
        phase = draining = record.o
        early = config.pipelined
        if early:
            names = ("backward", "classify", "select", "rank_write", "rank_shift", "gate", "last_rows",
                     "write_value", "write_paired", "write_gate", "pair_offset", "write_offset", "rank", "group",
                     "verdict", "replay", "replay_region", "end")
            draining = Signal(data.StructLayout({name: record.fields[name].shape for name in names}))
        wiring.connect(m, wiring.flipped(self.program), record.program)
        final_pass, parity = Signal(pass_shape), Signal()
        m.d.comb += record.parity.eq(parity)

        issue, query = self.control.issue, self.control.query
        m.d.comb += [
            self.control.phase[name].eq(draining[name])
            for name in ("backward", "classify", "select", "rank_write", "rank_shift", "gate")]
        m.d.comb += [self.control.phase.tail.eq(phase.tail), self.transpose.eq(phase.backward)]

        # Where the loops are.
        block, pass_ = Signal(blocks_shape), Signal(pass_shape)
        part = Signal(verdict_shape)  # its number: where winners are selected, that of its group
        word = Signal(words_shape)
        pause = Signal(signed(len(phase.pace) + 1), init=-1)  # over when negative
        paced = pause < 0
        block_tile, part_tile = Signal(range(config.tiles)), Signal(range(config.tiles))
        tile = Signal(range(config.tiles))
        # A tile may have two blocks.
        in_tile = ceil_log2(config.tile_blocks)
        # Known from the cycle after the one in which the loops move on, when nobody asks.
        last_word, last_block, last_pass, first_of_part, last_of_part = (Signal() for _ in range(5))
        # The first layer's sums may go from the last block to the first; but winners are selected in ascending order.
        down, final_block = Signal(), last_block

        def either(downwards, upwards):
            """By the order of the phase's blocks."""
            return Mux(down, downwards, upwards) if config.descending else upwards

        if config.descending:
            final_block = Signal()
            m.d.comb += down.eq((phase.follows == 1) & ~phase.select)
            m.d.sync += final_block.eq(block == either(0, phase.blocks))
        # No block of the phase has to wait for the updater; those that it has left have not.
        free, follows = Signal(), Signal()
        m.d.sync += [
            last_block.eq(block == phase.blocks),
            last_pass.eq(pass_ == final_pass),
            first_of_part.eq(block & phase.part == 0),
            last_of_part.eq((~block & phase.part == 0) | (block == phase.blocks)),
            free.eq(~self.update_busy | (phase.follows == 0) | (phase.follows < self.update_slot)),
            follows.eq(phase.follows == self.update_slot),
        ]
        m.d["comb" if config.pipelined else "sync"] += [self.tile.eq(tile), self.tile_block.eq(block[:in_tile])]
        timing = Timing(array=config)
        sum_cycles, settling = timing.sums, timing.settling
        # Until the first column has written all; then the others follow, and their signs go to the replay memory.
        flush, flushed = Signal(range(timing.flush)), Signal(init=1)
        # The phase is the last; with early records: it was; the record read is not in use yet; one is in use.
        ending, closing, unread, begun = Signal(), Signal(), Signal(), Signal()
        m.d.comb += ending.eq(phase.end | (phase.end_infer & ~self.learning))

        # What the drain needs to know of a job, kept from its last word until its sums come out.
        issued = Signal(data.StructLayout({
            "pass_": pass_shape, "block": blocks_shape, "part": verdict_shape, "first": 1, "last": 1, "final": 1}))
        issued_word = issued.block >> in_tile

        # Auxiliary operands are those of the pass whose words came last.
        issue_pass, issue_offset = issue.address[:len(pass_)], issue.address[len(pass_):]

        if config.copied:
            # Whether the updater has left the block; from the cycle after the one in which the block is new.
            left = Signal()
            m.d.sync += left.eq(
                down & (block > self.update_block) if config.descending else block < self.update_block)

        # Words are counted one by one, or, at the double rate, by what is read in a cycle.
        words, position = phase.words, Mux(phase.paired, word, word >> 1)
        if config.double_rate:
            words, position = phase.words >> 1, word

        finish, waiting = Signal(), Signal()
        last_job, was_last_job = Signal(), Signal()
        m.d.comb += last_job.eq(final_block & last_pass)

        def begin():
            """The next job, as soon as it may."""
            m.d.sync += [word.eq(0), last_word.eq(words == 0), tile.eq(block_tile)]
            m.next = "job"
            with m.If(paced):
                with m.If(free | (follows & (left if config.copied else block < self.update_block))):
                    m.d.sync += pause.eq(phase.pace)
                    m.next = "words"
                with m.Else():
                    m.d.comb += waiting.eq(1)

        def end():
            """The phase, once its last job needs nothing more of the record."""
            if early:
                m.d.comb += record.start.eq(~ending)
                m.d.sync += [closing.eq(ending), unread.eq(~ending)]
            m.next = "flush"

        m.d.comb += query.address.eq(Cat(pass_, phase.label))
        if config.inputs_apart:
            # The updates, which also read inputs, come first.
            inputs, kept_out = Signal(), Signal()
            m.d.sync += [kept_out.eq(inputs & self.fetch), inputs.eq(phase.follows == 1), issue.input.eq(0)]
        classified = Signal()  # and the batch goes on
        m.d.sync += [
            issue.compute.eq(0), issue.last.eq(0), issue.tail.eq(0), issue.aux_value.eq(0), issue.aux_gate.eq(0),
            self.classified.eq(classified), *([issue.double.eq(0)] if config.double_rate else []),
            pause.eq(pause - ~paced), flush.eq(flush - ~flushed), flushed.eq(flush <= 1),
        ]
        with m.FSM():
            with m.State("idle"):
                m.d.comb += self.i_run.ready.eq(~self.hold)
                with m.If(self.i_run.valid & ~self.hold):
                    m.d.sync += [
                        self.learning.eq(self.i_run.payload.learn), self.running.eq(1), final_pass.eq(self.final_pass),
                        parity.eq(self.parity)]
                    m.d.comb += record.start.eq(1)
                    m.d.sync += [unread.eq(1), begun.eq(0)]
                    m.next = "load"
            with m.State("load"):
                m.d.sync += [
                    pass_.eq(0), block.eq(either(phase.blocks, 0)), part.eq(0), block_tile.eq(phase.tile),
                    part_tile.eq(phase.tile)]
                if config.copied:
                    m.d.sync += left.eq(0)
                m.d.comb += waiting.eq(1)
                with m.If(~record.busy & ~(phase.classify & self.results_busy)):
                    m.next = "job"
            with m.State("job"):
                begin()
            with m.State("words"):
                with m.If(~kept_out) if config.inputs_apart else nullcontext():
                    m.d.sync += [
                        issue_pass.eq(pass_), issue_offset.eq(phase.operand + position),
                        issue.odd.eq(0 if config.double_rate else ~phase.paired & word[0]),
                        issue.paired.eq(phase.paired),
                        issue.tail.eq(last_word), issue.compute.eq(1), issue.last.eq(last_word),
                        tile.eq(tile + phase.tile_word_step),
                        word.eq(word + 1), last_word.eq(word + 1 == words),
                    ]
                    if config.double_rate:
                        m.d.sync += issue.double.eq(~phase.paired & (~last_word | phase.words[0]))
                    with m.If(last_word):
                        m.d.comb += [finish.eq(1), query.label.eq(phase.classify)]
                        m.d.sync += [
                            was_last_job.eq(last_job),
                            issued.pass_.eq(pass_), issued.block.eq(block), issued.part.eq(part),
                            issued.first.eq(first_of_part), issued.last.eq(last_block),
                            issued.final.eq(last_pass & last_of_part),
                        ]
                        m.next = "job"
                        with m.If(phase.keep_value):
                            m.next = "value"
                        with m.Elif(last_job):
                            end()
                if config.inputs_apart:
                    m.d.sync += issue.input.eq(inputs & ~kept_out)
                    m.d.comb += waiting.eq(kept_out)
                    with m.If(kept_out):
                        # The pace is that of last words.
                        m.d.sync += pause.eq(pause)
            # By now the loops have moved on: these are the last job's.
            with m.State("value"):
                m.d.sync += [
                    issue_offset.eq(
                        phase.keep_value_offset + Mux(phase.keep_paired, issued_word, issued_word >> 1)),
                    issue.odd.eq(~phase.keep_paired & issued_word[0]), issue.block.eq(issued.block[:in_tile]),
                    issue.aux_value.eq(1)]
                with m.If(phase.keep_gate):
                    m.next = "gate"
                with m.Elif(was_last_job):
                    end()
                with m.Else():
                    begin()
            with m.State("gate"):
                m.d.sync += [issue_offset.eq(phase.pair_offset + issued_word), issue.aux_gate.eq(1)]
                with m.If(was_last_job):
                    end()
                with m.Else():
                    begin()
            with m.State("flush"):
                over = closing if early else ending
                with m.If(over & flushed):
                    m.d.sync += [
                        self.classified.eq(draining.classify), self.running.eq(0), self.voting.eq(0)]
                    m.next = "idle"
                if early:
                    # What the first pass left is there, if there is another; its next sums come after the last's.
                    first_ready = (flush == 0) | ((flush < settling + sum_cycles) & (final_pass != 0))
                    with m.If(~over & ~record.busy & first_ready):
                        m.next = "load"
                else:
                    with m.Elif(flushed):
                        m.d.comb += classified.eq(draining.classify)
                        m.d.comb += record.start.eq(1)
                        m.next = "load"
        followed = Signal()  # a batch's first record has been asked for
        m.d.sync += followed.eq(self.running)
        m.d.comb += record.base.eq(Mux(followed, phase.next, self.first_phase))
        if early:
            with m.If(unread & ~record.busy & (flush <= settling)):
                m.d.sync += [
                    *(draining[name].eq(phase[name]) for name in names), unread.eq(0), begun.eq(1),
                    self.result_offset.eq(draining.verdict)]
                m.d.comb += classified.eq(begun & draining.classify)
            with m.If(closing):
                m.d.sync += self.result_offset.eq(draining.verdict)
        else:
            m.d.comb += self.result_offset.eq(draining.verdict)
        # Until the last phase has left, it is the one that is waited for; of this one, more jobs will come.
        with m.If(finish & ~unread if early else finish):
            m.d.sync += [flush.eq(timing.flush - 1), flushed.eq(0)]
        with m.If(finish):
            with m.If(last_of_part & ~last_pass):
                m.d.sync += [pass_.eq(pass_ + 1), block.eq(block & ~phase.part), block_tile.eq(part_tile)]
            with m.Else():
                m.d.sync += block.eq(block + either(-1, 1))
                with m.If(last_of_part):
                    m.d.sync += [pass_.eq(0), part.eq(part + 1)]
                with m.If(either(~block, block)[:in_tile].all() if in_tile else 1):
                    next_tile = Signal.like(block_tile)
                    m.d.comb += next_tile.eq(block_tile + phase.tile_block_step)
                    m.d.sync += block_tile.eq(next_tile)
                    with m.If(last_of_part):
                        m.d.sync += part_tile.eq(next_tile)
            if config.copied:
                with m.If(phase.part[0] | ~last_of_part | last_pass):
                    m.d.sync += left.eq(0)
        m.d.comb += [
            self.forward.eq(self.running & ~waiting & ~draining.backward),
            self.backward.eq(self.running & ~waiting & draining.backward),
        ]

        self._drain(m, issued, draining, classified, sum_cycles)
        return m

    def _drain(self, m: Module, issued, draining, classified, sum_cycles: int):
        """Rows leave from `sum_cycles` after a job's last word on, or pairs of rows.

        Of the job `issued` the last word was issued last; `draining` is the record of the phase that leaves, and
        `classified` is 1 as the last of another, which made logits, has left.
        """
        config, drain = self.config, self.control.drain
        token = self.control.issue.last
        for _ in range(sum_cycles - 2):
            token = registered(m, token)
        coming, summed = token, registered(m, token)
        job = issued
        if config.drain_rows > 1:
            # These leave so fast that the next job comes to its last word before this one's sums are there.
            job = Signal.like(issued)
            with m.If(coming):
                m.d.sync += job.eq(issued)
        # `row` leaves, or the pair that it begins; if both do not count together, first one and then the other.
        row, out, pairs = Signal(range(config.rows)), Signal(), Signal()
        behind = config.drain_rows - 1
        odd = pairs | row[0] if behind else 1
        if behind:
            m.d.comb += pairs.eq(~draining.classify & (~draining.select | draining.group[0]))

        def same(number, other):
            """Of rows or members: as far as they are told apart."""
            difference = number ^ other
            return ~(Cat(difference[0] & ~pairs, difference[1:]) if behind else difference).any()

        last_rows, over = Signal(), Signal()
        last_row, last_pair = Signal(), Signal()
        m.d.comb += [
            last_row.eq(last_rows & same(row, draining.last_rows)),
            last_pair.eq(last_rows & (row[behind:] == draining.last_rows[behind:])),
            drain.shift.eq(out & odd),
            drain.first.eq(out & (row == 0)),
            drain.valid.eq(Cat(out & ~over, out & ~over & ~(last_pair & ~draining.last_rows[0]))),
            drain.counts.eq(drain.valid & (Cat(pairs | ~row[0], odd) if behind else 1)),
            drain.group_first.eq(drain.member == 0),
            drain.group_last.eq(same(drain.member, draining.group) | last_row),
        ]
        step = Mux(pairs, 2, 1) if behind else 1
        with m.If(out):
            m.d.sync += row.eq(row + step)
        with m.If(drain.counts.any()):
            m.d.sync += drain.member.eq(Mux(drain.group_last, 0, drain.member + step))
        with m.If(drain.shift):
            with m.If(last_pair):
                m.d.sync += over.eq(1)
            with m.If(row[behind:].all()):
                m.d.sync += out.eq(0)
        with m.If(summed):
            m.d.sync += [out.eq(1), last_rows.eq(job.last), row.eq(0), over.eq(0)]
            with m.If(job.first):
                m.d.sync += drain.member.eq(0)

        ends = self._address(m, job, draining, summed, row)
        self._write(m, job, draining, classified, ends, out, row)

    def _address(self, m: Module, job, draining, summed, row) -> list:
        """Where ranks and verdicts are read and written, late, as they are; returns tokens of the last row of `job`, by
        cycles since it left.

        The sums of `job` are there in the cycle behind `summed`; `row` leaves, or the pair that it begins.
        """
        config, drain = self.config, self.control.drain
        in_tile = ceil_log2(config.tile_blocks)
        job_word = job.block >> in_tile
        begins, rows = [summed], [drain.shift]
        verdicts = [drain.counts.any() & drain.group_last]
        ends = [drain.shift & row[config.drain_rows - 1:].all()]
        for tokens in (begins, rows, verdicts, ends):
            for _ in range(3):
                tokens.append(registered(m, tokens[-1]))
        rank_pass, rank_block = Signal(config.pass_width), Signal(range(config.rank_blocks))
        rank_row = Signal(range(TILE // config.drain_rows))
        verdict_pass, verdict_offset = Signal(config.pass_width), Signal(range(config.verdict_offsets))
        m.d.comb += [
            drain.rank_address.eq(Cat(rank_pass, rank_row, rank_block)),
            drain.verdict_address.eq(Cat(verdict_pass, verdict_offset))]
        reads = 2 - config.read_latency  # stored ranks come two cycles behind their sums
        with m.If(Mux(draining.backward, begins[reads], begins[3])):
            m.d.sync += [
                rank_pass.eq(job.pass_), rank_row.eq(job.block[:in_tile] << len(rank_row) - in_tile),
                rank_block.eq(draining.rank + job_word)]
        with m.Elif(Mux(draining.backward, rows[reads], rows[3])):
            m.d.sync += rank_row.eq(rank_row + 1)
        # Where there are parts, each has one group.
        with m.If(begins[3] & job.first):
            m.d.sync += [verdict_pass.eq(job.pass_), verdict_offset.eq(draining.verdict + job.part)]
        with m.Elif(verdicts[3]):
            m.d.sync += verdict_offset.eq(verdict_offset + 1)
        m.d.sync += self.verdict_write.eq(verdicts[2] & (draining.select | draining.classify))
        return ends

    def _write(self, m: Module, job, draining, classified, ends: list, out, row):
        """Signs are written three, gates four cycles behind the last row of `job`; `ends` are tokens of that row, `out`
        and `row` say which row leaves."""
        config, write = self.config, self.control.write
        in_tile = ceil_log2(config.tile_blocks)
        # The job's place is kept from a time when the job before has been written, and the next not taken its place.
        late = Signal(data.StructLayout({name: job.shape()[name].shape for name in ("pass_", "block", "final")}))
        kept = row == 4 if config.rows == TILE else row[1:] == (2 if config.double_rate else 1)
        with m.If(out & kept):
            m.d.sync += [late[name].eq(job[name]) for name in late.shape().members]
        late_word = late.block >> in_tile
        part_bits = ceil_log2(config.update_words)
        paired = Signal()
        m.d.comb += paired.eq(ends[3] | draining.write_paired)
        m.d.sync += [
            write.address.eq(Cat(late.pass_, (Mux(ends[3], draining.pair_offset, draining.write_offset)
                                              + Mux(paired, late_word, late_word >> 1))[:len(draining.write_offset)])),
            write.odd.eq(ends[3] | (~draining.write_paired & late_word[0])),
            write.block.eq(late.block[:in_tile]),
        ]
        with m.If(classified):
            m.d.sync += [self.voting.eq(self.learning), self.voted.eq(0)]
        with m.If(ends[3] & late.final & draining.end):
            m.d.sync += self.voted.eq(late.block + 1)
        # The loader writes when nothing else does, which it must know early in the cycle.
        m.d.sync += [
            write.value.eq(ends[2] & draining.write_value),
            write.gate.eq(ends[3] & draining.write_gate),
        ]
        m.d.comb += [
            write.copy.eq(write.value & draining.replay),
            self.copy.eq(write.copy),
            self.o_copy.word.eq(draining.replay_region + (late_word >> part_bits)),
            self.o_copy.part.eq(late_word[:part_bits]),
            self.o_copy.block.eq(late.block[:in_tile]),
            self.o_copy.sample.eq(late.pass_ * config.samples),
        ]
