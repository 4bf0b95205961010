"""Counts the cycles of training and of inference on the core, fed as fast as it takes samples.

Parameters: `array`, `network` (fields of their configurations), `batch`, `trigger`, `batches`. While a batch is in
work the next is loaded, and asked for as soon as the core takes requests. The counts are left as `result.json`.
"""

import json
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge
from cocotb.utils import get_sim_time

from ..hw.config import ArrayConfig
from ..hw.program import compile_network
from ..model.config import NetworkConfig
from ..model.step import infer
from .core_host import CoreHost
from .runner import bench_parameters
from .streams import reset, start_clock
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
        time += batch
    ended, counted = get_sim_time("ns"), totals
    predictions = await received
    await idle(dut)
    np.testing.assert_array_equal(predictions, np.concatenate(expected))
    return {
        "samples": batch * (len(work) - WARM_UP - 1),
        "cycles": round((ended - began) / PERIOD),
        "statistics": counted,
    }


async def receive_all(host: CoreHost, counts: list[int]) -> np.ndarray:
    """Predictions of all batches."""
    return np.concatenate([(await host.receive(count))[0] for count in counts])


async def idle(dut) -> None:
    """Wait until the core has nothing left to do."""
    await FallingEdge(dut.clk)
    while not dut.idle.value:
        await FallingEdge(dut.clk)
