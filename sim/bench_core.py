"""Trains random batches on the core and on the golden model and compares everything, batch by batch.

Parameters: `networks` (a list of `NetworkConfig` fields), `array` (`ArrayConfig` fields), `batches` (sizes), `stalls`
(stream to pattern), `check_every` (batches between comparisons of the counters), `trigger_all`.
"""

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, with_timeout

from ..hw.config import ArrayConfig
from ..hw.program import compile_network
from ..model.config import NetworkConfig
from ..model.step import State, infer, train_batch
from .core_host import CoreHost
from .runner import bench_parameters
from .streams import reset, start_clock


def random_state(network: NetworkConfig, rng: np.random.Generator, spread: int) -> State:
    """Counters uniform within ±`spread` (cut to B bits) and a random classifier."""
    low, high = max(-spread, network.counter_min), min(spread, network.counter_max + 1)
    return State(
        [rng.integers(low, high, (rows, columns)).astype(np.int16)
         for columns, rows in zip(network.layers[:-1], network.layers[1:], strict=True)],
        rng.choice(np.array([-1, 1], dtype=np.int8), (network.classes, network.layers[-1])))


async def idle(dut):
    """Wait until the core has nothing left to do."""
    await FallingEdge(dut.clk)
    while not dut.idle.value:
        await FallingEdge(dut.clk)


@cocotb.test()
async def trains_like_the_model(dut):
    """Predictions, triggers, statistics after every batch; every counter as often as asked."""
    parameters = bench_parameters()
    array = ArrayConfig(**parameters["array"])
    start_clock(dut)
    await reset(dut)
    host = None
    for fields in parameters["networks"]:
        network = NetworkConfig.from_dict(fields)
        rng = np.random.default_rng(network.seed)
        state = random_state(network, rng, parameters.get("spread", 2))
        program = compile_network(network, state.classifier, array)
        if host is None:
            host = CoreHost(dut, array, program, parameters.get("stalls"))
        host.program = program
        await host.load_program()
        await host.write_state(state)
        for layer, counters in enumerate(await host.read_counters()):
            np.testing.assert_array_equal(counters, state.counters[layer], f"{fields}: layer {layer} as loaded")
        pending = None
        for number, count in enumerate(parameters["batches"]):
            inputs = rng.choice(np.array([-1, 1], dtype=np.int8), (count, network.layers[0]))
            labels = rng.integers(0, network.classes, count)
            learn = number % 5 != 3
            before = host.statistics()
            time = state.samples
            if learn:
                expected = train_batch(network, state, inputs, labels)
                predictions, triggered = expected.predictions, expected.triggered
            else:
                predictions, triggered = infer(network, state, inputs), None
            host.put_samples(inputs, labels)
            await host.start(count, learn, time)
            got, got_triggered = await with_timeout(host.receive(count), 40, "ms")
            np.testing.assert_array_equal(got, predictions, f"{fields}: batch {number}")
            if learn:
                np.testing.assert_array_equal(got_triggered, triggered, f"{fields}: batch {number}")
            if number % parameters.get("check_every", 1) == 0 or number == len(parameters["batches"]) - 1:
                await with_timeout(idle(dut), 40, "ms")
                if pending is None and learn:
                    after = host.statistics()
                    assert (after["row_updates"] - before["row_updates"]) % (1 << array.statistic_width) == \
                        expected.row_updates % (1 << array.statistic_width), (fields, number)
                    assert (after["saturations"] - before["saturations"]) % (1 << array.statistic_width) == \
                        expected.saturations % (1 << array.statistic_width), (fields, number)
                for layer, counters in enumerate(await host.read_counters()):
                    np.testing.assert_array_equal(
                        counters, state.counters[layer], f"{fields}: batch {number}, layer {layer}")
                pending = None
            else:
                pending = number
    host.results.check_empty()
    host.counters.check_empty()
    statistics = host.statistics()
    cocotb.log.info("statistics %s", statistics)
