"""Compiles Verilog and a C++ harness that clocks it, by Verilator alone: where no bench in Python is to be awake.

The harness includes `Vtop.h` for a module `top`, reads and writes its ports, and is the whole program, or the library.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from .runner import BUILD_DIRECTORY, BenchError, compiler_effort, locked, remove_headers, require_tools, tool_variables

__all__ = ["verilate"]

_OPTIONS = ["-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert", "-Wno-fatal", "-Wno-lint"]
_LIBRARY = ["-CFLAGS", "-fPIC", "-LDFLAGS", "-shared"]


def verilate(texts: dict[str, str], harness: Path, *, top: str, library: bool = False, optimize: bool = False,
             build_directory: Path = BUILD_DIRECTORY) -> Path:
    """The program, or shared library, of `harness` and the Verilog; compiled once, whoever asks for it.

    texts
        File name to contents: Verilog, and headers that the harness includes.
    top
        Module whose class `V{top}` the harness clocks.
    optimize
        Compile for speed: a tenth faster at twice the time to compile, so worth it from many million cycles on.

    Raises BenchError when a program needed for compiling is missing or fails.
    """
    options = [*_OPTIONS, *(_LIBRARY if library else [])]
    effort = compiler_effort(optimize)
    identity = [texts, harness.read_text(), top, options, effort, version("verilator")]
    directory = build_directory.resolve() / hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    directory.mkdir(parents=True, exist_ok=True)
    result = directory / "model" / ("harness.so" if library else "harness")
    with locked(directory / "lock"):
        if not (directory / "done").exists():
            require_tools()
            for name, text in texts.items():
                (directory / name).write_text(text)
            variables = os.environ | tool_variables()
            variables["MAKEFLAGS"] += f" {effort}"
            done = subprocess.run(
                [shutil.which("verilator", path=variables["PATH"]), "--cc", "--exe", "--build", *options,
                 "-CFLAGS", f"-I{directory}", "--top", top, "--Mdir", "model",
                 *(name for name in texts if name.endswith(".v")), str(harness.resolve()), "-o", result.name],
                cwd=directory, env=variables, capture_output=True, text=True)
            if done.returncode:
                raise BenchError(f"compiling {top} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            remove_headers(directory / "model")
            (directory / "done").touch()
    return result
