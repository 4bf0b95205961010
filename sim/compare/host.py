"""This machine's processor: compiled at first use, timed by its time-stamp counter, one core."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...model.config import NetworkConfig
from ...model.step import State
from .image import Layout, macros, pack
from .programs import SOURCES, Missing
from .work import Work

__all__ = ["KERNELS", "HostRun", "kernels_here", "run_host", "time_host", "time_stamp_mhz"]

KERNELS = {
    "avx512": ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vpopcntdq", "gfni", "bmi2"),
    "avx2": ("avx2", "bmi2"),
    "portable": (),
}
"""Name to what the processor must have, the fastest first; "portable" is the C that the small cores run."""

PHASES = ("forward", "backward", "update")
LARGEST_BATCH = 128
REPEATS = 15


@dataclass(frozen=True, kw_only=True)
class HostRun:
    """Timing of many repeats, in time-stamp cycles per sample.

    train_min, train_median, infer_min, infer_median
        Over the repeats, which took turns with those of other measurements.
    phases
        Of the least of as many runs that were timed in parts, by phase; the portable C is always.
    clock_ratio
        Core clock over time-stamp clock while measuring.
    load
        Processes that wanted to run, before and after.
    repeats
        How many.
    """

    train_min: float
    train_median: float
    infer_min: float
    infer_median: float
    phases: dict[str, float]
    clock_ratio: float
    load: tuple[float, float]
    repeats: int


def kernels_here() -> list[str]:
    """The kernels that this processor can run, the fastest first."""
    try:
        flags = set(next(line for line in Path("/proc/cpuinfo").read_text().splitlines()
                         if line.startswith("flags")).split())
    except (OSError, StopIteration):
        flags = set()
    return [name for name, needed in KERNELS.items() if flags.issuperset(needed)]


def time_stamp_mhz(seconds: float = 0.1) -> float:
    """Rate of the time-stamp counter against the monotonic clock."""
    stamp = _library("clock", ["clock.c"], {}).time_stamp
    stamp.restype = ctypes.c_uint64
    began, first = time.perf_counter_ns(), stamp()
    time.sleep(seconds)
    return 1e3 * (stamp() - first) / (time.perf_counter_ns() - began)


class Host:
    """A kernel compiled for a network."""

    def __init__(self, network: NetworkConfig, kernel: str):
        if network.counter_bits > 8:
            raise Missing(f"the vector kernels have counters of up to 8 bits, not {network.counter_bits}")
        self.network = network
        library = _library(f"host-{kernel}", ["host.c"], macros(network, 1) | {"BATCH": str(LARGEST_BATCH)})
        library.counters_of.restype = ctypes.c_void_p
        library.statistics_of.restype = ctypes.POINTER(ctypes.c_int64)
        library.clocks_of.restype = ctypes.POINTER(ctypes.c_uint64)
        self._library = library
        self._prepare, self._train, self._infer = (
            getattr(library, f"{name}_{kernel}") for name in ("prepare", "train", "infer"))
        self._train.restype = self._infer.restype = ctypes.c_uint64
        self._counters = []
        for layer, (outputs, inputs) in enumerate(network.shapes):
            stride = -(-inputs // 64) * 64
            array = (ctypes.c_int8 * (outputs * stride)).from_address(library.counters_of(layer))
            self._counters.append(np.frombuffer(array, dtype=np.int8).reshape(outputs, stride))

    def load(self, state: State, margin: int) -> None:
        """Begin at a state."""
        self._classifier = state.classifier
        for own, counters in zip(self._counters, state.counters, strict=True):
            own[:] = 0
            own[:, :counters.shape[1]] = counters
        rows = _words(state.classifier)
        self._library.begin(ctypes.c_int64(state.samples), ctypes.c_int64(margin), _pointer(rows))
        self._samples = state.samples
        self._prepare()

    def train(self, inputs: np.ndarray, labels: np.ndarray, batch: int, *, timed: bool = False):
        """Predictions, and time-stamp cycles; `inputs` from `_words`."""
        predictions = np.zeros(len(labels), dtype=np.uint16)
        labels = labels.astype(np.uint16)
        cycles = self._train(_pointer(inputs), _pointer(labels), len(labels), batch, _pointer(predictions), int(timed))
        self._samples += len(labels)
        return predictions, int(cycles)

    def infer(self, inputs: np.ndarray):
        """Predictions, and time-stamp cycles."""
        predictions = np.zeros(len(inputs), dtype=np.uint16)
        return predictions, int(self._infer(_pointer(inputs), len(inputs), _pointer(predictions)))

    @property
    def state(self) -> State:
        """The state now."""
        counters = [own[:, :inputs].astype(np.int16)
                    for own, (_, inputs) in zip(self._counters, self.network.shapes, strict=True)]
        return State(counters, self._classifier, self._samples)

    @property
    def statistics(self) -> tuple[int, int, int]:
        """Triggered, row updates, saturations since `load`."""
        return tuple(self._library.statistics_of()[:3])

    @property
    def clocks(self) -> dict[str, int]:
        """Time-stamp cycles by phase of the timed training since `load`."""
        return dict(zip(PHASES, self._library.clocks_of()[:3], strict=True))


class Portable:
    """The small cores' C, compiled for this machine: same methods."""

    def __init__(self, network: NetworkConfig, samples: int):
        self.layout = Layout(network=network, samples=samples)
        self._library = _library("portable", ["portable.c"], macros(network, samples))
        array = (ctypes.c_uint32 * self.layout.words).in_dll(self._library, "memory")
        self.memory = np.frombuffer(array, dtype="<u4")
        self._cycles = (ctypes.c_uint64 * 256).in_dll(self._library, "cycles")

    def run(self, state: State, inputs: np.ndarray, labels: np.ndarray, batch: int) -> dict[str, int]:
        """Train on all, then infer all; time-stamp cycles by phase."""
        self.memory[:] = self.layout.fill(state, inputs, labels, batch=batch, infer=len(labels))
        for number in range(256):
            self._cycles[number] = 0
        self._library.run()
        return dict(zip(("forward", "backward", "update", "infer"), self._cycles[1:5], strict=True))


def run_host(kernel: str, work: Work):
    """State, trained and inferred predictions, and statistics (triggered, row updates, saturations) after `work`."""
    if kernel == "portable":
        portable = Portable(work.network, len(work.labels))
        portable.run(work.start, work.inputs, work.labels, work.batch)
        views = portable.layout.views(portable.memory)
        return (portable.layout.state(portable.memory), views["trained_predictions"].copy(),
                views["inferred_predictions"].copy(),
                tuple(int(views[name]) for name in ("triggered", "row_updates", "saturations")))
    host = Host(work.network, kernel)
    host.load(work.start, work.network.margin)
    inputs = _words(work.inputs)
    trained, _ = host.train(inputs, work.labels, work.batch)
    inferred, _ = host.infer(inputs)
    return host.state, trained, inferred, host.statistics


def time_host(kernel: str, work: Work, batches: tuple[int, ...], repeats: int = REPEATS) -> dict[int, HostRun]:
    """Timing by size of batch. Each repeat trains on all of `work` from its start; the sizes take turns."""
    load, mhz = os.getloadavg()[0], time_stamp_mhz()
    taken = {batch: ([], []) for batch in batches}
    phases, count = {}, len(work.labels)
    if kernel == "portable":
        portable = Portable(work.network, count)
        for _ in range(repeats):
            for batch in batches:
                cycles = portable.run(work.start, work.inputs, work.labels, batch)
                taken[batch][0].append(sum(cycles[name] for name in PHASES))
                taken[batch][1].append(cycles["infer"])
                if taken[batch][0][-1] == min(taken[batch][0]):
                    phases[batch] = {name: cycles[name] / count for name in PHASES}
    else:
        host, inputs = Host(work.network, kernel), _words(work.inputs)
        for _ in range(repeats):
            for batch in batches:
                host.load(work.start, work.network.margin)
                taken[batch][0].append(host.train(inputs, work.labels, batch)[1])
                taken[batch][1].append(host.infer(inputs)[1])
        for batch in batches:
            runs = []
            for _ in range(repeats):
                host.load(work.start, work.network.margin)
                host.train(inputs, work.labels, batch, timed=True)
                runs.append(host.clocks)
            best = min(runs, key=lambda clocks: sum(clocks.values()))
            phases[batch] = {name: cycles / count for name, cycles in best.items()}
    ratio, loads = _core_mhz() / mhz, (load, os.getloadavg()[0])
    return {batch: HostRun(
        train_min=min(train) / count, train_median=statistics.median(train) / count, infer_min=min(infer) / count,
        infer_median=statistics.median(infer) / count, phases=phases[batch], clock_ratio=ratio, load=loads,
        repeats=repeats)
        for batch, (train, infer) in taken.items()}


def _core_mhz(steps: int = 3_000_000) -> float:
    """The core's clock, by a chain of multiplications of three cycles each: the best of five."""
    chain = _library("clock", ["clock.c"], {}).chain
    best = 0.0
    for _ in range(5):
        began = time.perf_counter_ns()
        chain(ctypes.c_int64(steps))
        best = max(best, 3e3 * steps / (time.perf_counter_ns() - began))
    return best


def _words(values: np.ndarray) -> np.ndarray:
    """±1 `(n, k)` packed into 32-bit words, an even number a row."""
    words = pack(values)
    padded = np.zeros((len(words), -(-words.shape[1] // 2) * 2), dtype="<u4")
    padded[:, :words.shape[1]] = words
    return padded


def _pointer(array: np.ndarray):
    return ctypes.c_void_p(array.ctypes.data)


def _library(name: str, sources: list[str], definitions: dict[str, str]) -> ctypes.CDLL:
    """The sources as a library, compiled once for each hash of all that goes in."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        raise Missing("an x86-64 processor: the kernels and the time-stamp counter are of those")
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Missing("a C compiler: sudo apt install gcc")
    options = ["-O3", "-std=gnu11", "-fno-strict-aliasing", "-shared", "-fPIC",
               *(f"-D{key}={value}" for key, value in definitions.items())]
    texts = [(SOURCES / source).read_text() for source in (*sources, "bep.h", "bep.c", "main.c", "host_kernel.h")]
    release = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout.splitlines()[:1]
    identity = hashlib.sha256("\0".join([*release, *options, *texts]).encode()).hexdigest()[:16]
    folder = Path("build/compare/host")
    library = (folder / f"{name}-{identity}.so").resolve()
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = library.with_suffix(f".{os.getpid()}.part")
        done = subprocess.run(
            [compiler, *options, "-I", SOURCES, *(SOURCES / source for source in sources), "-o", partial],
            capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"compiling {name} failed:\n{done.stderr[-2000:]}")
        partial.rename(library)
    return ctypes.CDLL(str(library))
