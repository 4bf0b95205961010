"""How all commands speak: progress and errors go to stderr, and a user's error is one line, not a traceback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

__all__ = ["check_writable", "clear_errors", "console", "fail"]

console = Console(stderr=True)
"""For progress, notes and errors."""

STATUS = 1
"""Of a command that failed."""


def fail(message: str) -> NoReturn:
    """End the command with an error."""
    console.print(Text.assemble(("Error: ", "bold red"), message), highlight=False, soft_wrap=True)
    raise typer.Exit(STATUS)


@contextmanager
def clear_errors(*more: type[Exception]) -> Iterator[None]:
    """Within, what a user can do something about ends the command with one line: errors of these kinds, of `more`,
    and of all derived from them."""
    try:
        yield
    except typer.Exit:  # is a RuntimeError
        raise
    except OSError as error:
        if error.strerror and error.filename is not None:
            fail(f"{error.filename}: {error.strerror}")
        fail(str(error))
    except MemoryError as error:
        fail(f"not enough memory: {error}")
    except (ValueError, ImportError, RuntimeError, *more) as error:
        fail(str(error))


def check_writable(path: Path) -> None:
    """Find out before the work whether its result can be written to `path`; ValueError if not."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"the folder of {path} does not exist")
    try:
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        raise ValueError(f"nothing can be written beside {path}: {error.strerror}") from None
