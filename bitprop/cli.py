"""The `bitprop` command: the sub-packages' commands put together."""

import typer

from . import __doc__ as about
from .model.cli import app as model_commands
from .sim.cli import app as training_commands
from .sim.compare.cli import app as comparison
from .synth.cli import app as board_commands

app = typer.Typer(help=about, no_args_is_help=True, pretty_exceptions_show_locals=False)
for commands in (model_commands, board_commands, training_commands, comparison):
    app.add_typer(commands)

if __name__ == "__main__":
    app()
