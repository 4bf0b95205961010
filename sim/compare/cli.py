"""The command that compares the accelerator with software."""

import json
from typing import Annotated

import typer
from rich.console import Console

from ...model.config import parse_widths
from ...model.console import clear_errors, console, fail
from .report import show, write_report
from .table import NETWORKS, TARGETS, Settings, compare, save

__all__ = ["app"]

app = typer.Typer()

WIDTH = 120


@app.command("compare")
def compare_targets(
    layers: Annotated[list[str] | None, typer.Option(
        help=f"Widths, input first; may be given again. Default: {', '.join('-'.join(map(str, n)) for n in NETWORKS)}.",
    )] = None,
    groups: Annotated[str, typer.Option(help="Group sizes, one a layer, of the one network.")] = "",
    batch: Annotated[int, typer.Option(min=1, max=32, help="Samples a batch.")] = 32,
    counter_bits: Annotated[int, typer.Option(help="Width of the counters, as one of the arrays has them.")] = 8,
    targets: Annotated[str, typer.Option(help="Beside the accelerator.")] = ",".join(TARGETS),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
):
    """Compare cycles, time and LUTs with software on soft cores, a microcontroller, this CPU, numpy and torch, all of
    which must end with the same state; leave build/compare/report.html and compare.json."""
    with clear_errors():
        networks = tuple(parse_widths("--layers", text.replace("-", ",")) for text in layers or [])
        settings = Settings(networks=networks or NETWORKS, batch=batch, counter_bits=counter_bits,
                            groups=parse_widths("--groups", groups.replace("-", ",")) if groups else None,
                            targets=tuple(name for name in targets.split(",") if name))
        with console.status("comparing") as status:
            result = compare(settings, lambda text: status.update(text))
        path = save(result, settings.folder)
        report = write_report(result, settings.folder)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        output = Console()
        # Where nobody looks, a table need not be cut.
        show(result, output if output.is_terminal else Console(width=WIDTH))
        console.print(f"{report}, {path}; took {result['seconds']:.0f} s, {result['processor_seconds']:.0f} s of "
                      "processor time")
    if result["failures"]:
        fail("\n".join(result["failures"]))
