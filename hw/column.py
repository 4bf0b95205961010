"""A column of the array: a processing element, its samples' memories and their lanes.

                    control buses, tile (from the west, one cycle a column)
                      │
     operand memory ──┴─► processing element ─► lanes ─► words back to the operand memory
     (even and odd bank)                         ├──► rank memory
                                                 └──► verdict memory ─► matches (to the east)

Every bus is passed on through a register, so that a column talks to its neighbours only.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .config import INPUT_WORDS, MEMBER_BITS, TILE, ArrayConfig
from .element import ProcessingElement
from .lane import Lane, PhaseLayout, drain_layout
from .memory import registered
from .weights import tile_layout
from .winners import VerdictLayout

__all__ = ["Column", "control_layout", "reply_layout", "signs_layout"]


def control_layout(config: ArrayConfig) -> data.StructLayout:
    """What marches through the columns; each part acts on its own memory port or unit.

    issue
        Read pair `address` of the operand memory, for the tile that enters `read_latency + 1` cycles later. `odd` takes
        the pair's second word for value; `paired` takes the first for value and the second for mask; else the mask is
        all ones. With `input` the address is one of the memory of inputs, whose word is the value. `tail` leaves of the
        mask what is in `phase.tail`. `compute`, `last`: see `ProcessingElement`.
        With `double` the pair's first word is the value in one half of the cycle, its second in the other.
        `aux_value` and `aux_gate` keep what was read (value; mask), of it what belongs to the tile's block `block`, for
        the lanes.
    drain
        With each sum that leaves the processing element: see `lane.drain_layout`.
    write
        To the operand memory, in word `odd` of pair `address`: in its block `block` the lanes' `value` bits (with
        `copy` they also go to the replay memory), or their `gate` bits; or, in all of it,
        `data` for one `lane` of one `column`, with `pair` to both words. Or, with `label`, `data` to the verdict memory
        at `address`.
    query
        Read word `address` of the verdict memory. `label` keeps it as the samples' labels. Otherwise the reply says
        which samples have `member` for winner, and gives the word of column `column`.
    phase
        See `lane.PhaseLayout`.
    """
    column = range(max(2, config.columns))
    pairs = config.operand_words
    if config.inputs_apart:
        pairs = max(pairs, config.passes * INPUT_WORDS // 2)
    return data.StructLayout({
        "issue": data.StructLayout({
            "address": range(pairs), "odd": 1, "paired": 1, "tail": 1,
            "compute": 1, "last": 1, "aux_value": 1, "aux_gate": 1, "block": range(config.tile_blocks)}
            | ({"input": 1} if config.inputs_apart else {}) | ({"double": 1} if config.double_rate else {})),
        "drain": drain_layout(config),
        "write": data.StructLayout({
            "value": 1, "copy": 1, "gate": 1, "host": 1, "label": 1, "odd": 1, "pair": 1,
            "address": range(max(config.operand_words, config.winner_words)), "block": range(config.tile_blocks),
            "column": column, "lane": range(max(2, config.lanes)),
            "data": TILE * config.load_words}),
        "query": data.StructLayout({
            "label": 1, "address": range(config.winner_words), "member": MEMBER_BITS, "column": column}),
        "phase": PhaseLayout(config),
    })


def reply_layout(config: ArrayConfig) -> data.StructLayout:
    """Answer to a query, gathered on its way east: a bit a sample, and one column's verdicts."""
    return data.StructLayout({
        "match": config.samples, "up": config.samples, "verdicts": data.ArrayLayout(VerdictLayout, config.lanes)})


def signs_layout(config: ArrayConfig) -> data.ArrayLayout:
    """Signs of a block, for each lane."""
    return data.ArrayLayout(config.rows, config.lanes)


class Column(wiring.Component):
    """Column `index` of the array.

    Members
    -------
    i_control, o_control : In, Out(control_layout)
        `o_control` follows one cycle behind.
    i_tile, o_tile : In, Out(tile_layout)
        The tile that belongs to the `issue` of `read_latency + 1` cycles ago; likewise.
    i_signs, i_arrive, o_signs, o_arrive : In, Out
        Value words on their way west, a cycle a column; this column's own enter with `write.copy`. Where the array has
        one sample, they are that register's input.
    i_reply, o_reply : In, Out(reply_layout)
        `o_reply` answers the query of two cycles ago; `i_reply` is the western neighbour's.
    input : In(16)
        A word of the memory of inputs, with those of the operand memory. Only where inputs lie apart.
    second_half : In(1)
        The second half of a cycle. Only where `config.double_rate`.
    """

    def __init__(self, config: ArrayConfig, index: int):
        self.config = config
        self.index = index
        super().__init__({
            "i_control": In(control_layout(config)), "o_control": Out(control_layout(config)),
            "i_tile": In(tile_layout(config)), "o_tile": Out(tile_layout(config)),
            "i_signs": In(signs_layout(config)), "o_signs": Out(signs_layout(config)),
            "i_arrive": In(1), "o_arrive": Out(1),
            "i_reply": In(reply_layout(config)), "o_reply": Out(reply_layout(config)),
        } | ({"input": In(TILE)} if config.inputs_apart else {})
          | ({"second_half": In(1)} if config.double_rate else {}))

    def elaborate(self, platform):
        m = Module()
        config, control = self.config, self.i_control
        lanes = config.lanes
        m.d.sync += self.o_control.eq(control)

        m.submodules.element = element = ProcessingElement(config)
        m.d.comb += [element.i_tile.eq(self.i_tile), self.o_tile.eq(element.o_tile)]
        lane = []
        for number in range(lanes):
            m.submodules[f"lane_{number}"] = unit = Lane(config)
            lane.append(unit)

        # Operands: two banks of one word a lane.
        issue, write = control.issue, control.write
        banks = []
        for bank in range(2):
            memory = Memory(shape=TILE * lanes, depth=config.operand_words, init=[], attrs={"no_rw_check": 1})
            m.submodules[f"operands_{bank}"] = memory
            port = memory.write_port(granularity=config.rows)
            here = Signal(lanes, name=f"write_{bank}")
            mine = write.host & (write.column == self.index)
            for number in range(lanes):
                m.d.comb += here[number].eq(write.value | write.gate | (mine & (write.lane == number)))
            data_word = write.data[:TILE]
            if bank and config.load_words == 2:
                data_word = write.data[TILE:]
            m.d.comb += [
                port.addr.eq(write.address),
                port.en.eq(Mux((write.odd == bank) | write.pair, Cat(
                    lane_here & (write.host | (write.block == block))
                    for lane_here in here for block in range(config.tile_blocks)), 0)),
                port.data.eq(Cat(
                    Mux(write.host, data_word,
                        Mux(write.gate, unit.o_gate, unit.o_value).replicate(config.tile_blocks)) for unit in lane)),
            ]
            read = memory.read_port()
            m.d.comb += read.addr.eq(issue.address)
            word = read.data
            if config.pipelined:
                word = registered(m, word)
            banks.append(word)
        flags = Cat(issue.odd, issue.paired, issue.tail, issue.compute, issue.last, issue.aux_value, issue.aux_gate,
                    issue.block)
        for _ in range(config.read_latency):
            flags = registered(m, flags)
        from_inputs = registered(m, issue.input) if config.inputs_apart else None
        odd, paired, tail, compute, last, keep_value, keep_gate, *block = flags
        block = Cat(block)
        m.d.sync += [element.compute.eq(compute), element.last.eq(last)]
        if config.double_rate:
            double = registered(m, issue.double)
            # Which word comes next is known half a cycle ahead; where there are two, `issue.odd` is 0.
            second = Signal(reset_less=True)
            m.d.double += second.eq(Mux(self.second_half, issue.odd, odd | double))
            odd, tail = second, tail & (self.second_half | ~double)
            keep_value, keep_gate = keep_value & self.second_half, keep_gate & self.second_half
            m.d.sync += element.double.eq(double)
            m.d.comb += element.second_half.eq(self.second_half)
        else:
            keep_value, keep_gate, block = registered(m, keep_value), registered(m, keep_gate), registered(m, block)
        for number, unit in enumerate(lane):
            even_word, odd_word = (bank.word_select(number, TILE) for bank in banks)
            value = Mux(odd, odd_word, even_word)
            if config.inputs_apart:
                value = Mux(from_inputs, self.input, value)
            # Where a word ends in the middle, what lies behind is of another network.
            mask = (odd_word | ~paired.replicate(TILE)) & (control.phase.tail | ~tail.replicate(TILE))
            operands = m.d["double" if config.double_rate else "sync"]
            operands += [element.value[number].eq(value), element.mask[number].eq(mask)]
            aux_value, aux_gate = (
                Signal(config.rows, name=f"{name}_{number}") for name in ("aux_value", "aux_gate"))
            with m.If(keep_value):
                operands += aux_value.eq(element.value[number].word_select(block, config.rows))
            with m.If(keep_gate):
                operands += aux_gate.eq(element.mask[number].word_select(block, config.rows))
            m.d.comb += [unit.aux_value.eq(aux_value), unit.aux_gate.eq(aux_gate)]

        # Sums.
        drain = control.drain
        m.d.comb += element.shift.eq(drain.shift)
        for number, unit in enumerate(lane):
            m.d.comb += [
                unit.total.eq(element.total[number]),
                unit.count.eq(element.count[number]),
                unit.drain.eq(drain),
                unit.phase.eq(control.phase),
            ]

        if config.samples == 1:
            # Nobody else's signs come by.
            m.d.comb += [self.o_arrive.eq(write.copy), self.o_signs[0].eq(lane[0].o_value)]
        else:
            m.d.sync += [self.o_arrive.eq(self.i_arrive | write.copy), self.o_signs.eq(self.i_signs)]
            with m.If(write.copy):
                m.d.sync += [self.o_signs[number].eq(unit.o_value) for number, unit in enumerate(lane)]

        # Ranks: read for stage 2 of the lanes, written in stage 3; the address comes when it is needed.
        rank_width = config.rank_bits * config.drain_rows
        m.submodules.ranks = ranks = Memory(
            shape=rank_width * lanes, depth=config.rank_words // config.drain_rows, init=[], attrs={"no_rw_check": 1})
        rank_read, rank_write = ranks.read_port(), ranks.write_port()
        ranked, judged = drain.valid.any(), drain.counts.any() & drain.group_last
        for _ in range(3):
            ranked, judged = registered(m, ranked), registered(m, judged)
        m.d.comb += [
            rank_read.addr.eq(drain.rank_address),
            rank_write.addr.eq(drain.rank_address),
            rank_write.data.eq(Cat(unit.o_rank for unit in lane)),
            rank_write.en.eq(ranked & control.phase.rank_write),
        ]
        stored = registered(m, rank_read.data) if config.pipelined else rank_read.data
        for number, unit in enumerate(lane):
            m.d.comb += unit.stored_rank.eq(stored.word_select(number, rank_width))

        # Verdicts: winners and results from the lanes, labels from the host.
        verdict_width = VerdictLayout.size
        m.submodules.verdicts = verdicts = Memory(
            shape=verdict_width * lanes, depth=config.winner_words, init=[], attrs={"no_rw_check": 1})
        verdict_write = verdicts.write_port(granularity=verdict_width)
        verdict_read = verdicts.read_port()
        label_here = write.label & (write.column == self.index)
        # The winner is known late in the cycle, so it is written in the next.
        m.d.sync += [
            verdict_write.addr.eq(Mux(write.label, write.address, drain.verdict_address)),
            verdict_write.data.eq(Cat(Mux(write.label, write.data[:verdict_width], unit.o_verdict) for unit in lane)),
            verdict_write.en.eq(Cat(
                Mux(write.label, label_here & (write.lane == number),
                    judged & (control.phase.select | control.phase.classify))
                for number in range(lanes))),
        ]
        m.d.comb += verdict_read.addr.eq(control.query.address)
        query = registered(m, Cat(control.query.label, control.query.column == self.index, control.query.member))
        keep_label, selected, member = query[0], query[1], query[2:]
        m.d.sync += self.o_reply.eq(self.i_reply)
        for number, unit in enumerate(lane):
            verdict = data.View(VerdictLayout, verdict_read.data.word_select(number, verdict_width))
            sample = self.index * lanes + number
            m.d.sync += [
                self.o_reply.match[sample].eq(verdict.valid & (verdict.member == member)),
                self.o_reply.up[sample].eq(verdict.up),
            ]
            with m.If(selected):
                m.d.sync += self.o_reply.verdicts[number].eq(verdict)
            with m.If(keep_label):
                m.d.sync += unit.label.eq(verdict.member)
        return m
