"""A network on a simulated device, over the link; see `sim/bench_accelerator.py`."""

from bitprop.hw.config import ArrayConfig
from bitprop.hw.link.config import LinkConfig
from bitprop.hw.system import System
from bitprop.model.config import NetworkConfig
from bitprop.sim.runner import run_bench

NETWORK = NetworkConfig(layers=(37, 24, 19), classes=5, reinforcement=8, counter_bits=6, seed=3)
ARRAY = ArrayConfig(counter_bits=6, tiles=64, operand_words=256, replay_words=512, counter_words=512)
LINK = {"clock_hz": 32_000_000, "baud": 8_000_000}


def test_accelerator():
    run_bench(System(ARRAY, LinkConfig(**LINK)), "bitprop.sim.bench_accelerator", tests=4, parameters={
        "array": ARRAY.to_dict(), "link": LINK, "network": NETWORK.to_dict()})
