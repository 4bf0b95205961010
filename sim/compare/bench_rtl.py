"""Trains the simulated core on the samples of a `Work`, infers them, and leaves what it then holds as `left.npz`.

Parameters: `array`, `network` (fields of their configurations), `work` (file made by `accelerator`), `batch`, `time`
(number of the first sample).
"""

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from ...hw.config import ArrayConfig
from ...hw.program import compile_network
from ...model.config import NetworkConfig
from ...model.step import State
from ..core_host import CoreHost
from ..runner import bench_parameters
from ..streams import reset, start_clock


@cocotb.test(timeout_time=10, timeout_unit="sec")
async def trains_and_infers(dut):
    """Nothing is judged here: the caller compares."""
    parameters = bench_parameters()
    array, network = ArrayConfig(**parameters["array"]), NetworkConfig.from_dict(parameters["network"])
    work = np.load(parameters["work"])
    state = State([work[f"counters_{layer}"] for layer in range(network.depth)], work["classifier"])
    start_clock(dut, 10)
    await reset(dut)
    host = CoreHost(dut, array, compile_network(network, state.classifier, array))
    await host.load_program()
    await host.write_state(state)
    trained = await run(dut, host, work["inputs"], work["labels"], parameters["batch"], True, parameters["time"])
    statistics = host.statistics()
    counters = await host.read_counters()
    inferred = await run(dut, host, work["inputs"], work["labels"], parameters["batch"], False, 0)
    host.results.check_empty()
    np.savez("left.npz", trained=trained, inferred=inferred, **statistics,
             **{f"counters_{layer}": values for layer, values in enumerate(counters)})


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
