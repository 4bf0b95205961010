"""The `bitprop` command: the sub-packages' commands put together."""

from typing import Annotated

import typer

from . import __doc__ as about
from . import __version__
from .model.cli import app as model_commands
from .sim.cli import app as training_commands
from .sim.compare.cli import app as comparison
from .synth.cli import app as board_commands

app = typer.Typer(help=about, no_args_is_help=True, pretty_exceptions_show_locals=False)
for commands in (model_commands, board_commands, training_commands, comparison):
    app.add_typer(commands)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"bitprop {__version__}")
        raise typer.Exit


@app.callback()
def main(version: Annotated[bool, typer.Option(
        "--version", callback=_show_version, is_eager=True, help="Print the version.")] = False) -> None:
    pass


if __name__ == "__main__":
    app()
