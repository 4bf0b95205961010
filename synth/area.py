"""Look-up tables that an array takes, before anything is synthesised: a sum over its blocks.

Each block's are a few numbers of the configuration, times coefficients fitted to netlists (see `calibrate`).
"""

import functools
import json
import re
from pathlib import Path

from ..hw.config import ArrayConfig
from ..hw.link.config import LinkConfig
from .estimate import block_ram, memories

__all__ = ["AREA_FILE", "BLOCKS", "PLACED", "array_luts", "block_luts", "features"]

AREA_FILE = Path(__file__).parent / "area.json"
"""Coefficients and the counts they come from; written by `python -m bitprop.synth.calibrate`."""

PLACED = {"ice40": 1.03, "ecp5": 1.03}
"""LUTs placed for each one counted in a netlist: carry chains begin and end in cells of their own."""

CELLS = {
    "ice40": {"lut4": 1, "lone_flip_flop": 1},
    "ecp5": {"lut4": 1, "carry": 2, "lut_ram": 6},
}
"""LUTs that a cell of a netlist takes."""

LUT_RAM_BLOCKS = {"weights": "columns", "operands": "columns", "ranks": "columns", "verdicts": "columns",
                  "rows": "search", "heads": "search", "links": "search",
                  "replay": "replay", "fetched": "replay", "program": "rest", "packets": "link", "counters": "update"}
"""Where `estimate.memories` are, where they are too small for block RAM."""


def features(config: ArrayConfig, link: LinkConfig, family: str) -> dict[str, dict[str, float]]:
    """What each block's LUTs are proportional to."""
    columns, samples, lanes = config.columns, config.samples, config.update_lanes
    words, copied = config.update_words, config.copied
    search = "chained" if config.chained else "masked"
    found = {
        "elements": {"row of a sample": samples * config.rows, "sample": samples},
        "columns": {"sample": samples, "column": columns, "copied" if copied else "multiplexed": 1,
                    "word together": 0 if copied else config.rows * (words - 1)},
        "lane": {"sample": samples, "bit of a sum": samples * config.drain_rows * config.sum_width},
        "replay": {"memory": 1, "word together": words, "inputs": int(config.inputs_apart)},
        "update": {"counter": lanes, "bit of a counter": lanes * config.counter_bits, "updater": 1},
        "search": {search: 1, "sample": 0 if config.chained else samples},
        "results": {search: 1, "sample": samples},
        "sequencer": {"sequencer": 1, "pipelined": int(config.pipelined)},
        "loader": {"loader": 1},
        "rest": {"rest": 1, "sample": samples},
        "link": {"link": 1},
    }
    for memory in memories(config, link):
        if not block_ram(memory, family):
            cells = memory.count * -(-memory.width // 4) * -(-memory.depth // 16)
            block = found[LUT_RAM_BLOCKS[memory.name]]
            block["LUT RAM"] = block.get("LUT RAM", 0) + cells
    return found


BLOCKS = ("elements", "columns", "lane", "replay", "update", "search", "results", "sequencer", "loader", "rest", "link")
"""Names of the blocks; together they are the whole design."""

INSTANCES = {
    r"system\.core\.column_\d+\.element": "elements", r"system\.core\.column_\d+\.lane_\d+": "lane",
    r"system\.core\.column_\d+": "columns", r"system\.core\.weights": "columns",
    r"system\.core\.(replay|inputs)": "replay",
    r"system\.core\.updater": "update", r"system\.core\.updater\.(scan|samples)": "search",
    r"system\.core\.results": "results", r"system\.core\.sequencer": "sequencer", r"system\.core\.loader": "loader",
    r"system\.link": "link", "": "rest",
}
"""Where the blocks are in the hierarchy of a netlist; each without those within it that are named too. Weight memory
and columns are one: without registers between them, synthesis puts the tiles' multiplexers into either."""


def block_luts(cells: dict[str, dict[str, int]], family: str) -> dict[str, float]:
    """LUTs by block, of the cells that `netlist.cells_by_block` counts in a whole design."""
    found = dict.fromkeys(BLOCKS, 0.0)
    for path, counts in cells.items():
        luts = sum(cost * counts.get(kind, 0) for kind, cost in CELLS[family].items())
        name = _block(path)
        if name is None:
            continue
        found[name] += luts
        # What is counted here is counted in the blocks around it as well.
        outer = path
        while outer:
            outer = outer.rpartition(".")[0]
            if (around := _block(outer)) is not None:
                found[around] -= luts
                break
    return found


def _block(path: str) -> str | None:
    plain = re.sub(r"\$\d+", "", path)
    return next((name for pattern, name in INSTANCES.items() if re.fullmatch(pattern, plain)), None)


@functools.cache
def _coefficients() -> dict[str, dict[str, dict[str, float]]]:
    return json.loads(AREA_FILE.read_text())["coefficients"]


def array_luts(config: ArrayConfig, link: LinkConfig, family: str) -> dict[str, float]:
    """LUTs of each block of the design with that array, as placed."""
    fitted = _coefficients()[family]
    return {block: PLACED[family] * sum(fitted[block].get(name, 0.0) * value for name, value in row.items())
            for block, row in features(config, link, family).items()}
