"""What the updates need of a batch once the array has gone on: its inputs and hidden activations.

Words of max(16, U) bits, 32 samples of the first word, 32 of the second, …, so that an address needs no multiplier.
The loader writes inputs; the columns' signs come in on a bus from the east and are written here, sample by sample.
"""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .column import signs_layout
from .config import TILE, ArrayConfig
from .memory import SplitMemory, registered
from .sequencer import CopyLayout

__all__ = ["ReplayMemory"]


class ReplayMemory(wiring.Component):
    """Memory of the activations of a batch.

    Members
    -------
    copy, i_copy : In
        The columns write signs to their operand memories in this cycle, and these are to be kept here.
    arrive, signs : In
        A column's signs of a block arrive, for `config.lanes` samples: columns in order, two cycles apart.
    write, word, part, sample, data : In
        What the loader has for word `word` of a sample: 16 bits for part `part`, or 32 for it and the next. Taken when
        `ready`.
    ready : Out(1)
        No signs are being written.
    read_word, read_half, read_sample : In
        What to read.
    o : Out
        The word, U bits, `config.shared_latency` cycles later; of each group of update lanes but the first a cycle
        after the group before (see `ArrayConfig.update_groups`). `read_half` of it where U is 8.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        part = range(max(2, config.update_words))
        super().__init__({
            "copy": In(1),
            "i_copy": In(CopyLayout(config)),
            "arrive": In(1),
            "signs": In(signs_layout(config)),
            "write": In(1),
            "word": In(8),
            "part": In(part),
            "sample": In(5),
            "data": In(TILE * config.load_words),
            "ready": Out(1),
            "read_word": In(8),
            "read_half": In(1),
            "read_sample": In(5),
            "o": Out(config.update_lanes),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        words = config.update_words
        part_bits = ceil_log2(words)

        # Signs come with `arrive`; of several lanes all but the first wait for their turn. Those of an array with one
        # sample come with `copy`.
        place = Signal(CopyLayout(config)) if config.samples > 1 else self.i_copy
        waiting = Signal(data.ArrayLayout(config.rows, config.lanes - 1))
        left = Signal(range(config.lanes))
        copying = Signal()
        m.d.comb += [copying.eq(self.arrive | (left != 0)), self.ready.eq(~copying)]
        if config.samples > 1:
            with m.If(copying):
                m.d.sync += place.sample.eq(place.sample + 1)
            with m.If(self.copy):
                m.d.sync += place.eq(self.i_copy)
        with m.If(self.arrive):
            m.d.sync += left.eq(config.lanes - 1)
            m.d.sync += [waiting[lane].eq(self.signs[lane + 1]) for lane in range(config.lanes - 1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
            m.d.sync += [waiting[lane].eq(waiting[lane + 1]) for lane in range(config.lanes - 2)]
        next_signs = Mux(self.arrive, self.signs[0], waiting[0]) if config.lanes > 1 else self.signs[0]

        enable, word, part, sample, value = (
            Signal(), Signal(8), Signal(part_bits), Signal(5), Signal(TILE * config.load_words))
        pair = ~copying if config.load_words == 2 else C(0)
        m.d.comb += [
            enable.eq(Mux(copying, ~place.sample[5], self.write)),
            word.eq(Mux(copying, place.word, self.word)),
            part.eq(Mux(copying, place.part, self.part)),
            sample.eq(Mux(copying, place.sample, self.sample)),
            value.eq(Mux(copying, next_signs.replicate(config.tile_blocks), self.data)),
        ]
        write_address, read_address = Cat(sample, word), Cat(self.read_sample, self.read_word)
        blocks = Cat(enable & (~copying | (place.block == block)) for block in range(config.tile_blocks))
        outputs = []
        for number in range(words):
            if number and number * TILE % config.group_lanes == 0:
                read_address = registered(m, read_address)
            m.submodules[f"part_{number}"] = memory = SplitMemory(
                width=TILE, granularity=config.rows, depth=config.replay_words, pipelined=config.pipelined)
            mine, half = part == number, value[:TILE]
            if number % 2:
                mine, half = mine | (pair & (part == number - 1)), Mux(pair, value[-TILE:], half)
            m.d.comb += [
                memory.enable.eq(Mux(mine, blocks, 0)), memory.write_address.eq(write_address), memory.i.eq(half),
                memory.read_address.eq(read_address),
            ]
            outputs.append(memory.o)
        if config.update_lanes >= TILE:
            m.d.comb += self.o.eq(Cat(outputs))
        else:
            half = self.read_half
            for _ in range(config.shared_latency):
                half = registered(m, half)
            m.d.comb += self.o.eq(outputs[0].word_select(half, config.update_lanes))
        return m
