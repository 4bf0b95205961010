"""Cortex-M4 in an emulator: instructions, not cycles.

A Cortex-M4 takes one cycle for most instructions, two or three for loads and taken branches, and waits for its flash
besides: its cycles are more than these, by how much depends on the part.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from .image import Layout
from .programs import CORTEX_M4, MARKS, MEMORY, Missing, program
from .soc import PHASES, RAM_WORDS, Run
from .work import Work

__all__ = ["run_cortex"]

LONG = (0b11101, 0b11110, 0b11111)
"""First five bits of an instruction of two halfwords."""

HALT = 0xFF


def run_cortex(work: Work, folder: Path = Path("build/compare")) -> Run:
    """Train on the samples of `work`, then infer all of them; `counts` are instructions, to the basic block in which
    a phase begins.

    Raises `Missing`.
    """
    if importlib.util.find_spec("unicorn") is None:
        raise Missing("pip install unicorn  (or bitprop[compare])")
    import unicorn
    from unicorn.arm_const import UC_ARM_REG_SP, UC_CPU_ARM_CORTEX_M4

    layout = Layout(network=work.network, samples=len(work.labels))
    found = program(CORTEX_M4, work.network, layout.samples, folder / "programs")
    image = layout.fill(work.start, work.inputs, work.labels, batch=work.batch, infer=layout.samples)
    emulator = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    emulator.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M4)
    emulator.mem_map(0, 4 * RAM_WORDS)
    emulator.mem_write(0, found.binary)
    emulator.mem_write(MEMORY, image.tobytes())
    stack, start = np.frombuffer(found.binary[:8], "<u4").tolist()
    emulator.reg_write(UC_ARM_REG_SP, stack)

    counts, phase, lengths = dict.fromkeys((*PHASES, HALT), 0), PHASES[0], {}

    def block(emulator, address, size, data):
        if (address, size) not in lengths:
            lengths[address, size] = _instructions(found.binary[address:address + size])
        counts[phase] += lengths[address, size]

    def mark(emulator, offset, size, value, data):
        nonlocal phase
        if value == HALT:
            emulator.emu_stop()
        phase = value if value == HALT else PHASES[value]

    emulator.hook_add(unicorn.UC_HOOK_BLOCK, block)
    emulator.mmio_map(MARKS, 0x1000, None, None, mark, None)
    emulator.emu_start(start | 1, 0)
    memory = np.frombuffer(bytes(emulator.mem_read(MEMORY, image.nbytes)), "<u4").copy()
    return Run(counts={name: counts[name] for name in PHASES}, layout=layout, memory=memory, kept=found.kept)


def _instructions(code: bytes) -> int:
    halfwords = np.frombuffer(code, "<u2").tolist()
    count = place = 0
    while place < len(halfwords):
        place += 2 if halfwords[place] >> 11 in LONG else 1
        count += 1
    return count
