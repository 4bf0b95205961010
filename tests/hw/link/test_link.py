"""The host link in simulation, at its pins; see `sim/bench_link.py`."""

import pytest
from bitprop.hw.config import ArrayConfig
from bitprop.hw.link.config import LinkConfig
from bitprop.hw.link.link import Link
from bitprop.sim.runner import run_bench

CASES = {
    "bytes": ({}, {"clock_hz": 32_000_000, "baud": 8_000_000}),
    "wide": ({"counter_bits": 11, "update_lanes": 32, "statistic_width": 20, "pipelined": True},
             {"clock_hz": 33_000_000, "baud": 3_000_000, "buffer_bytes": 1024}),
    "pairs": ({"update_lanes": 32, "load_words": 2},
              {"clock_hz": 32_000_000, "baud": 8_000_000, "buffer_bytes": 512}),
}


@pytest.mark.parametrize("case", CASES)
def test_link(case):
    array, link = CASES[case]
    run_bench(Link(ArrayConfig(**array), LinkConfig(**link)), "bitprop.sim.bench_link", tests=11,
              parameters={"array": array, "link": link, "frames": 200, "batches": 30})
