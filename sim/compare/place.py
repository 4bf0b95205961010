"""LUTs and Fmax of the soft cores, placed by the same tools as the accelerator; kept, for it takes a while.

    python -m bitprop.sim.compare.place     place them anew and keep the numbers

A core is placed in the system that is simulated, with 1 KB of memory, so that what is counted is the core, its caches
and the bus. It may use the chip's multipliers, which the accelerator does without.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from ...synth.boards import BOARDS, Board
from ...synth.report import parse_placement
from ...synth.tools import run, versions
from .programs import SOURCES
from .soc import CORES, core_source

__all__ = ["KEPT", "placements"]

KEPT = Path(__file__).parent / "results" / "cores.json"
PLACED_ON = ("icebreaker", "ulx3s-85f")
"""Boards whose chips the cores are placed on."""

SEEDS = 3
MEMORY_WORDS = 256
SYNTHESIS = {"ice40": "synth_ice40 -device u -dsp", "ecp5": "synth_ecp5"}


def placements() -> dict[str, dict[str, dict[str, Any]]]:
    """By core and board: `lut4`, `block_ram`, `dsp`, `fmax_mhz` (median of the seeds) and `fmax_worst_mhz`, and
    `sources`, the hash of what was placed."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def place(core: str, board: Board, folder: Path = Path("build/compare/place")) -> dict[str, Any]:
    """Synthesise once, place with each seed."""
    family = board.device.family
    sources = {f"{core}_soc.v": (SOURCES / f"{core}_soc.v").read_text(), CORES[core]: core_source(core).read_text()}
    script = (f"read_verilog -sv {' '.join(sources)}\nchparam -set WORDS {MEMORY_WORDS} soc\n"
              f"{SYNTHESIS[family]} -top soc -json top.json\n")
    nextpnr = "nextpnr-ice40" if family == "ice40" else "nextpnr-ecp5"
    tools = versions("yosys", nextpnr)
    identity = hashlib.sha256(json.dumps([sources, script, board.device.nextpnr, tools]).encode()).hexdigest()[:16]
    work = folder / f"{core}-{board.name}-{identity}"
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "done.json").exists():
        for name, text in (sources | {"top.ys": script}).items():
            (work / name).write_text(text)
        run("yosys", "-s", "top.ys", folder=work, log=work / "synthesis.log")
        shutil.copyfile(work / "top.json", work / "done.json")
    target = board.clock_hz / 1e6
    placed = []
    for seed in range(1, SEEDS + 1):
        report = work / f"seed_{seed}.json"
        if not report.exists():
            free = ["--pcf-allow-unconstrained"] if family == "ice40" else ["--lpf-allow-unconstrained"]
            run(nextpnr, *board.device.nextpnr, *free, "--json", "done.json", "--report", "part.json", "--seed",
                str(seed), "--freq", f"{target:g}", "--timing-allow-fail", folder=work, log=work / f"seed_{seed}.log")
            (work / "part.json").rename(report)
        placed.append(parse_placement(report, seed=seed, target_mhz=target, blocks=set()))
    speeds = [placement.fmax_mhz for placement, _ in placed]
    uses = placed[0][1]
    return {
        "device": board.device.name,
        **{name: uses[name].used if name in uses else 0 for name in ("lut4", "block_ram", "dsp")},
        "fmax_mhz": round(statistics.median(speeds), 1), "fmax_worst_mhz": round(min(speeds), 1), "seeds": SEEDS,
        "tools": tools, "sources": identity}


def keep() -> None:
    """Place every core on every chip and write the numbers down."""
    result = {core: {name: place(core, BOARDS[name]) for name in PLACED_ON} for core in CORES}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    keep()
