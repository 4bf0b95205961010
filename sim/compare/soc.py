"""Soft cores in a small system under Verilator: exact cycles of the program of `programs`, phase by phase.

VexRiscv has 4 KB of instruction and of data cache, write-through, on a block RAM that bursts: one wait state for the
first word of a line, none for the rest, none for writes. picorv32 has its barrel shifter and fast multiplier on a
block RAM without wait states. Nobody has a faster memory for them on these FPGAs; a larger and slower one, which
784-256-256 would need, only makes them slower.
"""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..verilate import verilate
from .image import Layout
from .programs import MEMORY, RV32IM, SOURCES, Missing, program
from .work import Work

__all__ = ["CORES", "PHASES", "Run", "core_source", "run_soc"]

PHASES = ("idle", "forward", "backward", "update", "infer")
"""Numbers of `enum phase` in `c/bep.h`."""

RAM_WORDS = 1 << 18
LIMIT = 2_000_000_000
"""Cycles after which a run is given up."""

CORES = {"vexriscv": "VexRiscv.v", "picorv32": "picorv32.v"}
"""Name to the file in its package `pythondata-cpu-NAME`."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a core did with a `Work`.

    counts
        Cycles, or what else is counted, by the name of the phase, over all samples.
    layout, memory
        Everything it left behind.
    kept
        Whether its program was one of those kept in the tree.
    """

    counts: dict[str, int]
    layout: Layout
    memory: np.ndarray
    kept: bool


def core_source(core: str) -> Path:
    """The Verilog of a core; raises `Missing` when its package is not installed."""
    package = f"pythondata_cpu_{core}"
    if importlib.util.find_spec(package) is None:
        raise Missing(f"pip install {package.replace('_', '-')}  (or bitprop[compare])")
    module = importlib.import_module(package)
    return Path(module.data_location) / CORES[core]


def run_soc(core: str, work: Work, folder: Path = Path("build/compare")) -> Run:
    """Train on the samples of `work`, then infer all of them.

    Raises `Missing`, or BenchError when the simulation can not be compiled or does not end.
    """
    layout = Layout(network=work.network, samples=len(work.labels))
    found = program(RV32IM, work.network, layout.samples, folder / "programs")
    memory = layout.fill(work.start, work.inputs, work.labels, batch=work.batch, infer=layout.samples)
    first = MEMORY // 4
    if first + len(memory) > RAM_WORDS - 0x1000:
        raise ValueError(f"the network needs {4 * len(memory)} bytes, and the simulated core has {4 * RAM_WORDS}")
    simulator = build_soc(core, folder)
    ram = np.zeros(first + len(memory), dtype="<u4")
    ram[:-(-len(found.binary) // 4)] = np.frombuffer(found.binary + b"\0" * (-len(found.binary) % 4), dtype="<u4")
    ram[first:] = memory
    with tempfile.TemporaryDirectory(dir=folder) as run:
        load, save = Path(run) / "load.hex", Path(run) / "save.hex"
        load.write_text("\n".join(f"{word:08x}" for word in ram.tolist()) + "\n")
        done = subprocess.run([simulator, str(LIMIT), f"+load={load}", f"+save={save}"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{core}: {done.stderr.strip()}")
        words = [line for line in save.read_text().split() if not line.startswith(("/", "@"))]
    counts = dict.fromkeys(PHASES, 0)
    for line in done.stdout.splitlines():
        if line.startswith("cycles"):
            _, phase, count = line.split()
            counts[PHASES[int(phase)]] = int(count)
    left = np.array([int(word, 16) for word in words[first:first + len(memory)]], dtype="<u4")
    return Run(counts=counts, layout=layout, memory=left, kept=found.kept)


def build_soc(core: str, folder: Path) -> Path:
    """The compiled simulator of a core's system."""
    sources = [SOURCES / f"{core}_soc.v", core_source(core)]
    return verilate({path.name: path.read_text() for path in sources}, SOURCES / "harness.cpp", top="soc",
                    optimize=True, build_directory=folder)
