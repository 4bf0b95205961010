"""The inputs of four batches, in one single-ported memory of the iCE40 UltraPlus, for arrays with little block RAM.

    Sequencer ── reads ─► ┐              ┌─► column
    Updater ── fetches ─► ├─► memory ─►──┴─► fetched words ─► activations, for the counters
    Loader ─── writes ──► ┘

The memory has the clock of the double rate: the array reads two words in a cycle, or the loader writes one. The updates
fetch a sample's words two by two as well, some time before they step with them, into a block RAM; in that cycle the
array stands still, one of eight or more where the row has one sample, for they step with half a word at a time.
"""

from amaranth import C, Cat, ClockSignal, Instance, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..model.config import MAX_BATCH
from .config import INPUT_WORDS, TILE, ArrayConfig
from .memory import registered
from .weights import bit_written

__all__ = ["FETCH_LEAD", "InputMemory", "InputPlaceLayout"]

FETCH_LEAD = 4
"""Counter words in a pair of input words; and by how many counter words a pair is fetched before it is stepped with,
which take no less cycles."""

InputPlaceLayout = data.StructLayout({
    "second": 1, "sample": range(MAX_BATCH), "pair": range(INPUT_WORDS // 2), "batch": 2})
"""Where a word of an input is: which of a pair, of which sample, which of its pairs, of which batch, modulo four. No
part is the sum of others: an address needs no multiplier."""


class InputMemory(wiring.Component):
    """Memory of 16-bit words of inputs.

    Members
    -------
    first_half : In(1)
        The first half of a cycle.
    read, place, whole : In
        The array reads a pair; or, if that is not `whole`, its first word twice.
    o : Out(16)
        The first word, a cycle later, and in the second half of that cycle the second.
    fetch : In(1)
        The updates fetch a pair, in the cycle after the next, in which the array must not read. They may ask for its
        activations from the fourth cycle after this one on, until they fetch the next pair but one.
    fetched : In
        In the cycle after `fetch`: the pair before.
    word, sample : In
        The half of a word that the updates will step with, modulo 8, and of which sample.
    inputs, hidden : In
        Whether they are of the first layer; what the updates step with in others.
    activations : Out(8)
        What they step with, a cycle later.
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
            "whole": In(1),
            "o": Out(TILE),
            "fetch": In(1),
            "fetched": In(InputPlaceLayout),
            "word": In(3),
            "sample": In(range(MAX_BATCH)),
            "inputs": In(1),
            "hidden": In(config.update_lanes),
            "activations": Out(config.update_lanes),
            "write": In(1),
            "write_place": In(InputPlaceLayout),
            "i": In(TILE),
            "ready": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        fetching, following = registered(m, registered(m, self.fetch)), Signal(InputPlaceLayout, reset_less=True)
        m.d.sync += [following.eq(self.fetched), following.pair.eq(self.fetched.pair + 1)]
        # Of a cycle's two accesses the first is by the edge that ends it, the second by the one after, half a cycle
        # later; both are addressed half a cycle ahead. What the loader writes goes by the first, and by no other.
        busy, address = Signal(), Signal(InputPlaceLayout, reset_less=True)
        access, writing = Signal(reset_less=True), Signal(reset_less=True)
        m.d.comb += busy.eq(self.read | fetching)
        m.d.double += [
            address.eq(Mux(self.read, self.place, Mux(fetching, following, self.write_place))),
            access.eq(busy | self.first_half), writing.eq(self.write & ~busy & self.first_half)]
        with m.If(busy):
            m.d.double += address.second.eq(~self.first_half & (self.whole | fetching))
        m.d.comb += self.ready.eq(~busy)
        m.submodules.block = Instance(
            "SB_SPRAM256KA",
            i_CLOCK=ClockSignal("double"), i_ADDRESS=Cat(address, C(0, 1)), i_DATAIN=self.i, i_MASKWREN=0b1111,
            i_WREN=writing, i_CHIPSELECT=access,
            i_STANDBY=0, i_SLEEP=0, i_POWEROFF=1, o_DATAOUT=self.o)

        # The pair that is stepped with and the next lie side by side.
        found = bit_written(
            m, "fetched", 256, Cat(self.word[1], self.sample, self.word[2], C(0, 1)),
            Cat(~self.first_half, registered(m, Cat(following.sample, following.pair[0])), C(0, 1)),
            registered(m, fetching), C(-1, TILE), self.o, write_clock=ClockSignal("double"), half=self.word[0])
        m.d.comb += self.activations.eq(Mux(registered(m, self.inputs), found, self.hidden))
        return m
