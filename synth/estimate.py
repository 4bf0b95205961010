"""Memory that an array takes on a device, before anything is synthesised."""

import dataclasses
from dataclasses import dataclass

from ..hw.config import MEMBER_BITS, TILE, ArrayConfig
from ..hw.link.config import LinkConfig
from ..hw.memory import split_depths
from ..hw.samples import LinkLayout
from ..hw.scan import QueueLayout
from ..hw.winners import VerdictLayout
from ..model.config import MAX_BATCH
from .boards import BOARDS, Board, Device

__all__ = ["BlockUse", "MemoryShape", "block_ram", "check_memory", "memories", "memory_use"]

SPRAM_WIDTH, SPRAM_DEPTH = 16, 16384

LUT_RAM_COST, BLOCK_COST = 6, 128
"""Of 16 × 4 bits in LUTs with their share of multiplexers, and of a block, in Yosys' choice between them."""


@dataclass(frozen=True, kw_only=True)
class BlockShapes:
    """What a family's block RAM can be.

    Parameters
    ----------
    wide
        Widths and depths that write each `part` of a word on its own.
    narrow
        Widths and depths that write whole words.
    part
        Bits that share a write enable in `wide`.
    or_luts
        Whether small memories go to LUTs instead.
    """

    wide: tuple[tuple[int, int], ...]
    narrow: tuple[tuple[int, int], ...]
    part: int
    or_luts: bool


BLOCK_SHAPES = {
    "ice40": BlockShapes(wide=((16, 256),), narrow=((8, 512), (4, 1024), (2, 2048)), part=1, or_luts=False),
    "ecp5": BlockShapes(wide=((36, 512), (18, 1024), (9, 2048)), narrow=((4, 4096), (2, 8192), (1, 16384)), part=9,
                        or_luts=True),
}


@dataclass(frozen=True, kw_only=True)
class MemoryShape:
    """A memory with one read and one write port.

    Parameters
    ----------
    name
        Path in the core.
    width, depth
        Bits and words.
    granularity
        Bits that are written on their own; None for whole words.
    count
        How many there are.
    """

    name: str
    width: int
    depth: int
    granularity: int | None = None
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class BlockUse:
    """Blocks that memories take."""

    block_ram: int
    spram: int


def memories(config: ArrayConfig, link: LinkConfig) -> list[MemoryShape]:
    """Every memory of the core and its link."""
    lanes, verdict = config.lanes, VerdictLayout.size
    weights = [MemoryShape(
        name="weights", width=TILE, depth=config.tiles * TILE // config.word_rows, granularity=1,
        count=config.word_rows)] if config.copied else [MemoryShape(
            name="weights", width=TILE * config.paired_banks, depth=depth, granularity=min(TILE, config.update_lanes),
            count=TILE // config.paired_banks) for depth in split_depths(config.tiles)]
    found = [
        *weights,
        MemoryShape(name="operands", width=TILE * lanes, depth=config.operand_words, granularity=config.rows,
                    count=2 * config.columns),
        MemoryShape(name="ranks", width=config.rank_bits * config.drain_rows * lanes,
                    depth=config.rank_words // config.drain_rows, count=config.columns),
        MemoryShape(name="verdicts", width=verdict * lanes, depth=config.winner_words, granularity=verdict,
                    count=config.columns),
        *(MemoryShape(name="replay", width=TILE, depth=depth, granularity=config.rows, count=config.update_words)
          for depth in split_depths(config.replay_words)),
        MemoryShape(name="program", width=TILE, depth=config.program_words),
        MemoryShape(name="packets", width=8, depth=2 * link.buffer_bytes),
    ]
    if config.scan_ahead > 1:
        found.append(MemoryShape(name="rows", width=QueueLayout(config).size, depth=config.scan_ahead - 1))
    if config.chained:
        found += [MemoryShape(name="heads", width=LinkLayout.size + 1, depth=1 << MEMBER_BITS),
                  MemoryShape(name="links", width=LinkLayout.size + 1, depth=2 * MAX_BATCH)]
    if config.inputs_apart:
        found.append(MemoryShape(name="fetched", width=TILE, depth=4 * MAX_BATCH, granularity=1))
    if config.counter_memory == "block":
        found += [MemoryShape(name="counters", width=config.group_lanes * config.counter_bits, depth=depth,
                              count=config.update_groups) for depth in split_depths(config.counter_words)]
    return found


def block_ram(memory: MemoryShape, family: str) -> int:
    """Block RAMs that one such memory takes in `family`, or 0 where it goes to LUTs."""
    shapes = BLOCK_SHAPES[family]
    # The widest shapes write parts of a word on their own, and so hold parts of several rows of words side by side.
    part, wide = shapes.part, shapes.wide
    unit = memory.granularity or memory.width
    parts = memory.width // unit * _ceil(unit, part)
    options = [_ceil(parts * _ceil(memory.depth, depth), width // part) for width, depth in wide]
    options += [memory.width // unit * _ceil(unit, width) * _ceil(memory.depth, depth)
                for width, depth in shapes.narrow]
    blocks = min(options)
    in_luts = _ceil(memory.width, 4) * _ceil(memory.depth, 16)
    return 0 if shapes.or_luts and in_luts * LUT_RAM_COST <= blocks * BLOCK_COST else blocks


def memory_use(config: ArrayConfig, link: LinkConfig, family: str) -> BlockUse:
    """Blocks that the core and its link take.

    Raises
    ------
    ValueError
        Single-ported memory is asked for on a family without.
    """
    spram = 0
    if config.single_port:
        if family != "ice40":
            raise ValueError(f'counter_memory "{config.counter_memory}" exists on the iCE40 UltraPlus only')
        spram = (_ceil(config.update_lanes * config.counter_bits, SPRAM_WIDTH)
                 * _ceil(config.counter_words, SPRAM_DEPTH)) + config.inputs_apart
    return BlockUse(
        block_ram=sum(memory.count * block_ram(memory, family) for memory in memories(config, link)), spram=spram)


def check_memory(board: Board) -> None:
    """See that the board's configuration fits its memory.

    Raises
    ------
    ValueError
        It does not; the message says what takes how much, and what would fit.
    """
    device, config = board.device, board.config
    if _fits(board, config, device):
        return
    use = memory_use(config, board.link, device.family)
    lines = [f"{board.title} ({device.name}) cannot hold this configuration: it takes {use.block_ram} block RAMs of "
             f"{device.block_ram}" + (f" and {use.spram} single-ported RAMs of {device.spram}" if use.spram else "")]
    lines += [f"  {memory.name}: {memory.count} × {memory.width} bits × {memory.depth} words, block RAMs: "
              f"{memory.count * block_ram(memory, device.family)}"
              for memory in sorted(memories(config, board.link),
                                   key=lambda memory: -memory.count * block_ram(memory, device.family))]
    would = [f"{name}={value}" for name, value in _smaller(board)]
    if would:
        lines.append(f"What would fit: {', or '.join(would)}")
    others = [other.name for other in BOARDS.values()
              if other.device != device and _fits(other, config, other.device)]
    if others:
        lines.append(f"Boards that it fits: {', '.join(others)}")
    raise ValueError("\n".join(lines))


def _fits(board: Board, config: ArrayConfig, device: Device) -> bool:
    try:
        use = memory_use(config, board.link, device.family)
    except ValueError:
        return False
    return use.block_ram <= device.block_ram and use.spram <= device.spram


def _smaller(board: Board):
    # Each field on its own, halved until it fits.
    for name in ("counter_words", "tiles", "operand_words", "replay_words", "rank_words", "columns", "lanes"):
        value = getattr(board.config, name)
        while value > 1:
            value //= 2
            try:
                config = dataclasses.replace(board.config, **{name: value})
            except ValueError:
                break
            if _fits(board, config, board.device):
                yield name, value
                break
    if board.device.spram and board.config.counter_memory == "block":
        try:
            config = dataclasses.replace(board.config, counter_memory="spram")
        except ValueError:
            return
        if _fits(board, config, board.device):
            yield "counter_memory", '"spram"'


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)
