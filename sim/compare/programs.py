"""Bare-metal programs of the C sources: compiled where there is a cross compiler, else those kept in the tree.

    python -m bitprop.sim.compare.programs     compile those that are kept, anew

A kept program is used wherever it was made from the same sources by the same command, so that counts are the same on
every machine; `programs/programs.json` has the command and the hashes of sources and program.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ...model.config import NetworkConfig
from ..runner import locked
from .image import macros
from .work import SAMPLES, network_of

__all__ = ["CORTEX_M4", "RV32IM", "Machine", "Missing", "Program", "program"]

SOURCES = Path(__file__).parent / "c"
KEPT = Path(__file__).parent / "programs"
INDEX = KEPT / "programs.json"
KEPT_WIDTHS = ((256, 64, 64), (1000, 35, 35), (784, 256, 256), (40, 16, 8))
"""The networks of the comparison, and the tests' one."""

MEMORY = 0x10000
"""Where `struct memory` begins: as in `c/link.ld`."""

MARKS = 0xF0000000
"""Where a mark is written to."""


class Missing(RuntimeError):
    """Something that is not installed; the message says how to get it."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a program is compiled for.

    compiler
        Prefix of the cross compiler's programs.
    package
        Debian's package that has it.
    options
        That choose the instruction set.
    start
        Source of the first instructions.
    """

    name: str
    compiler: str
    package: str
    options: tuple[str, ...]
    start: str

    def command(self, network: NetworkConfig, samples: int) -> list[str]:
        """The call of the compiler, from within the folder of the sources, but for `-o`."""
        definitions = macros(network, samples) | {
            "MARK(phase)": f"(*(volatile unsigned char *){MARKS:#x}u = (phase))"}
        return [f"{self.compiler}-gcc", *self.options, "-O3", "-fsched-pressure", "-std=gnu11", "-ffreestanding",
                "-nostdlib", "-nostartfiles", *(f"-D{name}={value}" for name, value in definitions.items()),
                self.start, "bep.c", "main.c", "-T", "link.ld", "-lgcc"]


RV32IM = Machine(
    name="rv32im", compiler="riscv64-unknown-elf", package="gcc-riscv64-unknown-elf",
    options=("-march=rv32im", "-mabi=ilp32"), start="riscv.S")
CORTEX_M4 = Machine(
    name="cortex-m4", compiler="arm-none-eabi", package="gcc-arm-none-eabi",
    options=("-mcpu=cortex-m4", "-mthumb"), start="arm.S")


@dataclass(frozen=True, kw_only=True)
class Program:
    """A binary to be loaded at address 0, the command that made it, and whether it is a kept one."""

    binary: bytes
    command: str
    kept: bool


def program(machine: Machine, network: NetworkConfig, samples: int = SAMPLES,
            folder: Path = Path("build/compare/programs")) -> Program:
    """The program for a network; it trains on up to `samples` samples.

    Raises `Missing` when none is kept and the cross compiler is not installed.
    """
    command = shlex.join(machine.command(network, samples))
    index = json.loads(INDEX.read_text()) if INDEX.exists() else {}
    name = _name(machine, network)
    entry = index.get(name)
    if entry and (entry["command"], entry["sources"]) == (command, _sources(machine)):
        binary = (KEPT / name).read_bytes()
        if hashlib.sha256(binary).hexdigest() == entry["sha256"]:
            return Program(binary=binary, command=command, kept=True)
    if shutil.which(f"{machine.compiler}-gcc") is None:
        raise Missing(f"for this network a cross compiler: sudo apt install {machine.package}")
    cached = folder / f"{hashlib.sha256(f'{command} {_sources(machine)}'.encode()).hexdigest()[:16]}.bin"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(cached.with_suffix(".lock")):
        if not cached.exists():
            partial = cached.with_suffix(".part")
            partial.write_bytes(_compile(machine, network, samples))
            partial.rename(cached)
    return Program(binary=cached.read_bytes(), command=command, kept=False)


def _compile(machine: Machine, network: NetworkConfig, samples: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        linked, binary = Path(folder) / "program.elf", Path(folder) / "program.bin"
        for command in ([*machine.command(network, samples), "-o", str(linked)],
                        [f"{machine.compiler}-objcopy", "-O", "binary", str(linked), str(binary)]):
            done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stderr}")
        return binary.read_bytes()


def _name(machine: Machine, network: NetworkConfig) -> str:
    return f"{machine.name}-{'-'.join(map(str, network.layers))}.bin"


def _sources(machine: Machine) -> str:
    sha = hashlib.sha256()
    for name in ("bep.h", "bep.c", "main.c", "link.ld", machine.start):
        sha.update((SOURCES / name).read_bytes())
    return sha.hexdigest()


def keep() -> None:
    """Compile what is kept in the tree."""
    KEPT.mkdir(exist_ok=True)
    index = {}
    for machine in (RV32IM, CORTEX_M4):
        for widths in KEPT_WIDTHS:
            network = network_of(widths)
            binary = _compile(machine, network, SAMPLES)
            (KEPT / _name(machine, network)).write_bytes(binary)
            index[_name(machine, network)] = {
                "command": shlex.join(machine.command(network, SAMPLES)), "sources": _sources(machine),
                "sha256": hashlib.sha256(binary).hexdigest()}
    INDEX.write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    keep()
