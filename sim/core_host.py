"""Drives the core's streams in a bench, as the link does in a bitstream."""

import numpy as np
from amaranth.hdl import signed

from ..hw.config import ArrayConfig
from ..hw.ports import STATISTICS, CoreSignature
from ..hw.program import Program
from ..model.step import State
from .streams import PATTERNS, StreamSink, StreamSource, unflatten

__all__ = ["CoreHost"]


class CoreHost:
    """The host's side of a core under test.

    Parameters
    ----------
    stalls
        Names of `streams.PATTERNS` by stream; "" for the others.
    """

    def __init__(self, dut, array: ArrayConfig, program: Program, stalls: dict[str, str] | None = None):
        self.dut, self.array, self.program = dut, array, program
        stalls = {} if stalls is None else stalls
        members = CoreSignature(array).members
        self._statistics = members["statistics"].shape

        def stall(name):
            return PATTERNS[stalls.get(name, "never")]()

        def source(name):
            return StreamSource(dut, name, members[name].signature.members["payload"].shape, stall=stall(name))

        self.program_words, self.row, self.counter = source("i_program"), source("i_row"), source("i_counter")
        self.sample, self.run_request = source("i_sample"), source("i_run")
        self.counters = StreamSink(dut, "o_counter", signed(array.counter_bits), stall=stall("o_counter"))
        self.results = StreamSink(
            dut, "o_result", members["o_result"].signature.members["payload"].shape, stall=stall("o_result"))

    async def load_program(self) -> None:
        """Write the whole program memory."""
        await self.program_words.send(
            [{"address": address, "data": int(word)} for address, word in enumerate(self.program.words)])

    async def write_rows(self, layer: int, rows: np.ndarray) -> None:
        """Write counters `(K_l, K_{l-1})` of `layer`, 0 the first; `depth` is the classifier."""
        words = self.program.row_words[layer]
        padded = np.zeros((len(rows), words * self.array.update_lanes), dtype=np.int64)
        padded[:, :rows.shape[1]] = rows
        for number, row in enumerate(padded):
            self.row.put([{"layer": self.program.slots[layer], "row": number, "first": 0, "words": words, "write": 1}])
            await self.counter.send(row.tolist())

    async def read_rows(self, layer: int, shape: tuple[int, int]) -> np.ndarray:
        """Read counters of `shape` back."""
        words = self.program.row_words[layer]
        rows = np.zeros(shape, dtype=np.int16)
        for number in range(shape[0]):
            self.row.put([{"layer": self.program.slots[layer], "row": number, "first": 0, "words": words, "write": 0}])
            row = await self.counters.receive(words * self.array.update_lanes)
            rows[number] = row[:shape[1]]
        return rows

    async def write_state(self, state: State) -> None:
        """Load counters and classifier."""
        for layer, counters in enumerate(state.counters):
            await self.write_rows(layer, counters)
        await self.write_rows(len(state.counters), np.where(state.classifier > 0, 0, -1))

    async def read_counters(self) -> list[np.ndarray]:
        """All layers' counters."""
        return [await self.read_rows(layer, shape) for layer, shape in enumerate(self.program.network.shapes)]

    def put_samples(self, inputs: np.ndarray, labels: np.ndarray) -> None:
        """Queue samples for loading."""
        for items in self.program.beats(inputs, labels).tolist():
            self.sample.put([{"data": item, "last": place == len(items) - 1} for place, item in enumerate(items)])

    async def start(self, count: int, learn: bool, time: int) -> None:
        """Ask for a run of the samples loaded; returns when it is taken."""
        await self.sample.drained()
        await self.run_request.send([{"count": count, "learn": int(learn), "time": time % 256}])

    async def receive(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and triggers of a batch."""
        items = await self.results.receive(count)
        return (np.array([item["prediction"] for item in items]),
                np.array([bool(item["triggered"]) for item in items]))

    def statistics(self) -> dict[str, int]:
        """The statistics counters now."""
        values = unflatten(self._statistics, int(self.dut.statistics.value))
        return dict(zip(STATISTICS, values, strict=True))
