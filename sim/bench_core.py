"""Trains random batches on the core and on the golden model and compares everything.

Parameters: `array` (`ArrayConfig` fields), `networks` (a list of `NetworkConfig` fields), `batches` (sizes; each
network begins elsewhere in that list), `spread` (of the counters, see `random_state`), `stalls` (stream to pattern; the
others never stall), `check_every` (batches between comparisons of the counters; those between two overlap in the core).
Leaves the totals in `result.json`.
"""

import json
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge, with_timeout
from cocotb.utils import get_sim_time

from ..hw.config import ArrayConfig
from ..hw.program import compile_network
from ..model.config import NetworkConfig
from ..model.step import State, forward, infer, matvec, train_batch, trigger
from .core_host import CoreHost
from .runner import bench_parameters
from .streams import reset, start_clock

PERIOD = 10  # ns
PATIENCE = 4  # ms


def random_state(network: NetworkConfig, rng: np.random.Generator, spread: int) -> State:
    """Counters uniform within ±`spread` (cut to B bits) and a random classifier."""
    low, high = max(-spread, network.counter_min), min(spread, network.counter_max + 1)
    return State(
        [rng.integers(low, high, shape).astype(np.int16) for shape in network.shapes],
        rng.choice(np.array([-1, 1], dtype=np.int8), (network.classes, network.layers[-1])))


async def idle(dut):
    """Wait until the core has nothing left to do, and its statistics show it."""
    for _ in range(3):
        await FallingEdge(dut.clk)
        while not dut.idle.value:
            await FallingEdge(dut.clk)


class BusyTime:
    """Counts the cycles in which the core is not idle."""

    def __init__(self, dut):
        self.dut, self.total = dut, 0
        cocotb.start_soon(self._count())

    async def _count(self):
        while True:
            await FallingEdge(self.dut.idle)
            begin = get_sim_time("ns")
            await RisingEdge(self.dut.idle)
            self.total += round((get_sim_time("ns") - begin) / PERIOD)


@cocotb.test()
async def trains_like_the_model(dut):
    """Every prediction, trigger and statistic; every counter as often as asked."""
    parameters = bench_parameters()
    array = ArrayConfig(**parameters["array"])
    start_clock(dut, PERIOD)
    await reset(dut)
    busy = BusyTime(dut)
    host = None
    totals = dict.fromkeys(("samples", "triggered", "row_updates", "saturations"), 0)

    def check_statistics(context):
        statistics = host.statistics()
        cycles = sum(statistics[name] for name in ("forward", "backward", "update", "stall"))
        got = {name: statistics[name] for name in totals} | {"busy": cycles % (1 << array.statistic_width)}
        expected = {name: total % (1 << array.statistic_width)
                    for name, total in (totals | {"busy": busy.total}).items()}
        assert got == expected, (context, got, expected)

    for index, fields in enumerate(parameters["networks"]):
        network = NetworkConfig.from_dict(fields)
        rng = np.random.default_rng(network.seed)
        state = random_state(network, rng, parameters.get("spread", 2))
        state.samples = int(rng.integers(0, 1000))
        program = compile_network(network, state.classifier, array)
        if host is None:
            host = CoreHost(dut, array, program, parameters.get("stalls"))
        host.program = program
        await with_timeout(host.load_program(), PATIENCE, "ms")
        await with_timeout(host.write_state(state), 10 * PATIENCE, "ms")
        for layer, counters in enumerate(await with_timeout(host.read_counters(), 10 * PATIENCE, "ms")):
            np.testing.assert_array_equal(counters, state.counters[layer], f"{fields}: layer {layer} as loaded")

        sizes = parameters["batches"]
        sizes = sizes[index % len(sizes):] + sizes[:index % len(sizes)]
        every = parameters.get("check_every", 1)
        for start in range(0, len(sizes), every):
            # The model first, then the core: all of them in one go.
            batches = []
            for number, count in enumerate(sizes[start:start + every], start):
                inputs = rng.choice(np.array([-1, 1], dtype=np.int8), (count, network.layers[0]))
                labels = rng.integers(0, network.classes, count)
                learn, time = (number + index) % 5 != 3, state.samples
                activations, _ = forward(state.weights(), inputs)
                triggered = trigger(network.margin, matvec(activations[-1], state.classifier), labels)
                if learn:
                    result = train_batch(network, state, inputs, labels)
                    predictions = result.predictions
                    totals["row_updates"] += result.row_updates
                    totals["saturations"] += result.saturations
                else:
                    predictions = infer(network, state, inputs)
                totals["samples"] += count
                totals["triggered"] += int(triggered.sum())
                batches.append((number, inputs, labels, learn, time, predictions, triggered))

            async def feed(host=host, batches=batches):
                for _, inputs, labels, learn, time, *_ in batches:
                    host.put_samples(inputs, labels)
                    await host.start(len(labels), learn, time)

            feeder = cocotb.start_soon(feed())
            for number, _, labels, learn, _, predictions, triggered in batches:
                context = f"{fields}: batch {number}, learn {learn}"
                got, got_triggered = await with_timeout(host.receive(len(labels)), PATIENCE, "ms")
                np.testing.assert_array_equal(got, predictions, context)
                np.testing.assert_array_equal(got_triggered, triggered, context)
            await with_timeout(feeder, PATIENCE, "ms")
            await with_timeout(idle(dut), PATIENCE, "ms")
            check_statistics(context)
            for layer, counters in enumerate(await with_timeout(host.read_counters(), 10 * PATIENCE, "ms")):
                np.testing.assert_array_equal(counters, state.counters[layer], f"{context}, layer {layer}")
            host.results.check_empty()
            host.counters.check_empty()
    Path("result.json").write_text(json.dumps(totals | {"cycles": busy.total}))
