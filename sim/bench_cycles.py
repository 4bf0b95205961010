"""Counts the cycles of training and of inference on the core, fed as fast as it takes samples.

Parameters: `array`, `network` (fields of their configurations), `batch`, `trigger`, `batches`. While a batch is in
work the next is loaded, and asked for as soon as the core takes requests. The counts are left as `result.json`, with
what was seen at the ports in every cycle that counts (see `trace.Trace`).
"""

import json
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, ReadOnly
from cocotb.utils import get_sim_time

from ..hw.config import ArrayConfig
from ..hw.ports import STATISTICS
from ..hw.program import compile_network
from ..model.config import NetworkConfig
from ..model.step import infer
from .core_host import CoreHost
from .runner import bench_parameters
from .streams import reset, start_clock
from .trace import IDLE, LETTERS
from .workload import Workload

PERIOD = 10  # ns
WARM_UP = 2
"""Batches before the counting begins: the first finds nothing loaded. One more comes after it, to end the last."""


@cocotb.test(timeout_time=1, timeout_unit="sec")
async def counts_cycles(dut):
    """Totals over `batches` batches, each from its run's beginning to the next's; the predictions are the model's."""
    parameters = bench_parameters()
    array = ArrayConfig(**parameters["array"])
    count, batches = parameters["batch"], parameters["batches"]
    workload = Workload(
        network=NetworkConfig.from_dict(parameters["network"]), batch=count, trigger=parameters["trigger"])
    network, state = workload.network, workload.initial_state()
    start_clock(dut, PERIOD)
    await reset(dut)
    host = CoreHost(dut, array, compile_network(network, state.classifier, array))
    await host.load_program()
    await host.write_state(state)
    work = list(workload.batches(state, WARM_UP + batches + 1))
    result = {}
    for learn in (True, False):
        expected = [step.predictions if learn else infer(network, state, inputs) for inputs, _, step in work]
        result["train" if learn else "infer"] = await measure(dut, host, work, expected, learn)
        if learn:
            for counters, own in zip(await host.read_counters(), state.counters, strict=True):
                np.testing.assert_array_equal(counters, own)
            triggered = sum(int(np.count_nonzero(step.triggered)) for _, _, step in work[WARM_UP:-1])
            assert triggered == result["train"]["statistics"]["triggered"]
            assert triggered == batches * round(workload.trigger * count), "ties kept samples from triggering"
    host.results.check_empty()
    Path("result.json").write_text(json.dumps(result))


async def measure(dut, host: CoreHost, work: list, expected: list[np.ndarray], learn: bool) -> dict:
    """Run all batches; `samples`, elapsed `cycles` and `statistics` of those that count."""
    batch, time = len(work[0][1]), 0
    received = cocotb.start_soon(receive_all(host, [len(labels) for _, labels, _ in work]))
    mask = (1 << host.array.statistic_width) - 1
    raw = host.statistics()
    totals = began = None
    watch = Watch(dut, host.array.statistic_width)

    def add() -> None:
        # The counters may wrap, though not within a batch.
        nonlocal raw, totals
        before, raw = raw, host.statistics()
        if totals is not None:
            totals = {name: total + (raw[name] - before[name] & mask) for name, total in totals.items()}

    for number, (inputs, labels, _) in enumerate(work):
        host.put_samples(inputs, labels)
        await host.start(batch, learn, time)
        add()
        if number == WARM_UP:
            totals, began = dict.fromkeys(raw, 0), get_sim_time("ns")
            watch.start()
        time += batch
    ended, counted = get_sim_time("ns"), totals
    trace = await watch.stop(round((ended - began) / PERIOD))
    predictions = await received
    await idle(dut)
    np.testing.assert_array_equal(predictions, np.concatenate(expected))
    return {
        "samples": batch * (len(work) - WARM_UP - 1),
        "cycles": round((ended - began) / PERIOD),
        "statistics": counted,
        "trace": trace,
    }


class Watch:
    """Looks at the ports once a cycle."""

    LAG = 2
    """Cycles from what happens to the statistics that count it."""

    def __init__(self, dut, width: int):
        self._dut, self._width = dut, width
        self._letters: list[str] = []
        self._events = {"runs": [], "samples": [], "results": [], "rows": []}
        self._handshakes = {"runs": "i_run", "samples": "i_sample", "results": "o_result"}
        self._over = False

    def start(self) -> None:
        """From the next cycle on."""
        self._task = cocotb.start_soon(self._watch())

    async def stop(self, cycles: int) -> dict:
        """What came in the first `cycles` cycles."""
        self._over = True
        await self._task
        return {"letters": "".join(self._letters[self.LAG:])[:cycles]} | {
            name: [place for place in places if 0 <= place < cycles] for name, places in self._events.items()}

    async def _watch(self):
        dut, mask = self._dut, (1 << self._width) - 1
        ports = {name: (getattr(dut, f"{port}__valid"), getattr(dut, f"{port}__ready"))
                 for name, port in self._handshakes.items()}
        phases = [(STATISTICS.index(name) * self._width, letter) for name, letter in LETTERS.items()]
        rows = STATISTICS.index("row_updates") * self._width
        cycle, before, left = 0, int(dut.statistics.value), self.LAG
        while left:
            await FallingEdge(dut.clk)
            await ReadOnly()
            now = int(dut.statistics.value)
            # What a statistic is in this cycle, it became by the cycle before.
            self._letters.append(next(
                (letter for place, letter in phases if (now ^ before) >> place & mask), IDLE))
            if (now ^ before) >> rows & mask:
                self._events["rows"].append(cycle - self.LAG)
            for name, (valid, ready) in ports.items():
                if valid.value and ready.value:
                    self._events[name].append(cycle)
            before, cycle = now, cycle + 1
            left -= self._over


async def receive_all(host: CoreHost, counts: list[int]) -> np.ndarray:
    """Predictions of all batches."""
    return np.concatenate([(await host.receive(count))[0] for count in counts])


async def idle(dut) -> None:
    """Wait until the core has nothing left to do."""
    await FallingEdge(dut.clk)
    while not dut.idle.value:
        await FallingEdge(dut.clk)
