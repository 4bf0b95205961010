"""From a board to a bitstream: elaborate, synthesise once, place and route for each seed, pack the best.

Everything lands in a folder named by a hash of all that goes in, so nothing is done twice: a build that was
interrupted goes on where it stopped, and more seeds are added to those already there.
"""

import fcntl
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .boards import Board
from .estimate import check_memory
from .mend import mend
from .netlist import cells_by_block, prepare, top_module
from .report import BuildReport, Use, parse_placement
from .routing import RouterStalled, RouterWatch, router_error
from .tools import ToolError, run, versions
from .top import Top

__all__ = ["BuildError", "build", "find_build", "plan", "synthesise"]

CONSTRAINTS = {"ice40": "top.pcf", "ecp5": "top.lpf"}
TOOLS = {"ice40": ("nextpnr-ice40", "icepack"), "ecp5": ("nextpnr-ecp5", "ecppack")}
NETLIST = "netlist.json"
MORE_SEEDS = 3
"""Tried where none of those asked for can be routed."""

Progress = Callable[[str, str], None]
"""Called with the step in work and what it is at."""


class BuildError(RuntimeError):
    """The design cannot be built as it is. The message is for the user."""


def plan(board: Board, top=None, *, debug_verilog: bool = False) -> dict[str, str]:
    """Input files of the tools for `top`, by default the board's own system: `top.il`, `top.ys`, and the pins and
    clocks in `top.pcf` or `top.lpf`; with `debug_verilog`, `top.debug.v` has the same design for a simulator.
    """
    # Only the plan: the platforms' own `build` asks for programmers before it builds.
    mapping = {}
    if board.device.mapping:
        mapping["script_after_read"] = f'scratchpad -set abc9.script "+{board.device.mapping}"'
    files = board.platform().build(
        Top(board) if top is None else top, do_build=False, debug_verilog=debug_verilog,
        synth_opts=board.device.synthesis, **mapping).files
    text = {name: content if isinstance(content, str) else content.decode() for name, content in files.items()}
    # Where the sources lie must not decide whether a build is the same.
    rtlil = re.sub(r"^ *attribute \\src .*\n", "", text["top.il"], flags=re.MULTILINE)
    text["top.il"] = prepare(rtlil)
    return text


def build(board: Board, *, seeds: int = 1, top=None, folder: Path = Path("build/synth"), jobs: int = 1,
          time_limit: float | None = 7200, progress: Progress = lambda step, detail: None) -> BuildReport:
    """Build `top`, by default the board's own system, with seeds 1 to `seeds`.

    Parameters
    ----------
    jobs
        Placements at a time.
    time_limit
        Seconds for one run of a tool.

    A router that gets nowhere is stopped, and the device's next one takes its place. A seed that none can route is
    named in the report; where all are like that, some more seeds are tried.

    Raises
    ------
    BuildError
        The design does not fit the device, or cannot be routed, or the tools used a multiplier.
    ToolError
        A tool is missing or failed.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be a positive integer, not {seeds!r}")
    family = board.device.family
    nextpnr, packer = TOOLS[family]
    # Of paths between clocks nextpnr checks none itself.
    timing = ["--detailed-timing-report"] if board.config.double_rate else []
    with _synthesised(board, top, folder, time_limit, progress) as (work, tools):
        netlist, constraints = work / NETLIST, CONSTRAINTS[family]
        blocks = cells_by_block(top_module(json.loads((work / NETLIST).read_text())))

        def place(seed: int) -> None:
            if _is_done(work, seed, board):
                return
            layout, report, log = (work / f"seed_{seed}.{end}" for end in ("layout", "report.json", "log"))
            partial = f"{layout.name}.part", f"{report.name}.part"
            files = ("--pcf", constraints, "--asc") if family == "ice40" else ("--lpf", constraints, "--textcfg")
            failures = _read_failures(work, seed)
            for options in board.device.routers[len(failures):]:
                step, watch = f"place and route{' again' if failures else ''}, seed {seed}", RouterWatch()

                def follow(line: str, step=step, watch=watch) -> None:
                    progress(step, line)
                    watch(line)

                try:
                    run(nextpnr, *board.device.nextpnr, *options, "--json", netlist.name, *files, partial[0],
                        "--report", partial[1], *timing, "--seed", str(seed), "--timing-allow-fail",
                        folder=work, log=log, time_limit=time_limit, watch=follow)
                except RouterStalled as stalled:
                    failures.append(str(stalled))
                except ToolError:
                    _explain_overflow(board, log, blocks)
                    if (reason := router_error(log.read_text())) is None:
                        raise
                    failures.append(reason)
                else:
                    (work / partial[0]).rename(layout)
                    (work / partial[1]).rename(report)
                    return
                log.replace(work / f"seed_{seed}.failed_{len(failures)}.log")
                (work / f"seed_{seed}.failures.json").write_text(json.dumps(failures))

        tried = 0
        with ThreadPoolExecutor(jobs) as pool:
            while tried < seeds or not any(_is_placed(work, seed) for seed in range(1, tried + 1)):
                if tried >= seeds + MORE_SEEDS:
                    raise BuildError(
                        f"{board.title}: no seed of 1 to {tried} could be routed\n" + "\n".join(
                            f"  seed {seed}: {'; then '.join(_read_failures(work, seed))}"
                            for seed in range(1, tried + 1)))
                more = range(tried + 1, max(seeds, tried + 1) + 1)
                list(pool.map(place, more))
                tried = more[-1]

        target_mhz = board.clock_hz / 1e6
        parsed = [parse_placement(work / f"seed_{seed}.report.json", seed=seed, target_mhz=target_mhz,
                                  blocks=set(blocks)) for seed in range(1, tried + 1) if _is_placed(work, seed)]
        failures = {seed: found for seed in range(1, tried + 1) if (found := _read_failures(work, seed))}
        placements = [placement for placement, _ in parsed]
        uses = parsed[0][1]
        carries = blocks[""].get("carry", 0)
        uses["carry"] = Use(used=carries if family == "ice40" else 2 * carries, available=0)
        uses.setdefault("flip_flop", Use(used=blocks[""].get("flip_flop", 0), available=uses["lut4"].available))
        uses.setdefault("dsp", Use(used=0, available=0))
        if uses["dsp"].used:
            raise BuildError(f"{uses['dsp'].used} multiplier blocks used; the design must have none")

        best = max(placements, key=lambda placement: placement.fmax_mhz)
        bitstream = work / f"seed_{best.seed}.{'bin' if family == 'ice40' else 'bit'}"
        if not bitstream.exists():
            progress("pack", f"seed {best.seed}")
            layout, partial = f"seed_{best.seed}.layout", f"{bitstream.name}.part"
            arguments = (layout, partial) if family == "ice40" else (
                "--compress", "--input", layout, "--bit", partial)
            run(packer, *arguments, folder=work, log=work / "pack.log", time_limit=time_limit)
            (work / partial).rename(bitstream)
    return BuildReport(
        board=board.name, device=board.device.name, config=board.config.to_dict(), target_mhz=target_mhz, uses=uses,
        blocks=blocks, placements=placements, router_failures=failures, bitstream=bitstream, tools=tools)


def _is_placed(work: Path, seed: int) -> bool:
    return (work / f"seed_{seed}.report.json").exists() and (work / f"seed_{seed}.layout").exists()


def _is_done(work: Path, seed: int, board: Board) -> bool:
    """Placed, or given up by every router."""
    return _is_placed(work, seed) or len(_read_failures(work, seed)) == len(board.device.routers)


def _read_failures(work: Path, seed: int) -> list[str]:
    """Why the routers, in their order, did not come to an end."""
    file = work / f"seed_{seed}.failures.json"
    return json.loads(file.read_text()) if file.exists() else []


def find_build(board: Board, *, top=None, folder: Path = Path("build/synth")) -> BuildReport | None:
    """The report of what `build` has made of the design as it is now; None if it has not been placed. Runs no tool but
    the packer, where a bitstream is missing.
    """
    work, _, _ = _work(board, top, folder)
    if not (work / NETLIST).exists():
        return None
    seeds = 0
    while _is_done(work, seeds + 1, board):
        seeds += 1
    placed = any(_is_placed(work, seed) for seed in range(1, seeds + 1))
    return build(board, seeds=seeds, top=top, folder=folder) if placed else None


def synthesise(board: Board, *, top=None, folder: Path = Path("build/synth"), time_limit: float | None = 7200,
               progress: Progress = lambda step, detail: None) -> Path:
    """The netlist that place and route gets of `top`, by default of the board's own system, as Yosys' JSON.

    It lies where `build` looks for it, which so does not make it again. Errors as there.
    """
    with _synthesised(board, top, folder, time_limit, progress) as (work, _):
        return work / NETLIST


@contextmanager
def _synthesised(board: Board, top, folder: Path, time_limit: float | None,
                 progress: Progress) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder of a build, with its netlist, for oneself; and the tools' versions."""
    if top is None:
        try:
            check_memory(board)
        except ValueError as error:
            raise BuildError(str(error)) from None
    progress("elaborate", "")
    work, parts, tools = _work(board, top, folder)
    family = board.device.family
    work.mkdir(parents=True, exist_ok=True)
    with _locked(work):
        for name, content in parts.items():
            (work / name).write_text(content)
        if not (work / NETLIST).exists():
            run("yosys", "-s", "top.ys", folder=work, log=work / "synthesis.log", time_limit=time_limit,
                watch=lambda line: progress("synthesise", line))
            _finish_netlist(work / "top.json", work / NETLIST, family)
        yield work, tools


def _work(board: Board, top, folder: Path) -> tuple[Path, dict[str, str], dict[str, str]]:
    """A design's folder, the files that synthesis reads there, and the tools' versions."""
    family = board.device.family
    tools = versions("yosys", *TOOLS[family])
    files = plan(board, top)
    parts = {name: files[name] for name in ("top.il", "top.ys", CONSTRAINTS[family])}
    # What is done to the netlist between the tools is an input too.
    inputs = json.dumps([*parts.values(), inspect.getsource(inspect.getmodule(mend)), board.device.nextpnr,
                         board.device.routers, tools])
    return folder / f"{board.name}-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}", parts, tools


def _finish_netlist(source: Path, netlist: Path, family: str) -> None:
    content = json.loads(source.read_text())
    mend(top_module(content), family)
    partial = netlist.with_suffix(".part")
    partial.write_text(json.dumps(content))
    partial.rename(netlist)
    source.unlink()


def _explain_overflow(board: Board, log: Path, blocks: dict[str, dict[str, int]]) -> None:
    # The placer's own words for "too large" differ from device to device.
    counts = re.findall(r"(?:ICESTORM_LC|TRELLIS_COMB): *(\d+)/ *(\d+)", log.read_text())
    if not counts or int(counts[-1][0]) <= int(counts[-1][1]):
        return
    used, available = counts[-1]
    sizes = {block: kinds.get("lut4", 0) + kinds.get("lone_flip_flop", 0) for block, kinds in blocks.items() if block}
    largest = sorted(sizes, key=sizes.get, reverse=True)[:12]
    raise BuildError(
        f"{board.title} ({board.device.name}) has {available} LUT4s; this design takes {used}. Largest blocks, each "
        "with those within it:\n" + "\n".join(f"  {block}: {sizes[block]}" for block in largest)) from None


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    # A second build of the same waits for the first, and then finds all done.
    with open(work / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
