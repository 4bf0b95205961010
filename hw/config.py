"""The size of an accelerator: everything that is fixed in the bitstream."""

import math
from dataclasses import asdict, dataclass

from ..model.config import MAX_BATCH, RANK_BITS

__all__ = ["INPUT_WORDS", "MEMBER_BITS", "TILE", "UPDATE_GROUP", "ArrayConfig"]

TILE = 16
"""Side of a weight tile: neurons a column works on at once, and bits of an operand word."""

MEMBER_BITS = 6
"""Bits of a neuron's place in its group, and of a class: groups and classes go up to 64."""

INPUT_WORDS = 64
"""Words of a sample that the memory of inputs has room for, where they lie apart."""

UPDATE_GROUP = 32
"""Update lanes that share their control; the next such group follows a cycle behind, so that no net grows with U."""


@dataclass(frozen=True, kw_only=True)
class ArrayConfig:
    """Shape of the array and of its memories.

    Parameters
    ----------
    columns
        Processing elements in the systolic chain; tiles march from each to the next.
    lanes
        Samples that one processing element works on at once; at most 2 where there are several columns. The array
        works on `columns · lanes` samples.
    rows
        Rows of a processing element, which are the array's blocks: 16 or 8.
    update_lanes
        U: counters updated per cycle; 8, or a multiple of 16 by a power of two up to 256.
    counter_bits
        B: width of a counter, 5 to 12.
    tiles
        Depth of the weight memory, in tiles of 16 × 16 weights.
    operand_words
        Depth of a lane's operand memory, in pairs of 16-bit words: what its samples' inputs, activations and
        errors may take in all its passes.
    load_words
        16-bit words of a sample that are loaded in a cycle: 1, or 2 where U is at least 32.
    pipelined
        Registers behind the memories, and more on long ways, for families whose block RAM is slow against the rest.
    replay_words
        Depth of the replay memory, in words of max(16, U) bits: two batches' inputs, unless they lie apart, and hidden
        activations, for the updates.
    rank_words
        Depth of a lane's rank memory: hidden neurons below the last layer times passes.
    winner_words
        Depth of a column's winner memory: groups of all layers, results and labels, times passes.
    counter_words
        Depth of the counter memory, in words of U counters.
    weight_memory
        "multiplexed": a tile is read as it lies or transposed. "copied": layers above the first lie there twice, once
        transposed, which takes less logic where single bits can be written, as in the block RAM of the iCE40.
        "double_rate": copied as well, and read twice a cycle: elements and weights have a clock of twice the
        frequency, the domain `double`, and take two words a cycle where these need no mask. For arrays of one sample.
    counter_memory
        "block", or "spram" for the single-ported memory of the iCE40 UltraPlus. "spram_with_inputs": inputs lie there
        as well, once for the array, which reads them when the updates do not; else they are in the operand memory, for
        the array, and again in the replay memory, for the updates. For arrays of the double rate.
    program_words
        Depth of the program memory: the records of the sequencer and the prototypes.
    scan_ahead
        Rows that the search for updates may run ahead of the updates; 1 where the array has one sample.
    fan_in
        Widest layer, and most inputs, that the sums have room for.
    statistic_width
        Width of the statistics counters, which wrap.

    Raises
    ------
    ValueError
        A field is out of its range.
    """

    columns: int = 1
    lanes: int = 2
    rows: int = TILE
    update_lanes: int = 8
    counter_bits: int = 8
    tiles: int = 256
    operand_words: int = 256
    load_words: int = 1
    pipelined: bool = False
    replay_words: int = 1280
    rank_words: int = 1024
    winner_words: int = 256
    counter_words: int = 16384
    weight_memory: str = "multiplexed"
    counter_memory: str = "block"
    program_words: int = 256
    scan_ahead: int = 1
    fan_in: int = 1023
    statistic_width: int = 32

    def __post_init__(self):
        _check("columns", self.columns, 1, 32)
        _check("lanes", self.lanes, 1, 32)
        if self.rows not in (8, TILE):
            raise ValueError(f"rows must be 8 or {TILE}, not {self.rows!r}")
        if self.columns > 1 and self.lanes > 2:
            # Columns send their signs to the replay memory two cycles apart.
            raise ValueError(f"lanes must be at most 2 where there are several columns, not {self.lanes}")
        if self.update_lanes not in (8, 16, 32, 64, 128, 256):
            raise ValueError(f"update_lanes must be 8, 16, 32, 64, 128 or 256, not {self.update_lanes!r}")
        _check("load_words", self.load_words, 1, 2)
        if self.load_words > self.update_words:
            # They go to different parts of the replay memory.
            raise ValueError(f"load_words must be 1 where update_lanes is {self.update_lanes}, not {self.load_words}")
        _check("counter_bits", self.counter_bits, 5, 12)
        for name in ("tiles", "operand_words", "rank_words", "winner_words", "counter_words"):
            _check(name, getattr(self, name), 2, 1 << 16)
        _check("replay_words", self.replay_words, 2, MAX_BATCH << 8)  # a word's number has 8 bits
        _check("program_words", self.program_words, 64, 1024)
        _check("scan_ahead", self.scan_ahead, 1, 8)
        _check("fan_in", self.fan_in, 2, 4095)
        _check("statistic_width", self.statistic_width, 8, 32)
        if self.weight_memory not in ("multiplexed", "copied", "double_rate"):
            raise ValueError('weight_memory must be "multiplexed", "copied" or "double_rate", not '
                             f"{self.weight_memory!r}")
        if self.copied and (self.update_lanes != 8 or self.pipelined):
            raise ValueError(f'weight_memory "{self.weight_memory}" needs update_lanes=8 and pipelined=False, not '
                             f"{self.update_lanes} and {self.pipelined}")
        if self.double_rate and (self.samples > 1 or self.tiles > 256):
            # More tiles would need a choice between block RAMs, at that rate.
            raise ValueError('weight_memory "double_rate" needs an array of one sample and at most 256 tiles, not '
                             f"{self.samples} and {self.tiles}")
        if self.counter_memory not in ("block", "spram", "spram_with_inputs"):
            raise ValueError('counter_memory must be "block", "spram" or "spram_with_inputs", not '
                             f"{self.counter_memory!r}")
        if self.single_port and self.pipelined:
            raise ValueError(f'counter_memory "{self.counter_memory}" needs pipelined=False, not True: it has no '
                             "registers")
        width = 48 if self.inputs_apart else 64
        if self.single_port and self.update_lanes * self.counter_bits > width:
            raise ValueError(f'counter_memory "{self.counter_memory}" is {width} bits wide, not '
                             f"{self.update_lanes} counters of {self.counter_bits} bits")
        if self.inputs_apart and not self.double_rate:
            raise ValueError('counter_memory "spram_with_inputs" needs weight_memory "double_rate", not '
                             f'"{self.weight_memory}"')
        if self.inputs_apart and self.fan_in >= INPUT_WORDS * TILE:
            raise ValueError('counter_memory "spram_with_inputs" needs fan_in below '
                             f"{INPUT_WORDS * TILE}, not {self.fan_in}")
        if self.chained and self.scan_ahead > 1:
            # There are chains for the rows of one group, and for the row in work.
            raise ValueError(f"scan_ahead must be 1 where the array has one sample, not {self.scan_ahead}")

    @property
    def samples(self) -> int:
        """Samples in the array at once."""
        return self.columns * self.lanes

    @property
    def bit_ops(self) -> int:
        """XNOR-popcount bit operations per cycle."""
        return self.samples * self.rows * TILE * (2 if self.double_rate else 1)

    @property
    def classes(self) -> int:
        """Most classes."""
        return min(1 << MEMBER_BITS, self.fan_in)

    @property
    def chained(self) -> bool:
        """Whether the samples that update a row are kept as a chain, not as a mask."""
        return self.samples == 1

    @property
    def copied(self) -> bool:
        """Whether layers above the first lie twice in the weight memory, once transposed."""
        return self.weight_memory != "multiplexed"

    @property
    def double_rate(self) -> bool:
        """Whether elements and weights have a clock of twice the frequency."""
        return self.weight_memory == "double_rate"

    @property
    def word_rows(self) -> int:
        """Rows of a column that a word of the weight memory has, where it is `copied`: a tile's, of which the elements
        may read the half, or a block's, of two columns, where that takes fewer block RAMs."""
        return TILE if self.tiles > 128 else self.rows

    @property
    def single_port(self) -> bool:
        """Whether a read of the counter memory and a write exclude one another."""
        return self.counter_memory != "block"

    @property
    def inputs_apart(self) -> bool:
        """Whether the inputs have a memory of their own."""
        return self.counter_memory == "spram_with_inputs"

    @property
    def descending(self) -> bool:
        """Whether layers are updated from their last row to their first, and sums of the next batch in the first layer
        made in that order. For ties go to the lowest place: where layers are few groups, as those of many inputs are,
        most of the rows that win are among the first, and the array would wait for these."""
        return self.inputs_apart

    @property
    def sum_width(self) -> int:
        """Bits of a popcount total, 0 … fan_in."""
        return self.fan_in.bit_length()

    @property
    def row_words(self) -> int:
        """Most counter words in a row."""
        return -(-self.fan_in // self.update_lanes)

    @property
    def block_width(self) -> int:
        """Bits of a number of blocks."""
        return (-(-self.fan_in // self.rows)).bit_length()

    @property
    def tile_blocks(self) -> int:
        """Blocks that a tile has."""
        return TILE // self.rows

    @property
    def drain_rows(self) -> int:
        """Rows whose sums leave a processing element in a cycle: 2 also where one sample would wait for single ones."""
        return 2 if self.rows < TILE or self.samples == 1 else 1

    @property
    def update_words(self) -> int:
        """Tile words that one counter word covers; 1 also where it covers half a word."""
        return max(1, self.update_lanes // TILE)

    @property
    def paired_banks(self) -> int:
        """Banks of the weight memory, where it is "multiplexed", that lie side by side in one memory."""
        return min(2, TILE // self.update_words)

    @property
    def update_groups(self) -> int:
        """Groups of update lanes, each a cycle behind the one before."""
        return max(1, self.update_lanes // UPDATE_GROUP) if self.pipelined else 1

    @property
    def group_lanes(self) -> int:
        """Update lanes of a group."""
        return self.update_lanes // self.update_groups

    @property
    def passes(self) -> int:
        """Passes over the array that a full batch takes."""
        return -(-MAX_BATCH // self.samples)

    @property
    def pass_width(self) -> int:
        """Bits of a pass's number: the lowest bits of an address in the lanes' memories."""
        return (self.passes - 1).bit_length()

    @property
    def operand_offsets(self) -> int:
        """Pairs that a pass has in the operand memory."""
        return max(2, self.operand_words >> self.pass_width)

    @property
    def verdict_offsets(self) -> int:
        """Words that a pass has in the verdict memory."""
        return max(2, self.winner_words >> self.pass_width)

    @property
    def rank_blocks(self) -> int:
        """Blocks of 16 ranks that a pass has in the rank memory."""
        return max(2, self.rank_words // TILE >> self.pass_width)

    @property
    def read_latency(self) -> int:
        """Cycles from an address to its data, in a memory of a column."""
        return 2 if self.pipelined else 1

    @property
    def shared_latency(self) -> int:
        """The same, in one that all columns or many update lanes share: see `memory.SplitMemory`."""
        return 3 if self.pipelined else 1

    @property
    def tile_latency(self) -> int:
        """Cycles from a tile's address to the tile: with registers, a cycle more to choose it among the banks."""
        return self.shared_latency + (2 if self.pipelined else 1)

    @property
    def element_latency(self) -> int:
        """Cycles from a sum's last word to its first row's total: with registers, one more behind the XNOR; at the
        double rate that is half a cycle, and so are the others."""
        return 5 if self.pipelined else 3 if self.double_rate else 4

    @property
    def step_latency(self) -> int:
        """Cycles from a counter's address to its step: with registers, a cycle more to make ready what it needs."""
        return self.shared_latency + (1 if self.pipelined else 0)

    @property
    def bus_delay(self) -> int:
        """Cycles that control takes to the first column."""
        return 1 if self.pipelined else 0

    @property
    def reply_latency(self) -> int:
        """Cycles from a query to its answer."""
        return self.columns + 2 + self.bus_delay

    @property
    def rank_bits(self) -> int:
        """Bits of a stored rank: part of the rule."""
        return RANK_BITS

    @property
    def counter_bytes(self) -> int:
        """Bytes that carry a counter over the link."""
        return math.ceil(self.counter_bits / 8)

    def to_dict(self) -> dict:
        """JSON-ready fields, for build hashes and reports."""
        return asdict(self)


def _check(name: str, value: int, low: int, high: int) -> None:
    if not (isinstance(value, int) and low <= value <= high):
        raise ValueError(f"{name} must be an integer from {low} to {high}, not {value!r}")
