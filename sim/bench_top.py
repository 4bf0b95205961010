"""A board's design at its pins: clock in, UART. Trains on it like the host does, and compares with the golden model.

Parameters: `network` (`NetworkConfig` fields), `batches` (sizes), `rounds` (with a reset after each), `clock_hz` (of
the board's oscillator), `baud`.
What was equal goes to `result.json`.
"""

import json
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge
from cocotb.triggers import Timer

from ..hw.program import compile_network
from ..model.config import NetworkConfig
from ..model.step import infer, train_batch
from ..synth.driver import Device
from .bench_core import random_state
from .runner import bench_parameters
from .transport import SimulatedTransport

SETTLING = 40  # µs


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def trains_through_its_pins(dut):
    """Load, train, infer, read back; the statistics; then a reset, after which all that may begin again."""
    parameters = bench_parameters()
    network = NetworkConfig.from_dict(parameters["network"])
    rng = np.random.default_rng(network.seed)
    period = round(1e12 / parameters["clock_hz"] / 2) * 2
    Clock(dut.clk, period, "ps").start()
    line = SimulatedTransport(dut.rx, dut.tx, bit_time=1e9 / parameters["baud"])
    await Timer(SETTLING, "us")
    assert dut.tx.value == 1, "an idle line is high"

    @bridge
    def session() -> dict[str, int]:
        device = Device(line, attempts=1)
        done = dict.fromkeys(("trained", "inferred", "row_updates", "counters"), 0)
        for _ in range(parameters["rounds"]):
            state = random_state(network, rng, 3)
            program = compile_network(network, state.classifier, device.config)
            device.write_program(program.words)
            for layer, counters in enumerate(state.counters):
                device.write_rows(program.slots[layer], counters)
            device.write_rows(program.slots[-1], np.where(state.classifier > 0, 0, -1))
            totals = dict.fromkeys(("samples", "triggered", "row_updates", "saturations"), 0)
            for number, count in enumerate(parameters["batches"]):
                inputs = rng.choice(np.array([-1, 1], dtype=np.int8), (count, network.layers[0]))
                labels = rng.integers(0, network.classes, count)
                learn, time = number % 3 != 1, state.samples
                device.load_samples(program.pack(inputs, labels))
                predictions, triggered = device.run(count, learn, time)
                totals["samples"] += count
                done["trained" if learn else "inferred"] += count
                if learn:
                    expected = train_batch(network, state, inputs, labels)
                    np.testing.assert_array_equal(predictions, expected.predictions)
                    np.testing.assert_array_equal(triggered, expected.triggered)
                    totals["row_updates"] += expected.row_updates
                    totals["saturations"] += expected.saturations
                else:
                    np.testing.assert_array_equal(predictions, infer(network, state, inputs))
                totals["triggered"] += int(triggered.sum())
            for layer, counters in enumerate(state.counters):
                np.testing.assert_array_equal(device.read_rows(program.slots[layer], *counters.shape), counters)
                done["counters"] += counters.size
            statistics = device.statistics()
            assert {name: statistics[name] for name in totals} == totals
            done["row_updates"] += totals["row_updates"]
            device.reset()
            assert not any(device.statistics().values())
        assert device.repeats == 0
        return done

    done = await session()
    assert done["row_updates"] > 100, "hardly anything was trained"
    Path("result.json").write_text(json.dumps(done))
