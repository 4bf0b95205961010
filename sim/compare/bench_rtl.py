"""Trains the simulated core on the samples of a `Work` and infers them, then counts the cycles of longer runs.

Parameters: `array`, `network` (fields of their configurations), `work` (file made by `accelerator`), `batch`, `time`
(number of the first sample), `triggers` (parts of the samples that trigger in the longer runs), `batches` (in each).
What the core then holds is left as `left.npz`, the counts as `result.json`.
"""

import json
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from ...hw.config import ArrayConfig
from ...hw.program import compile_network
from ...model.config import NetworkConfig
from ...model.step import State, infer
from ..bench_cycles import WARM_UP, measure
from ..core_host import CoreHost
from ..runner import bench_parameters
from ..streams import reset, start_clock
from ..workload import Workload


@cocotb.test(timeout_time=10, timeout_unit="sec")
async def trains_and_infers(dut):
    """Of the first part nothing is judged here: the caller compares."""
    parameters = bench_parameters()
    array, network = ArrayConfig(**parameters["array"]), NetworkConfig.from_dict(parameters["network"])
    work, batch = np.load(parameters["work"]), parameters["batch"]
    state = State([work[f"counters_{layer}"] for layer in range(network.depth)], work["classifier"])
    start_clock(dut, 10)
    await reset(dut)
    host = CoreHost(dut, array, compile_network(network, state.classifier, array))
    await host.load_program()
    await host.write_state(state)
    trained = await run(dut, host, work["inputs"], work["labels"], batch, True, parameters["time"])
    statistics = host.statistics()
    counters = await host.read_counters()
    inferred = await run(dut, host, work["inputs"], work["labels"], batch, False, 0)
    host.results.check_empty()
    np.savez("left.npz", trained=trained, inferred=inferred, **statistics,
             **{f"counters_{layer}": values for layer, values in enumerate(counters)})

    # On from there, so that nothing has to be loaded again but the program, whose margin lets triggers be chosen.
    result = []
    state = State([np.array(values) for values in counters], state.classifier)
    for trigger in parameters["triggers"]:
        workload = Workload(network=network, batch=batch, trigger=trigger)
        host.program = compile_network(workload.network, state.classifier, array)
        await host.load_program()
        state.samples = 0
        steps = list(workload.batches(state, WARM_UP + parameters["batches"] + 1))
        totals = {}
        for learn in (True, False):
            expected = [step.predictions if learn else infer(workload.network, state, inputs)
                        for inputs, _, step in steps]
            totals["train" if learn else "infer"] = await measure(dut, host, steps, expected, learn)
        result.append(totals)
    Path("result.json").write_text(json.dumps(result))


async def run(dut, host, inputs, labels, batch, learn, time) -> np.ndarray:
    """Predictions of all samples, each batch loaded while the one before is in work."""
    cuts = range(0, len(labels), batch)
    received = cocotb.start_soon(receive_all(host, [len(labels[first:first + batch]) for first in cuts]))
    for first in cuts:
        part = slice(first, first + batch)
        host.put_samples(inputs[part], labels[part])
        await host.start(len(labels[part]), learn, time + first)
    predictions = await received
    await FallingEdge(dut.clk)
    while not dut.idle.value:
        await FallingEdge(dut.clk)
    return predictions


async def receive_all(host, counts) -> np.ndarray:
    """Predictions of all batches."""
    return np.concatenate([(await host.receive(count))[0] for count in counts])
