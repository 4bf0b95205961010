"""The inputs of four batches, in one single-ported memory of the iCE40 UltraPlus, for arrays with little block RAM.

    Sequencer ── reads ─► ┐
    Updater ─── reads ──► ├─► memory ─► column, counters
    Loader ─── writes ──► ┘

The memory has the clock of the double rate. In a cycle the array reads two words; or the loader writes one, and the
updates read one. The array comes first, which leaves the others one cycle of two or of four. The updates step with half
a word at a time: the upper halves are kept until their turn. Words are 32 samples of the first, 32 of the second, …, so
that an address needs no multiplier.
"""

from amaranth import Cat, ClockSignal, Instance, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..model.config import MAX_BATCH
from .config import INPUT_WORDS, TILE, ArrayConfig
from .memory import registered

__all__ = ["InputMemory", "InputPlaceLayout"]

InputPlaceLayout = data.StructLayout({"sample": range(MAX_BATCH), "word": range(INPUT_WORDS), "batch": 2})
"""Where a word of an input is: of which sample, which of its words, of which batch, modulo four."""


class InputMemory(wiring.Component):
    """Memory of 16-bit words of inputs.

    Members
    -------
    first_half : In(1)
        The first half of a cycle.
    read, place : In
        The array reads; in the second half of the cycle it may be another word.
    o : Out(16)
        The word, a cycle later, and in the second half of that cycle the second.
    update_come, update, update_sample : In
        The updates read, when the array does not; in the cycle after, when the word is there at its end, its sample.
    alone : In(1)
        With `update`: its sample is the only one between a word's halves.
    hidden, inputs : In
        What the updates step with in other layers; they are in the first.
    activations : Out(8)
        What they step with: the lower half of the word read; in the first layer, where none was, the upper half of the
        sample's last.
    write, write_place, i : In
        The loader has a word; taken when `ready`.
    ready : Out(1)
        Nobody else is there.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__({
            "first_half": In(1),
            "read": In(1),
            "place": In(InputPlaceLayout),
            "o": Out(TILE),
            "update": In(InputPlaceLayout),
            "update_come": In(1),
            "update_sample": In(range(MAX_BATCH)),
            "alone": In(1),
            "hidden": In(config.update_lanes),
            "inputs": In(1),
            "activations": Out(config.update_lanes),
            "write": In(1),
            "write_place": In(InputPlaceLayout),
            "i": In(TILE),
            "ready": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        # Of a cycle's two accesses the first is by the edge that ends it, the array's or the loader's; the second by
        # the one after, the array's or the updates'. Both are addressed half a cycle ahead.
        found, place = registered(m, self.update_come), registered(m, self.update.as_value())
        address, access = Signal(InputPlaceLayout, reset_less=True), Signal(reset_less=True)
        m.d.double += [
            address.eq(Mux(self.read, self.place, self.write_place)), access.eq(self.read | self.first_half)]
        m.d.comb += self.ready.eq(~(self.read | registered(m, self.read) | found))
        m.submodules.block = Instance(
            "SB_SPRAM256KA",
            i_CLOCK=ClockSignal("double"),
            i_ADDRESS=Cat(Mux(found & self.first_half, place, address.as_value()), 0)[:14],
            i_DATAIN=self.i, i_MASKWREN=0b1111, i_WREN=self.write & self.ready, i_CHIPSELECT=access | found,
            i_STANDBY=0, i_SLEEP=0, i_POWEROFF=1, o_DATAOUT=self.o)

        lower, upper = self.o.word_select(0, TILE // 2), self.o.word_select(1, TILE // 2)
        # The upper halves of the samples that step one after the other wait for their turn; that of a sample that is
        # alone comes too soon for that.
        m.submodules.halves = halves = Memory(
            shape=TILE // 2, depth=MAX_BATCH, init=[], attrs={"no_rw_check": 1, "ram_style": "block"})
        keep, waiting = halves.write_port(), halves.read_port()
        held = Signal(TILE // 2, reset_less=True)
        m.d.comb += [
            keep.en.eq(found), keep.addr.eq(self.update_sample), keep.data.eq(upper),
            waiting.addr.eq(self.update.sample)]
        with m.If(found):
            m.d.sync += held.eq(upper)
        # The memory is slow: its word comes last.
        m.d.comb += self.activations.eq(Mux(found, lower, Mux(
            registered(m, self.inputs), Mux(registered(m, self.alone), held, waiting.data), self.hidden)))
        return m
