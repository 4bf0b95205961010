"""What a build used and how fast it is, from the tools' own output."""

import json
import re
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.table import Table

from .netlist import find_block

__all__ = ["BuildReport", "CriticalPath", "Placement", "Use", "parse_placement", "table"]

PLACED = {
    # nextpnr's name: ours
    "ICESTORM_LC": "lut4", "TRELLIS_COMB": "lut4",
    "ICESTORM_RAM": "block_ram", "DP16KD": "block_ram",
    "ICESTORM_SPRAM": "spram",
    "ICESTORM_DSP": "dsp", "MULT18X18D": "dsp", "ALU54B": "dsp",
    "TRELLIS_FF": "flip_flop",
    "ICESTORM_PLL": "pll", "EHXPLLL": "pll",
}


WHOLE_CYCLE = re.compile(r"DATAIN_\d+")
"""Pins with the clock of the double rate that may be as late as those with the design's: the single-ported memory's,
since nothing is written by the edge in the middle of a cycle (see `hw/inputs.py`)."""


@dataclass(frozen=True, kw_only=True)
class Use:
    """How many of something are used, and how many there are."""

    used: int
    available: int

    @property
    def fraction(self) -> float:
        """Used part."""
        return self.used / self.available if self.available else 0.0


@dataclass(frozen=True, kw_only=True)
class CriticalPath:
    """The slowest path of a clock.

    Parameters
    ----------
    start, end
        Blocks of the hierarchy (dotted) that it starts and ends in.
    blocks
        Nanoseconds spent in each block on the way, in order, routing to a cell counted with that cell.
    logic_ns, routing_ns
        Where the time goes; `logic_ns` has clock-to-output and setup.
    levels
        Cells passed between the registers.
    """

    start: str
    end: str
    blocks: dict[str, float]
    logic_ns: float
    routing_ns: float
    levels: int


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Result of place and route with one seed.

    Parameters
    ----------
    seed
        The seed.
    fmax_mhz
        Of the design's clock. Where there is one of twice the frequency too, that and what goes from clock to clock
        allow it as well; the latter has half a cycle.
    clocks
        Fmax of every clock, by net.
    critical_path
        Of the design's clock, or None where nextpnr names none.
    """

    seed: int
    fmax_mhz: float
    clocks: dict[str, float]
    critical_path: CriticalPath | None


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """A built design.

    Parameters
    ----------
    board, device
        Names.
    config
        Fields of the array's configuration.
    target_mhz
        Clock that the design runs on.
    uses
        By resource. `lut4` are placed cells: on iCE40 logic cells (LUT, carry and flip-flop), on ECP5 LUTs and
        carries. `carry` counts positions. `available` is 0 where a resource has no number of its own.
    blocks
        Cells before placement, by block and kind: see `netlist.cells_by_block`.
    placements
        One a seed, of those that could be routed.
    router_failures
        By seed, why routers did not come to an end, in the order they were tried; a seed that has a placement as
        well could be routed by the next one.
    bitstream
        File, made from the placement with the highest Fmax.
    tools
        Versions.
    """

    board: str
    device: str
    config: dict
    target_mhz: float
    uses: dict[str, Use]
    blocks: dict[str, dict[str, int]]
    placements: list[Placement]
    router_failures: dict[int, list[str]] = field(default_factory=dict)
    bitstream: Path
    tools: dict[str, str] = field(default_factory=dict)

    @property
    def unrouted(self) -> list[int]:
        """Seeds that no router could route."""
        return sorted(self.router_failures.keys() - {placement.seed for placement in self.placements})

    @property
    def best(self) -> Placement:
        """The placement in the bitstream."""
        return max(self.placements, key=lambda placement: placement.fmax_mhz)

    @property
    def fmax_median_mhz(self) -> float:
        """Over the seeds that could be routed."""
        return statistics.median(placement.fmax_mhz for placement in self.placements)

    @property
    def fmax_worst_mhz(self) -> float:
        """Over the seeds that could be routed."""
        return min(placement.fmax_mhz for placement in self.placements)

    @property
    def met(self) -> bool:
        """Whether the bitstream meets its clock."""
        return self.best.fmax_mhz >= self.target_mhz

    def to_dict(self) -> dict:
        """JSON-ready."""
        flat = {}
        for name, use in self.uses.items():
            flat[name] = use.used
            if use.available:
                flat[f"{name}_available"] = use.available
        return {
            "board": self.board,
            "device": self.device,
            "config": self.config,
            **flat,
            "target_mhz": self.target_mhz,
            "met": self.met,
            "fmax_mhz": round(self.best.fmax_mhz, 2),
            "fmax_median_mhz": round(self.fmax_median_mhz, 2),
            "fmax_worst_mhz": round(self.fmax_worst_mhz, 2),
            "seeds": [asdict(placement) for placement in self.placements],
            "seeds_unrouted": self.unrouted,
            "router_failures": [{"seed": seed, "reasons": reasons, "routed": seed not in self.unrouted}
                                for seed, reasons in sorted(self.router_failures.items())],
            "blocks": self.blocks,
            "bitstream": str(self.bitstream),
            "tools": self.tools,
        }


def parse_placement(report: Path, *, seed: int, target_mhz: float,
                    blocks: set[str]) -> tuple[Placement, dict[str, Use]]:
    """Read nextpnr's JSON report: the placement, and what it used.

    Raises
    ------
    ValueError
        It has no clock.
    """
    content = json.loads(report.read_text())
    clocks = {name: values["achieved"] for name, values in content["fmax"].items()}
    if not clocks:
        raise ValueError(f"{report} has no clock")
    constraints = {name: values["constraint"] for name, values in content["fmax"].items()}
    main = min(clocks, key=lambda name: abs(constraints[name] - target_mhz))
    path = next((path["path"] for path in content["critical_paths"]
                 if path["from"] == path["to"] == f"posedge {main}"), None)
    limits = [clocks[main]]
    for name, constraint in constraints.items():
        if round(constraint / target_mhz, 2) == 2:
            limits += [clocks[name] / 2, _crossing_mhz(content["detailed_net_timings"], {main, name})]
    placement = Placement(
        seed=seed, fmax_mhz=min(limits), clocks=clocks,
        critical_path=None if path is None else _critical_path(path, blocks))

    uses: dict[str, Use] = {}
    for name, values in content["utilization"].items():
        if name in PLACED:
            before = uses.get(PLACED[name], Use(used=0, available=0))
            uses[PLACED[name]] = Use(used=before.used + values["used"],
                                     available=before.available + values["available"])
    return placement, uses


def _crossing_mhz(nets: list[dict], clocks: set[str]) -> float:
    """The design's clock that paths from one of `clocks` to the other allow."""
    events = {f"posedge {name}" for name in clocks}
    slowest = 0.0
    for net in nets:
        for end in net["endpoints"]:
            if {net["event"], end["event"]} == events:
                slowest = max(slowest, max(end["delay"]) * (1 if WHOLE_CYCLE.fullmatch(end["port"]) else 2))
    return 1e3 / slowest


def _critical_path(steps: list[dict], blocks: set[str]) -> CriticalPath:
    spent: dict[str, float] = {}
    by_kind = {"logic": 0.0, "routing": 0.0}
    for step in steps:
        block = find_block(step["to"]["cell"], blocks)
        spent[block] = spent.get(block, 0.0) + step["delay"]
        by_kind["routing" if step["type"] == "routing" else "logic"] += step["delay"]
    return CriticalPath(
        start=find_block(steps[0]["from"]["cell"], blocks),
        end=find_block(steps[-1]["to"]["cell"], blocks),
        blocks={block: round(delay, 3) for block, delay in spent.items()},
        logic_ns=round(by_kind["logic"], 3), routing_ns=round(by_kind["routing"], 3),
        levels=sum(step["type"] == "logic" for step in steps))


def table(*reports: BuildReport) -> Table:
    """The reports side by side, for people."""
    output = Table()
    output.add_column("")
    for report in reports:
        output.add_column(f"{report.board} ({report.device})", justify="right")
    rows = {"lut4": "LUT4", "flip_flop": "flip-flops", "carry": "carry positions", "block_ram": "block RAM",
            "spram": "single-port RAM", "dsp": "DSP"}
    for name, title in rows.items():
        output.add_row(title, *(_use(report.uses.get(name)) for report in reports))
    output.add_row("clock", *(f"{report.target_mhz:.1f} MHz" for report in reports))
    output.add_row("Fmax", *(
        f"{report.best.fmax_mhz:.1f} MHz" + ("" if report.met else " [red](missed)[/red]") for report in reports))
    output.add_row("median, worst", *(
        f"{report.fmax_median_mhz:.1f}, {report.fmax_worst_mhz:.1f} of {len(report.placements)}"
        + (f" routed seeds of {len(report.placements) + len(report.unrouted)}" if report.unrouted else "")
        for report in reports))
    if any(report.router_failures for report in reports):
        output.add_row("router", *("\n".join(_routing(report)) or "–" for report in reports))
    output.add_row("critical path", *(_path(report.best.critical_path) for report in reports))
    output.add_row("bitstream", *(re.sub(r".*/(?=build/)", "", str(report.bitstream)) for report in reports))
    return output


def _use(use: Use | None) -> str:
    if use is None or not (use.used or use.available):
        return "–"
    return f"{use.used} of {use.available} ({use.fraction:.0%})" if use.available else str(use.used)


def _routing(report: BuildReport) -> list[str]:
    return [f"seed {seed}: {'; then '.join(reasons)}" + (
        "; [red]not routed[/red]" if seed in report.unrouted else "; routed by the next one")
        for seed, reasons in sorted(report.router_failures.items())]


def _path(path: CriticalPath | None) -> str:
    if path is None:
        return "–"
    way = "\n→ ".join(f"{block or 'top'} {delay:.1f} ns" for block, delay in path.blocks.items())
    return f"{way}\n{path.levels} levels, {path.routing_ns:.1f} ns in wires"
