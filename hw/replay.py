"""What the updates need of a batch once the array has gone on: its inputs and hidden activations.

Words of max(16, U) bits, 32 samples of the first word, 32 of the second, …, so that an address needs no multiplier.
The loader writes inputs; the columns' signs come in on a bus from the east and are written here, sample by sample.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .config import TILE, ArrayConfig
from .sequencer import CopyLayout
from .weights import registered

__all__ = ["ReplayMemory"]


class ReplayMemory(wiring.Component):
    """Memory of the activations of a batch.

    Members
    -------
    copy, i_copy : In
        The columns write signs to their operand memories in this cycle, and these are to be kept here.
    arrive, signs : In
        A column's signs arrive, `config.lanes` words: columns in order, two cycles apart.
    write, word, part, sample, data : In
        The loader's 16 bits for part `part` of word `word` of a sample. Taken when `ready`.
    ready : Out(1)
        No signs are being written.
    read_word, read_sample : In
        What to read.
    o : Out
        The word, U bits, a cycle later; `half` of it where U is 8.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        part = range(max(2, config.update_words))
        super().__init__({
            "copy": In(1),
            "i_copy": In(CopyLayout(config)),
            "arrive": In(1),
            "signs": In(data.ArrayLayout(TILE, config.lanes)),
            "write": In(1),
            "word": In(8),
            "part": In(part),
            "sample": In(5),
            "data": In(TILE),
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
        waiting = Signal(data.ArrayLayout(TILE, config.lanes - 1))
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

        enable, word, part, sample, value = Signal(), Signal(8), Signal(part_bits), Signal(5), Signal(TILE)
        m.d.comb += [
            enable.eq(Mux(copying, ~place.sample[5], self.write)),
            word.eq(Mux(copying, place.word, self.word)),
            part.eq(Mux(copying, place.part, self.part)),
            sample.eq(Mux(copying, place.sample, self.sample)),
            value.eq(Mux(copying, next_signs, self.data)),
        ]
        if config.pipelined:
            enable, word, part, sample, value = (
                registered(m, signal) for signal in (enable, word, part, sample, value))
        # A power of two and the rest apart: block RAMs of few bits side by side need no multiplexer behind them.
        depths = config.replay_depths
        lower = depths[0]
        write_address, read_address = Cat(sample, word), Cat(self.read_sample, self.read_word)
        upper = Signal()
        m.d.sync += upper.eq(read_address >= lower)
        outputs = []
        for number in range(words):
            found = []
            for place, depth in enumerate(depths):
                memory = Memory(shape=TILE, depth=depth, init=[], attrs={"no_rw_check": 1})
                m.submodules[f"part_{number}_{place}"] = memory
                write, read = memory.write_port(), memory.read_port()
                here = (write_address >= lower) == place if len(depths) > 1 else 1
                m.d.comb += [
                    write.en.eq(enable & (part == number) & here), write.addr.eq(write_address),
                    write.data.eq(value), read.addr.eq(read_address),
                ]
                found.append(read.data)
            outputs.append(Mux(upper, found[1], found[0]) if len(found) > 1 else found[0])
        if config.update_lanes >= TILE:
            m.d.comb += self.o.eq(Cat(outputs))
        else:
            half = Signal()
            m.d.sync += half.eq(self.read_half)
            m.d.comb += self.o.eq(outputs[0].word_select(half, config.update_lanes))
        return m
