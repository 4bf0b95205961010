"""The core simulated in this process at full speed: its Verilog and a small C++ harness, compiled into a library.

    core = CompiledCore(board.config)
    accelerator = Accelerator(core, network, state.classifier)

Python is awake once a call, so once a batch, or once for many. The same Verilog as in the benches takes the same
cycles; they verify, and this is for what needs millions of cycles.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from amaranth.back import verilog
from amaranth.hdl import Shape
from amaranth.lib import data
from amaranth.lib.wiring import In

from ..hw.config import ArrayConfig
from ..hw.core import Core
from ..hw.ports import STATISTICS, CoreSignature
from ..hw.program import sample_beats
from .runner import BUILD_DIRECTORY, BenchError, array_cells
from .verilate import verilate

__all__ = ["Batch", "CompiledCore", "Played", "WATCHED"]

HARNESS = Path(__file__).with_suffix(".cpp")
PATIENCE = 1_000_000
"""Cycles without a transfer after which the core is given up: many times the longest batch."""

WATCHED = ("i_run", "i_sample", "o_result")
"""Streams whose transfers can be watched."""

_SOURCE = 56
"""First bit of the number of an item's stream."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A request to the core.

    samples
        Words `(n, sample_words)`, as `Program.pack` makes them.
    learn
        Whether the counters move.
    time
        Samples trained before.
    """

    samples: np.ndarray
    learn: bool
    time: int = 0


@dataclass(frozen=True, kw_only=True)
class Played:
    """What the core did with some batches.

    predictions, triggered
        Of all their samples: int64 and bool `(n,)`.
    began
        Cycle in which each batch's request was taken, int64 `(batches,)`.
    statistics
        Totals, by the names in `STATISTICS`, at these cycles, and when all was done: int64 `(batches + 1,)`.
    seen
        From the first of these cycles on, if it was asked for, for each cycle: bool by the names in
        `STATISTICS`, whether it has changed, and by those in `WATCHED`, whether an item was transferred.
    """

    predictions: np.ndarray
    triggered: np.ndarray
    began: np.ndarray
    statistics: dict[str, np.ndarray]
    seen: dict[str, np.ndarray] | None = None


class _Sink(ctypes.Structure):
    _fields_ = [("items", ctypes.POINTER(ctypes.c_uint64)), ("room", ctypes.c_uint64), ("count", ctypes.c_uint64)]


class CompiledCore:
    """A core of its own; has the methods of `synth.driver.Device` that do not concern the line, which it has not.

    Parameters
    ----------
    array
        Its shape.

    Members
    -------
    config : ArrayConfig
        The same.
    cycles : int
        Simulated so far.
    seconds, processor_seconds : float
        Real time that they took, and time of a processor: less where the machine has more to do.

    Raises BenchError when it can not be compiled; all methods do when the core stands still, or answers too much.
    """

    def __init__(self, array: ArrayConfig, *, build_directory: Path = BUILD_DIRECTORY):
        self.config, self.cycles, self.seconds, self.processor_seconds = array, 0, 0.0, 0.0
        self._payloads = _payloads(array)
        self._sources, self._sinks = _directions(array)
        self._library = ctypes.CDLL(str(_library(array, build_directory)))
        self._library.core_new.restype = ctypes.c_void_p
        self._library.core_seen.restype = ctypes.POINTER(ctypes.c_uint32)
        self._core = ctypes.c_void_p(self._library.core_new())
        self._loaded = []
        self.reset()

    def __del__(self):
        if hasattr(self, "_core"):
            self._library.core_delete(self._core)

    def reset(self) -> None:
        """Reset the core: loaded samples and statistics are gone; its memories must be loaded again."""
        self._library.core_reset(self._core)
        self._loaded.clear()
        self._raw = self._totals = np.zeros(len(STATISTICS), dtype=np.int64)

    def write_program(self, words: np.ndarray, address: int = 0) -> None:
        """Write 16-bit `words` to program memory from `address` on."""
        words = np.asarray(words)
        self._play(self._items("i_program", address=np.arange(address, address + len(words)), data=words))

    def write_rows(self, layer: int, rows: np.ndarray, first_row: int = 0) -> None:
        """Write integer `rows` (n, width) of counters to layer slot `layer`, from row `first_row` on, each filled up
        with zeros to whole counter words."""
        rows = np.asarray(rows)
        words = -(-rows.shape[1] // self.config.update_lanes)
        script = np.zeros((len(rows), 1 + words * self.config.update_lanes), dtype=np.uint64)
        script[:, :1] = self._rows(layer, len(rows), words, first_row, write=1)[:, None]
        script[:, 1:] = self._items("i_counter", 0)
        script[:, 1:1 + rows.shape[1]] = self._items("i_counter", rows)
        self._play(script.ravel())

    def read_rows(self, layer: int, rows: int, width: int, first_row: int = 0) -> np.ndarray:
        """Counters int16 (rows, width) of layer slot `layer`, from row `first_row` on."""
        words = -(-width // self.config.update_lanes)
        size = words * self.config.update_lanes
        taken, _ = self._play(self._rows(layer, rows, words, first_row, write=0), o_counter=rows * size)
        sign = 1 << self.config.counter_bits - 1
        counters = (taken["o_counter"].astype(np.int64) ^ sign) - sign
        return counters.reshape(rows, size)[:, :width].astype(np.int16)

    def load_samples(self, samples: np.ndarray) -> None:
        """Load samples (n, words) of 16 bits; they add up until the next `run`."""
        self._loaded.append(np.asarray(samples))

    def run(self, count: int, learn: bool, time: int) -> tuple[np.ndarray, np.ndarray]:
        """Run the `count` samples loaded: predictions int64 (count,), and whether each triggered."""
        samples = np.concatenate(self._loaded)
        if len(samples) != count:
            raise ValueError(f"count must be the {len(samples)} samples loaded, not {count}")
        self._loaded.clear()
        played = self.run_batches([Batch(samples=samples, learn=learn, time=time)])
        return played.predictions, played.triggered

    def run_batches(self, batches: Sequence[Batch], *, watch: bool = False) -> Played:
        """Run batches one behind the other: each is loaded while the one before is in work, and asked for as soon as
        the core takes requests. With `watch`, what happens at the ports is told cycle by cycle."""
        script = []
        for batch in batches:
            beats = sample_beats(batch.samples, self.config)
            last = np.arange(beats.shape[1]) == beats.shape[1] - 1
            script += [self._items("i_sample", data=beats, last=last).ravel(),
                       self._items("i_run", count=[len(batch.samples)], learn=batch.learn, time=batch.time % 256)]
        self._library.core_watch(self._core, int(watch))
        taken, marks = self._play(np.concatenate(script), o_result=sum(len(batch.samples) for batch in batches))
        seen = None
        if watch:
            cycles = int(marks[-1, 0] - marks[0, 0])
            bits = np.ctypeslib.as_array(self._library.core_seen(self._core, ctypes.c_uint64(cycles)), (cycles,)).copy()
            seen = {name: (bits >> number & 1).astype(bool) for number, name in enumerate((*STATISTICS, *WATCHED))}
        fields = {key: taken["o_result"].astype(np.int64) >> field.offset & (1 << Shape.cast(field.shape).width) - 1
                  for key, field in self._payloads["o_result"]}
        return Played(
            predictions=fields["prediction"], triggered=fields["triggered"] == 1,
            began=marks[:-1, 0], statistics=dict(zip(STATISTICS, marks[:, 1:].T, strict=True)), seen=seen)

    def statistics(self) -> dict[str, int]:
        """Totals since the last reset, by the names in `STATISTICS`; right if no counter turns within a batch."""
        return dict(zip(STATISTICS, self._totals.tolist(), strict=True))

    def _items(self, stream: str, value=None, **fields) -> np.ndarray:
        """A stream's items of integers, or of fields that are broadcast to each other: uint64."""
        shape = self._payloads[stream]
        bits = np.uint64(self._sources.index(stream) << _SOURCE)
        for key, part in fields.items() if value is None else [("", value)]:
            offset, cast = (shape[key].offset, shape[key].shape) if key else (0, shape)
            mask = (1 << Shape.cast(cast).width) - 1
            bits = bits | (np.asarray(part).astype(np.int64) & mask).astype(np.uint64) << np.uint64(offset)
        return bits

    def _rows(self, layer: int, rows: int, words: int, first_row: int, write: int) -> np.ndarray:
        return self._items("i_row", layer=layer, row=np.arange(first_row, first_row + rows), first=0, words=words,
                           write=write)

    def _play(self, script: np.ndarray, **answers: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Play a script that so many `answers` come of: these, by sink, and a row of cycle and total statistics after
        each request for a run, and one at the end."""
        script = np.ascontiguousarray(script, dtype=np.uint64)
        runs = int(np.count_nonzero(script >> np.uint64(_SOURCE) == self._sources.index("i_run")))
        marks = np.zeros((runs + 1, 1 + len(STATISTICS)), dtype=np.uint64)
        taken = {name: np.zeros(answers.get(name, 0), dtype=np.uint64) for name in self._sinks}
        sinks = (_Sink * len(taken))(*(_Sink(_pointer(items), len(items), 0) for items in taken.values()))
        started, used = time.perf_counter(), time.thread_time()
        failed = self._library.core_play(
            self._core, _pointer(script), ctypes.c_uint64(len(script)), sinks, _pointer(marks),
            ctypes.c_uint64(PATIENCE))
        self.seconds += time.perf_counter() - started
        self.processor_seconds += time.thread_time() - used
        if failed:
            got = ", ".join(f"{sink.count} of {sink.room} {name}" for name, sink in zip(taken, sinks, strict=True))
            reason = {1: f"nothing moves any more, after {PATIENCE} cycles", 2: "more comes than was asked for"}
            raise BenchError(f"the core: {reason[failed]}; {got}")
        marks = marks.astype(np.int64)
        self.cycles = int(marks[-1, 0])
        mask = (1 << self.config.statistic_width) - 1
        steps = np.diff(marks[:, 1:], axis=0, prepend=self._raw[None]) & mask
        self._raw = marks[-1, 1:].copy()
        marks[:, 1:] = self._totals + np.cumsum(steps, axis=0)
        self._totals = marks[-1, 1:].copy()
        return taken, marks


def _pointer(array: np.ndarray):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_uint64))


def _payloads(array: ArrayConfig) -> dict[str, data.Layout | Shape]:
    """Shape of every stream's payload."""
    return {name: member.signature.members["payload"].shape
            for name, member in CoreSignature(array).members.items() if member.is_signature}


def _directions(array: ArrayConfig) -> tuple[list[str], list[str]]:
    """Names of the streams into the core, and out of it."""
    members, streams = CoreSignature(array).members, _payloads(array)
    return ([name for name in streams if members[name].flow == In],
            [name for name in streams if members[name].flow != In])


@lru_cache
def _library(array: ArrayConfig, build_directory: Path) -> Path:
    """The compiled library; making the Verilog takes seconds, so a process does it once."""
    sources, sinks = _directions(array)

    def listed(names: list[str]) -> str:
        return " ".join(f"X({number}, {name})" for number, name in enumerate(names))

    ports = (f"#define SOURCES(X) {listed(sources)}\n#define SINKS(X) {listed(sinks)}\n"
             f"#define RUN {sources.index('i_run')}\n#define STATISTICS {len(STATISTICS)}\n"
             f"#define STATISTIC_WIDTH {array.statistic_width}\n"
             f"#define WATCHED(X) {' '.join(f'X({name})' for name in WATCHED)}\n"
             f"{'#define DOUBLE_RATE' if array.double_rate else ''}\n")
    texts = {"top.v": verilog.convert(Core(array), name="top", emit_src=False, strip_internal_attrs=True),
             "ports.h": ports} | {cell.name: cell.read_text() for cell in array_cells(array)}
    return verilate(texts, HARNESS, top="top", library=True, build_directory=build_directory)
