"""Fits the estimate of look-up tables to netlists: `python -m bitprop.synth.calibrate`.

To be run again when the gateware's logic has changed. It synthesises the presets and some shapes between and beside
them (a minute or two each, kept in build/synth), counts their cells by block, and writes `area.json`.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..hw.config import ArrayConfig
from ..hw.link.config import LinkConfig
from .area import AREA_FILE, BLOCKS, block_luts, features
from .boards import BOARDS, Board
from .build import find_build, synthesise
from .netlist import cells_by_block, top_module
from .top import Top

__all__ = ["SHAPES", "calibrate", "shaped"]

SHAPES = {
    "hx8k": {
        "ice40-bits": {"columns": 1, "lanes": 1, "update_lanes": 8, "counter_bits": 6, "rows": 8, "fan_in": 255,
                       "tiles": 64, "counter_words": 512, "weight_memory": "copied"},
        "ice40-lanes": {"columns": 1, "lanes": 2, "update_lanes": 8, "tiles": 64, "counter_words": 512},
        "ice40-wide": {"columns": 1, "lanes": 1, "update_lanes": 16, "tiles": 64, "counter_words": 512},
        "ice40-columns": {"columns": 2, "lanes": 2, "rows": 8, "update_lanes": 8, "counter_bits": 5, "tiles": 64,
                          "counter_words": 512, "weight_memory": "copied"},
    },
    "ulx3s-85f": {
        "ecp5-small": {"columns": 1, "lanes": 1, "rows": 8, "update_lanes": 8, "tiles": 64, "counter_words": 512},
        "ecp5-narrow": {"columns": 2, "lanes": 1, "update_lanes": 16, "counter_words": 1024, "pipelined": True},
        "ecp5-lanes": {"columns": 1, "lanes": 4, "update_lanes": 32, "counter_bits": 6, "counter_words": 1024},
    },
}
"""Fields of the arrays that are synthesised beside the presets, by the board whose tools' options they take."""


def shaped(board: Board, config: ArrayConfig) -> Board:
    """The board with another array on it."""
    return dataclasses.replace(board, config=config)


def arrays() -> Iterator[tuple[str, Board]]:
    """All that is synthesised."""
    yield from BOARDS.items()
    for board, shapes in SHAPES.items():
        for name, fields in shapes.items():
            yield name, shaped(BOARDS[board], ArrayConfig(**fields))


def calibrate() -> dict:
    """The contents of `area.json`: LUTs by block as counted, of presets that have been placed also the placed ones, and
    the coefficients that come nearest to what was counted.

    Every error counts by its part of the whole array's LUTs; no coefficient is below zero.
    """
    counted = {}
    for name, board in arrays():
        print(f"{name}: synthesise", file=sys.stderr)
        # Shapes need not fit the device, so its memory is not checked.
        netlist = synthesise(board, top=Top(board))
        counted[name] = {
            "family": board.device.family, "config": board.config.to_dict(), "link": dataclasses.asdict(board.link),
            "luts": block_luts(cells_by_block(top_module(json.loads(netlist.read_text()))), board.device.family)}
        if name in BOARDS and (report := find_build(board)):
            counted[name]["placed"] = report.uses["lut4"].used
    return {"coefficients": fit(counted), "counted": counted}


def fit(counted: dict) -> dict[str, dict[str, dict[str, float]]]:
    """Coefficients by family, block and feature."""
    return {family: {block: _fit(block, family, counted) for block in BLOCKS} for family in ("ice40", "ecp5")}


def _fit(block: str, family: str, counted: dict) -> dict[str, float]:
    from scipy.optimize import nnls

    shapes = [shape for shape in counted.values() if shape["family"] == family]
    rows = [features(ArrayConfig(**shape["config"]), LinkConfig(**shape["link"]), family)[block] for shape in shapes]
    names = sorted({name for row in rows for name in row})
    weights = np.array([1 / sum(shape["luts"].values()) for shape in shapes])
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows]) * weights[:, None]
    target = np.array([shape["luts"].get(block, 0) for shape in shapes]) * weights
    solution, _ = nnls(matrix, target)
    return {name: round(float(value), 3) for name, value in zip(names, solution, strict=True)}


if __name__ == "__main__":
    result = calibrate()
    Path(AREA_FILE).write_text(json.dumps(result, indent=1) + "\n")
