"""Visible weights: a memory that gives a whole tile per cycle, as it lies or transposed.

A tile is 16 neurons × 16 inputs. Sixteen banks, one 16-bit word of each per cycle:

    write: U signs of one row ──► rotate ──► bank 0 … bank 15 ──► un-rotate ──► transpose? ──► o_tile

The words of a row that are written together (`update_words`, ω) lie in different banks, each 16/ω banks further, so
that a write of ω words takes one cycle.

Where single bits can be written, as in the block RAM of the iCE40, the multiplexers go: banks hold columns, and what
is read transposed lies there twice.

    write: U signs of one row ──► a bit of each of U columns ──┐
           a cycle later, for the copy ──► U bits of a column ─┴► banks of columns ──► o_tile
"""

from amaranth import C, Cat, ClockSignal, Instance, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .config import TILE, ArrayConfig
from .memory import SplitMemory, registered

__all__ = ["WeightMemory", "bit_written", "tile_layout"]


def tile_layout(config: ArrayConfig) -> data.ArrayLayout:
    """`config.rows` rows of sixteen weights: a tile, or one of its two blocks; bit 1 is +1."""
    return data.ArrayLayout(TILE, config.rows)


class WeightMemory(wiring.Component):
    """Memory of ±1 weights in tiles.

    Members
    -------
    i_address : In
        Tile to read, one a cycle.
    i_transpose, i_block : In
        Give columns for rows; the block of the tile. They go with `i_address`. With
        `config.copied` there is no transposing: the address is that of the copy.
    i_double, second_half : In
        Give the tile and then, half a cycle later, the next, for an address that is even; goes with `i_address`. The
        second half of a cycle. Only where `config.double_rate`.
    o_tile : Out(tile_layout)
        The tile, `config.tile_latency` cycles after its address; half a cycle less at the double rate.
    write : In(1)
        Write `signs` (U bits) into row `row` of consecutive tiles from `tile` on, which must be a multiple of ω.
        Where U is 8, `half` picks the upper or lower half of the tile's row. Visible to reads from the next cycle on,
        or with `config.pipelined` from the one after; until then these tiles must not be read.
    copy : In
        If not 0, and `config.copied`: the tile that is so much further holds the same weights
        transposed, and is written in the next cycle; until then all that goes with `write` but the signs must be
        still.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__({
            "i_address": In(range(config.tiles)),
            "i_transpose": In(1),
            "i_block": In(range(max(2, config.tile_blocks))),
            "o_tile": Out(tile_layout(config)),
            "write": In(1),
            "tile": In(range(config.tiles)),
            "row": In(range(TILE)),
            "half": In(1),
            "signs": In(config.update_lanes),
            "copy": In(range(config.tiles)),
        } | ({"i_double": In(1), "second_half": In(1)} if config.double_rate else {}))

    def elaborate(self, platform):
        m = Module()
        if self.config.copied:
            self._copied(m)
        else:
            self._multiplexed(m)
        return m

    def _multiplexed(self, m: Module):
        config = self.config
        words = config.update_words
        step = TILE // words
        word_bits = ceil_log2(words)
        granularity = min(TILE, config.update_lanes)

        # Word i of the row goes to bank (row + i·step) mod 16, so bank (high, low) takes word high - row_high.
        row_low, row_high = self.row % step, self.row >> ceil_log2(step)
        rotated = [Signal(TILE, name=f"rotated_{high}") for high in range(words)]
        place = [Signal(range(max(2, words)), name=f"place_{high}") for high in range(words)]
        signs = self.signs if granularity == TILE else Cat(self.signs, self.signs)
        for high in range(words):
            m.d.comb += place[high].eq((high - row_high) % words)
            m.d.comb += rotated[high].eq(signs.word_select(place[high], TILE))

        # Neighbours that are always written at the same address lie side by side, for block RAM is wide.
        beside = config.paired_banks
        banks = []
        for first in range(0, TILE, beside):
            m.submodules[f"bank_{first}"] = memory = SplitMemory(
                width=TILE * beside, depth=config.tiles, granularity=granularity, pipelined=config.pipelined)
            m.d.comb += [
                memory.write_address.eq(Cat(place[first // step][:word_bits], self.tile[word_bits:])),
                memory.i.eq(rotated[first // step].replicate(beside)),
                memory.read_address.eq(self.i_address),
            ]
            enables = []
            for bank in range(first, first + beside):
                enable = self.write & (row_low == bank % step)
                enables += [enable] if granularity == TILE else [enable & ~self.half, enable & self.half]
            m.d.comb += memory.enable.eq(Cat(enables))
            banks += [memory.o.word_select(place_here, TILE) for place_here in range(beside)]

        transpose, lower, rotation = self.i_transpose, self.i_block, self.i_address[:word_bits]
        for _ in range(config.shared_latency):
            transpose, lower, rotation = (registered(m, value) for value in (transpose, lower, rotation))
        # The choice among banks and that between rows and columns are a cycle each with registers; among eight banks
        # the choice is begun in the first and ended in the second.
        halves = 2 if config.pipelined and words > 4 else 1
        near, far = rotation[:word_bits - (halves - 1)], rotation[word_bits - (halves - 1):]
        chosen = [[Signal(TILE, name=f"chosen_{row}_{half}") for half in range(halves)] for row in range(TILE)]
        for row in range(TILE):
            candidates = [banks[(row + i * step) % TILE] for i in range(words)]
            for half in range(halves):
                m.d.comb += chosen[row][half].eq(_pick(candidates[half * words // halves:][:words // halves], near))
        if config.pipelined:
            chosen = [[registered(m, candidate) for candidate in candidates] for candidates in chosen]
            transpose, lower, far = (registered(m, value) for value in (transpose, lower, far))
        natural = [Signal(TILE, name=f"natural_{row}") for row in range(TILE)]
        m.d.comb += [natural[row].eq(_pick(chosen[row], far)) for row in range(TILE)]
        tile = Signal(tile_layout(config), reset_less=True)
        m.d.comb += self.o_tile.eq(tile)
        for row in range(config.rows):
            for column in range(TILE):
                there = Mux(transpose, natural[column][row], natural[row][column])
                if config.rows < TILE:
                    there = Mux(lower, Mux(transpose, natural[column][row + config.rows],
                                           natural[row + config.rows][column]), there)
                m.d.sync += tile[row][column].eq(there)

    def _copied(self, m: Module):
        # A word holds the bits of one column, or of two.
        config = self.config
        rows, lanes = config.word_rows, config.update_lanes
        halved = rows > config.rows
        wide = TILE // rows
        second = Signal()
        m.d.sync += second.eq(self.write & (self.copy != 0))
        tile, held = Signal.like(self.tile), registered(m, self.signs)
        m.d.comb += tile.eq(self.tile + Mux(second, self.copy, 0))
        # Row r is bit r of the columns; of the copy it is column r.
        place, bank = self.row[:ceil_log2(rows)], self.row[ceil_log2(wide):]
        part = self.row[0] if wide > 1 else self.half
        mask = Signal(TILE)
        m.d.comb += mask.eq(Mux(second, Cat((part == number).replicate(lanes) for number in range(TILE // lanes)),
                                Cat(place == bit % rows for bit in range(TILE))))
        # The address waits a cycle, so that the tile need not.
        read_address, write_address, clock = registered(m, self.i_address), tile, ClockSignal()
        if config.double_rate:
            odd = Mux(registered(m, self.i_double), self.second_half, read_address[0])
            read_address, clock = Cat(odd, read_address[1:]), ClockSignal("double")
        if wide > 1:
            read_address = Cat(registered(m, self.i_block), read_address)
            write_address = Cat(Mux(second, self.half, self.row[-1]), tile)

        columns = []
        for number in range(rows):
            enable, word = Signal(name=f"enable_{number}"), Signal(TILE, name=f"word_{number}")
            first = number * wide
            m.d.comb += [
                enable.eq(Mux(second, bank == number, self.write & (self.half == first // lanes))),
                word.eq(Mux(second, Cat(held, held),
                            Cat(self.signs[(first + column) % lanes].replicate(rows) for column in range(wide)))),
            ]
            found = bit_written(m, f"bank_{number}", config.tiles * wide, read_address, write_address, enable, mask,
                                word, read_clock=clock, half=registered(m, self.i_block) if halved else None)
            columns += [found[column * rows:][:rows] for column in range(wide)]
        for row in range(config.rows):
            m.d.comb += self.o_tile[row].eq(Cat(column[row] for column in columns))


def _pick(words: list, number):
    """The word of that number, of one or a power of two of 16 bits."""
    return data.ArrayLayout(TILE, len(words))(Cat(words))[number] if len(words) > 1 else words[0]


def bit_written(m: Module, name: str, depth: int, read_address, write_address, enable, mask, word, *, read_clock=None,
                write_clock=None, half=None):
    """A memory of 16-bit words in iCE40 block RAM, of which a write changes the bits of `mask`; what is read is the
    word, or the `half` of it, for which the block RAM has a multiplexer. Each port may have a clock of its own.

    Instances, since synthesis would make each bit's enable of `enable` and `mask`, for each block again.
    """
    outputs, mode = [], 0
    read_clock, write_clock = (ClockSignal() if clock is None else clock for clock in (read_clock, write_clock))
    if half is not None:
        # The block RAM's halves are its even and its odd bits.
        mode = 1
        mask, word = (Cat(bits[bit % 2 * 8 + bit // 2] for bit in range(TILE)) for bits in (mask, word))
        read_address = Cat(read_address[:8], half)
    for number in range(-(-depth // 256)):
        block, output = Signal(name=f"{name}_{number}_write"), Signal(TILE, name=f"{name}_{number}_read")
        here = (write_address >> 8) == number if depth > 256 else 1
        m.d.comb += block.eq(enable & here)
        m.submodules[f"{name}_{number}"] = Instance(
            "SB_RAM40_4K",
            p_READ_MODE=mode, p_WRITE_MODE=0,
            i_RCLK=read_clock, i_RCLKE=1, i_RE=1, i_RADDR=Cat(read_address[:8 + mode], C(0, 3))[:11],
            o_RDATA=output,
            i_WCLK=write_clock, i_WCLKE=block, i_WE=1, i_WADDR=Cat(write_address[:8], C(0, 3))[:11],
            i_MASK=~mask, i_WDATA=word)
        outputs.append(output)
    if half is not None:
        outputs = [Cat(output[bit] for bit in range(0, TILE, 2)) for output in outputs]
    if len(outputs) == 1:
        return outputs[0]
    found = Signal(TILE, name=f"{name}_read")
    m.d.comb += found.eq(data.ArrayLayout(TILE, len(outputs))(Cat(outputs))[registered(m, read_address[8:])])
    return found
