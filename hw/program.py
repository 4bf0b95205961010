"""Programs: what the host writes into the program memory to describe a network to the core.

The program memory holds, in 16-bit words: the loader's record at address 0; the layers for the updater, then the
classifier, at multiples of 16; the phases of a batch, in order; the prototypes. One record is a few
words; a field marked *buffered* may carry bit 15, which asks for the second of two buffers on every other batch.

Within a lane's memories each pass has a frame of equal size. The passes' frames alternate, word for word, so that an
address is an offset in the frame and, in its lowest bits, the pass:

    operand memory (pairs of words)  a_0 (twice if it fits) | a_1 … a_L | for l = 2 … L: a*_l and gate, paired
    rank memory                      one rank for each neuron of layers 1 … L-1
    verdict memory                   one for each group of layers 1 … L | result | label (twice if it fits)
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..model.config import MAX_BATCH, NetworkConfig
from .config import MEMBER_BITS, TILE, ArrayConfig

__all__ = ["BUFFERED", "CapacityError", "Field", "LAYER", "LOADER", "PHASE", "Program", "compile_network", "encode",
           "positions", "record_words", "sample_beats"]

BUFFERED = 1 << 15
"""Bit of a buffered field: on odd batches its `buffer` is added to it."""


class Field(NamedTuple):
    """A field of a record: its width, and what is added to a buffered one on odd batches.

    `buffer` is "" for a field that is not buffered, else "one" or the name of another field of the loader's record.
    """

    width: int
    buffer: str = ""


LOADER = {
    "stride": Field(15), "double": Field(1), "target_words": Field(8), "prototypes": Field(10),
    "prototype_shift": Field(4), "replay_stride": Field(8), "replay_region": Field(8, "replay_stride"),
    "inputs": Field(15, "stride"), "targets": Field(15, "stride"), "label": Field(12, "one"), "first_phase": Field(10),
}
"""Fields of the loader's record and their widths.

stride, replay_stride
    Added on odd batches to buffered operand offsets and to the inputs' replay region.
double
    The next batch may be loaded while this one is in the array.
target_words, prototypes, prototype_shift
    Words of a prototype, address of class 0's, and log2 of the distance between classes.
inputs, targets, label
    Offsets in the frames.
first_phase
    Address of the first phase's record.
"""

SLOT = 16
"""Layers' records lie at multiples of this address."""

SLOTS = 16
"""Such multiples that a row transfer can name."""

PHASE = {
    "backward": Field(1), "classify": Field(1), "select": Field(1), "rank_write": Field(1), "rank_shift": Field(2),
    "paired": Field(1), "keep_value": Field(1), "keep_paired": Field(1), "keep_gate": Field(1), "write_value": Field(1),
    "write_paired": Field(1), "write_gate": Field(1), "replay": Field(1), "follows": Field(4), "tile": Field(12),
    "tile_word_step": Field(12), "tile_block_step": Field(12), "words": Field(8), "blocks": Field(8), "part": Field(8),
    "last_rows": Field(4), "tail": Field(16), "gate": Field(12), "operand": Field(15, "stride"),
    "keep_value_offset": Field(15, "stride"), "pair_offset": Field(15, "stride"), "write_offset": Field(15, "stride"),
    "rank": Field(12), "group": Field(6), "verdict": Field(12), "label": Field(12, "one"), "pace": Field(8),
    "replay_region": Field(8, "replay_stride"), "next": Field(10), "end_infer": Field(1), "end": Field(1),
}
"""Fields of a phase of the array. Counts and sizes are one less than they say (`words`, `blocks`, `part`,
`last_rows`, `group`), `pace`, the least cycles from job to job, is two less. At the double rate `words` are pairs, of
words or of value and mask, and bit 0 says whether the last pair of words is a whole one.

backward, classify, select, rank_write, rank_shift, tail, gate
    See `lane.PhaseLayout`. Backward takes tiles transposed.
blocks, part, last_rows
    Blocks are as high as the processing elements; the last one has `last_rows`.
group
    Where the layer is one group, an even number: a pair of rows that goes beyond its end is no other group's.
part
    Blocks that every pass takes before the next ones begin: a power of two. Where winners are selected, a part is a
    group; or there is but one part, if groups are no such parts.
rank
    In tiles' heights.
follows
    Slot of the layer whose tiles the phase reads: a block of its rows waits until the updater has left it. 0: no wait.
paired
    Operands are pairs of value and mask.
keep_value, keep_paired, keep_gate
    Read the lanes' auxiliary value at `keep_value_offset` (as a pair, or as one of two words), their gate at
    `pair_offset`.
write_value, write_paired, write_gate
    Write signs at `write_offset` (as first of a pair, or as one of two words), gates at `pair_offset`.
replay, replay_region
    Copy the signs to the replay memory.
end, end_infer
    Last phase of a batch; of a batch that does not learn.
"""

ONE_PART = 255
"""As `part`: all blocks."""

LAYER = {
    "last": Field(1), "counter": Field(16), "words": Field(12), "tile": Field(12),
    "tile_block_step": Field(12), "copy": Field(12), "rows": Field(12), "group": Field(6), "verdict": Field(12),
    "replay_region": Field(8, "replay_stride"), "tail": Field(9), "reinforce": Field(1), "reinforce_mask": Field(8),
}
"""Fields of a layer for the updater; `words`, `rows`, `group` are one less than they say.

last
    The last layer to be updated.
counter, words
    First word in the counter memory, words a row.
tile_block_step
    Negative, modulo the weight memory's depth, with `config.descending`. Then `counter`, `tile`, `rows` and `verdict`
    are the last row's, of a last group with as many members as the others. Likewise `tile` and `tile_block_step` of the
    first layer's sums, unless winners are selected there.
replay_region
    Where the layer's inputs lie in the replay memory, in units of 32 words.
copy
    Distance in tiles to the layer's transposed copy; 0 if it has none.
tail
    Counters in use in a row's last word.
reinforce, reinforce_mask
    Whether to reinforce, and R - 1.
"""


class CapacityError(ValueError):
    """The network does not fit the array; the message names the memory, what it would need and what there is."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A network, compiled for an array.

    words
        uint16 contents of the program memory.
    slots
        What `i_row.layer` must be for each layer, first to last, then for the classifier.
    row_words
        Counter words in a row of each layer, then of the classifier.
    sample_words
        16-bit words of a sample as `pack` has them, label included.
    """

    network: NetworkConfig
    array: ArrayConfig
    words: np.ndarray
    slots: tuple[int, ...]
    row_words: tuple[int, ...]
    sample_words: int

    @property
    def sample_beats(self) -> int:
        """Items that a sample is, as `beats` has them."""
        return (self.sample_words - 1) // self.array.load_words + 1

    def pack(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Samples as the core takes them: uint16 `(n, sample_words)` of ±1 `inputs` `(n, K_0)` and `labels` `(n,)`."""
        words = np.zeros((len(inputs), self.sample_words), dtype=np.uint16)
        packed = pack_words(inputs)
        words[:, :packed.shape[1]] = packed
        words[:, -1] = labels
        return words

    def beats(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The same as `sample_beats` has it."""
        return sample_beats(self.pack(inputs, labels), self.array)


def sample_beats(samples: np.ndarray, array: ArrayConfig) -> np.ndarray:
    """Packed samples as the items of `ports.CoreSignature.i_sample`, `last` left out: uint32 `(n, items a sample)`."""
    inputs, labels = samples[:, :-1], samples[:, -1:]
    if array.load_words == 2:
        inputs = np.ascontiguousarray(inputs, dtype="<u2").view("<u4")
    return np.concatenate([inputs, labels], axis=1).astype(np.uint32)


def pack_words(values: np.ndarray) -> np.ndarray:
    """±1 values `(n, K)` in 16-bit words `(n, ceil(K/16))`, +1 as 1, the first value in bit 0, padding 0."""
    bits = np.zeros((len(values), -(-values.shape[1] // TILE) * TILE), dtype=np.uint8)
    bits[:, :values.shape[1]] = values > 0
    return np.packbits(bits, axis=1, bitorder="little").view("<u2")


def encode(layout: dict[str, Field], **values: int) -> list[int]:
    """A record's words, as `positions` lays them out.

    Raises CapacityError for a value that does not fit its field.
    """
    words = [0] * record_words(layout)
    for name, (word, bit) in positions(layout).items():
        value, field = int(values.pop(name)), layout[name]
        limit = (1 << field.width) - 1
        if not 0 <= (value & ~BUFFERED if field.buffer else value) <= limit:
            raise CapacityError(f"the network needs {name} = {value}, and its field ends at {limit}")
        words[word] |= value << bit
    if values:
        raise TypeError(f"no such fields: {', '.join(values)}")
    return words


def positions(layout: dict[str, Field]) -> dict[str, tuple[int, int]]:
    """Word and first bit of each field in a record: the widest first, each in the first word with room for it.

    A buffered field has a word of its own, and comes after the others, one of which may be its buffer.
    """
    places, used = {}, []
    for name, field in sorted(layout.items(), key=lambda item: (item[1].buffer != "", -item[1].width)):
        width = 16 if field.buffer else field.width
        word = next((number for number, bits in enumerate(used) if bits + width <= 16), len(used))
        if word == len(used):
            used.append(0)
        places[name] = word, used[word]
        used[word] += width
    return places


def record_words(layout: dict[str, Field]) -> int:
    """Words of a record."""
    return 1 + max(word for word, _ in positions(layout).values())


def compile_network(network: NetworkConfig, classifier: np.ndarray, array: ArrayConfig) -> Program:
    """The program of `network` with ±1 `classifier` (C, K_L) for `array`.

    Raises CapacityError when the network does not fit, with the memory that is too small.
    """
    widths, depth, classes = network.layers, network.depth, network.classes
    words = [-(-width // TILE) for width in widths]
    if network.counter_bits != array.counter_bits:
        raise CapacityError(f"counter_bits is {array.counter_bits} in this array, not {network.counter_bits}")
    _fits("layers", depth, SLOTS - 2)  # slot 0 is the loader's, the last one the classifier's
    _fits("fan_in", max(widths), array.fan_in)
    _fits("classes", classes, array.classes)
    _fits("groups", max(network.groups), 1 << MEMBER_BITS)
    _fits("margin", network.margin, (1 << array.sum_width) - 1)

    # Tiles: rows of a block lie together, each row padded to whole write words, and to what is read in a cycle.
    together = 2 if array.double_rate else 1
    unit = max(array.update_words, together)
    pitch = [-(-count // unit) * unit for count in words]
    heights = words[1:] + [-(-classes // TILE)]
    tiles, total = [], 0
    for count, step in zip(heights, pitch, strict=True):
        tiles.append(total)
        total += count * step
    # Where tiles cannot be read transposed, the layers with votes lie there once more.
    copy = total - tiles[1] if array.copied and depth > 1 else 0
    _fits("tiles", total + (tiles[depth] - tiles[1] if copy else 0), array.tiles)

    # Counters, row after row; the classifier's follow, so that its rows can be written like any others.
    lanes = array.update_lanes
    row_words = [-(-width // lanes) for width in widths]
    counters, total = [], 0
    for rows, count in zip(widths[1:] + (classes,), row_words, strict=True):
        counters.append(total)
        total += rows * count
    _fits("counter_words", total, array.counter_words)

    # Replay: word by word, 32 samples each; twice, since the array begins a batch while the last is being updated.
    entries = [-(-count // array.update_words) for count in words[:-1]]
    if array.inputs_apart:
        entries[0] = 0
    replay = [sum(entries[:layer]) for layer in range(depth)]
    regions = sum(entries)
    input_region = 0 if array.inputs_apart else BUFFERED
    _fits("replay_words", 2 * regions * MAX_BATCH, array.replay_words)

    # Frames of a pass.
    frames = 1 << array.pass_width
    inputs_pairs = 0 if array.inputs_apart else -(-words[0] // 2)
    fixed, activations, pairs = 0, [], []
    for count in words[1:]:
        activations.append(fixed)
        fixed += -(-count // 2)
    for count in words[2:]:
        pairs.append(fixed)
        fixed += count
    if depth == 1:
        pairs.append(fixed)
        fixed += words[1]
    target_pairs = words[-1]
    fixed -= target_pairs
    group_counts = [-(-width // group) for width, group in zip(widths[1:], network.groups, strict=True)]
    verdicts = [sum(group_counts[:layer]) for layer in range(depth)]
    result = sum(group_counts)
    buffers = 2 if (frames * (fixed + 2 * (inputs_pairs + target_pairs)) <= array.operand_words
                    and frames * (result + 3) <= array.winner_words) else 1
    stride = (inputs_pairs + target_pairs) if buffers == 2 else 0
    frame = fixed + buffers * (inputs_pairs + target_pairs)
    _fits("operand_words", frames * frame, array.operand_words)
    _fits("winner_words", frames * (result + 1 + buffers), array.winner_words)
    buffered = BUFFERED if buffers == 2 else 0
    inputs_offset = 0 if array.inputs_apart else fixed | buffered
    pairs[-1] = (fixed + inputs_pairs) | buffered
    ranks = [sum(words[1:layer + 1]) for layer in range(depth - 1)]
    _fits("rank_words", frames * sum(words[1:depth]) * TILE, array.rank_words)

    blocks = [-(-width // array.rows) for width in widths]
    # Cycles from job to job, for a block's sums to leave: by pairs, if no pair can be of two groups, or else one by
    # one. What is kept of a job is, until they come.
    fast = max(array.rows // array.drain_rows, array.read_latency + array.element_latency)
    places, drains = [], []
    for group, count in zip(network.groups, group_counts, strict=True):
        places.append(group - 1 | (count == 1 and array.drain_rows == 2))
        drains.append(array.rows if group % 2 and count > 1 else fast)
    plain = dict.fromkeys(PHASE, 0)
    phases = []
    for layer in range(depth):
        last = layer == depth - 1
        phases.append(plain | {
            "select": last, "rank_write": not last, "rank_shift": network.rank_shifts[layer],
            "part": _part(network.groups[layer], array) if last else 0, "follows": layer + 1,
            "keep_value": last, "keep_paired": last, "keep_value_offset": pairs[-1] if last else 0,
            "write_value": 1, "write_offset": activations[layer],
            "write_gate": layer > 0, "pair_offset": pairs[layer - 1] if layer > 0 else 0,
            "replay": not last, "replay_region": 0 if last else replay[layer + 1] | BUFFERED,
            "tile": tiles[layer], "tile_word_step": together, "tile_block_step": pitch[layer],
            "words": words[layer] - 1, "blocks": blocks[layer + 1] - 1,
            "last_rows": (widths[layer + 1] - 1) % array.rows, "tail": _tail(widths[layer]),
            "gate": network.gates[layer],
            "operand": inputs_offset if layer == 0 else activations[layer - 1],
            "rank": 0 if last else ranks[layer], "group": places[layer], "verdict": verdicts[layer],
            "pace": max(drains[layer] if last else fast, 2 * array.columns) - 2,
        })
    phases.append(plain | {
        "classify": 1, "part": ONE_PART, "tile": tiles[depth], "tile_word_step": together,
        "tile_block_step": pitch[depth],
        "words": words[depth] - 1, "blocks": -(-classes // array.rows) - 1, "last_rows": (classes - 1) % array.rows,
        "tail": _tail(widths[depth]), "gate": network.margin, "operand": activations[depth - 1],
        "group": classes - 1, "verdict": result, "label": (result + 1) | buffered,
        # Logits of one sample do not follow at once those of another: the trigger takes the label a cycle late.
        "pace": max(array.rows + (classes % array.rows == 0), 2 * array.columns) - 2, "end_infer": 1,
    })
    for layer in range(depth - 1, 0, -1):  # votes of layer + 1 for layer, numbered from 1
        phases.append(plain | {
            "backward": 1, "select": 1, "part": _part(network.groups[layer - 1], array), "paired": 1,
            "keep_value": 1, "keep_value_offset": activations[layer - 1],
            "keep_gate": layer > 1, "write_value": layer > 1, "write_paired": 1, "write_gate": layer > 1,
            "pair_offset": pairs[layer - 2] if layer > 1 else 0, "write_offset": pairs[layer - 2] if layer > 1 else 0,
            "tile": tiles[layer] + copy, "tile_word_step": pitch[layer], "tile_block_step": 1,
            "words": words[layer + 1] - 1, "tail": _tail(widths[layer + 1]), "blocks": blocks[layer] - 1,
            "last_rows": (widths[layer] - 1) % array.rows, "operand": pairs[layer - 1], "rank": ranks[layer - 1],
            "group": places[layer - 1],
            "verdict": verdicts[layer - 1], "pace": max(drains[layer - 1], 2 * array.columns) - 2,
        })
    phases[-1]["end"] = 1
    if phases[-1]["classify"]:
        phases[-1]["end_infer"] = 1

    if array.descending and depth > 1:
        phases[0] |= _from_the_end(phases[0], phases[0]["blocks"] // array.tile_blocks, array)
    if array.double_rate:
        for phase in phases:
            phase["words"] = phase["words"] << 1 if phase["paired"] else phase["words"]
    first_phase = SLOT * (depth + 2)
    prototypes = first_phase + len(phases) * record_words(PHASE)
    prototype_shift = math.ceil(math.log2(words[-1]))
    _fits("program_words", prototypes + (classes << prototype_shift), array.program_words)

    memory = encode(
        LOADER, stride=stride, double=buffers == 2, target_words=words[-1] - 1, prototypes=prototypes,
        prototype_shift=prototype_shift, replay_stride=regions, replay_region=input_region, inputs=inputs_offset,
        targets=pairs[-1], label=(result + 1) | buffered, first_phase=first_phase)
    for layer in range(depth + 1):
        trained = layer < depth
        memory += [0] * (-len(memory) % SLOT)
        record = {
            "last": layer == depth - 1, "counter": counters[layer], "words": row_words[layer] - 1,
            "tile": tiles[layer], "tile_block_step": pitch[layer], "copy": copy if 0 < layer < depth else 0,
            "rows": (widths[layer + 1] if trained else classes) - 1,
            "group": network.groups[layer] - 1 if trained else 0, "verdict": verdicts[layer] if trained else 0,
            "replay_region": (replay[layer] | BUFFERED if layer else input_region) if trained else 0,
            "tail": (widths[layer] - 1) % lanes + 1, "reinforce": network.reinforcement > 0,
            "reinforce_mask": max(0, network.reinforcement - 1)}
        if array.descending:
            # A last group that has fewer members is descended from where it would have as many: nobody won there.
            last = -(-(record["rows"] + 1) // (record["group"] + 1)) * (record["group"] + 1) - 1
            _fits("rows", last, (1 << array.sum_width) - 1)
            record |= _from_the_end(record, last // TILE, array) | {
                "rows": last, "counter": (counters[layer] + last * row_words[layer]) % _span(array.counter_words),
                "verdict": record["verdict"] + (group_counts[layer] - 1 if trained else 0)}
        memory += encode(LAYER, **record)
    memory += [0] * (-len(memory) % SLOT)
    for number, phase in enumerate(phases):
        phase["next"] = first_phase + (number + 1) * record_words(PHASE)
        memory += encode(PHASE, **phase)
    table = np.zeros((classes, 1 << prototype_shift), dtype=np.uint16)
    table[:, :words[-1]] = pack_words(classifier)
    memory += table.ravel().tolist()
    return Program(
        network=network, array=array, words=np.array(memory, dtype=np.uint16), slots=tuple(range(1, depth + 2)),
        row_words=tuple(row_words), sample_words=-(-words[0] // array.load_words) * array.load_words + 1)


def _tail(width: int) -> int:
    return (1 << ((width - 1) % TILE + 1)) - 1


def _span(depth: int) -> int:
    """What the addresses of a memory wrap at."""
    return 1 << (depth - 1).bit_length()


def _from_the_end(record: dict[str, int], steps: int, array: ArrayConfig) -> dict[str, int]:
    """What of a record changes where its tiles are gone through from the one that is `steps` steps after the first."""
    step = record["tile_block_step"]
    return {"tile": (record["tile"] + steps * step) % _span(array.tiles),
            "tile_block_step": -step % _span(array.tiles)}


def _part(group: int, array: ArrayConfig) -> int:
    blocks, rest = divmod(group, array.rows)
    return blocks - 1 if not rest and blocks.bit_count() == 1 else ONE_PART


def _fits(name: str, needed: int, available: int) -> None:
    if needed > available:
        raise CapacityError(f"the network needs {name} = {needed}, and this array has {available}")
