"""The core against the golden model: arrays of many shapes, each with random networks; see `sim/bench_core.py`."""

import numpy as np
import pytest
from bitprop.hw.config import ArrayConfig
from bitprop.hw.core import Core
from bitprop.hw.program import CapacityError, compile_network
from bitprop.model.config import NetworkConfig
from bitprop.sim.runner import array_cells, run_bench
from bitprop.sim.simulate import STALLS

ARRAYS = {
    "copied": {"lanes": 1, "rows": 8, "update_lanes": 8, "counter_bits": 8, "tiles": 100, "operand_words": 512,
               "replay_words": 1152, "rank_words": 2048, "winner_words": 1024, "weight_memory": "copied",
               "counter_memory": "spram", "fan_in": 255, "statistic_width": 16},
    "inputs_apart": {"lanes": 1, "update_lanes": 8, "counter_bits": 6, "tiles": 256, "operand_words": 512,
                     "replay_words": 512, "rank_words": 2048, "winner_words": 1024, "weight_memory": "double_rate",
                     "counter_memory": "spram_with_inputs", "fan_in": 1023, "statistic_width": 16},
    "inputs_apart_of_eight": {"lanes": 1, "rows": 8, "update_lanes": 8, "counter_bits": 5, "tiles": 256,
                              "operand_words": 512, "replay_words": 512, "rank_words": 2048, "winner_words": 1024,
                              "weight_memory": "double_rate", "counter_memory": "spram_with_inputs", "fan_in": 1023,
                              "statistic_width": 16},
    "copied_tall": {"lanes": 2, "update_lanes": 8, "counter_bits": 6, "tiles": 300, "operand_words": 512,
                    "replay_words": 1152, "rank_words": 2048, "winner_words": 1024, "weight_memory": "copied",
                    "counter_words": 4096, "fan_in": 255, "statistic_width": 16},
    "smallest": {"lanes": 1, "rows": 8, "update_lanes": 8, "counter_bits": 5, "tiles": 64, "operand_words": 1024,
                 "replay_words": 1024, "rank_words": 4096, "winner_words": 2048, "counter_words": 2048, "fan_in": 127,
                 "statistic_width": 16},
    "three_lanes": {"lanes": 3, "update_lanes": 16, "counter_bits": 12, "tiles": 128, "operand_words": 512,
                    "replay_words": 1024, "rank_words": 1024, "winner_words": 512, "counter_words": 2048,
                    "fan_in": 255, "scan_ahead": 2},
    "spram": {"lanes": 2, "update_lanes": 8, "counter_bits": 8, "tiles": 128, "operand_words": 512,
              "replay_words": 1280, "rank_words": 2048, "winner_words": 512, "counter_memory": "spram", "fan_in": 255,
              "statistic_width": 24},
    "block": {"lanes": 2, "update_lanes": 8, "counter_bits": 7, "tiles": 128, "operand_words": 128,
              "replay_words": 1280, "rank_words": 2048, "winner_words": 512, "counter_words": 4096, "fan_in": 255,
              "program_words": 512, "statistic_width": 16},
    "three_columns": {"columns": 3, "lanes": 2, "update_lanes": 32, "counter_bits": 6, "tiles": 128,
                      "operand_words": 512, "replay_words": 512, "rank_words": 1024, "winner_words": 512,
                      "counter_words": 1024, "fan_in": 255, "pipelined": True, "scan_ahead": 3, "load_words": 2},
    "two_columns": {"columns": 2, "lanes": 2, "update_lanes": 64, "counter_bits": 9, "tiles": 128,
                    "operand_words": 512, "replay_words": 1024, "rank_words": 1024, "winner_words": 512,
                    "counter_words": 2048, "fan_in": 255, "scan_ahead": 2, "pipelined": True},
    "four_columns": {"columns": 4, "lanes": 1, "update_lanes": 128, "counter_bits": 10, "load_words": 2,
                     "tiles": 256, "operand_words": 512, "replay_words": 512, "rank_words": 1024, "winner_words": 512,
                     "counter_words": 1024, "fan_in": 511, "pipelined": True, "scan_ahead": 4},
    "four_columns_of_eight": {"columns": 4, "lanes": 1, "rows": 8, "update_lanes": 128, "counter_bits": 10,
                              "tiles": 256, "operand_words": 512, "replay_words": 512, "rank_words": 1024,
                              "winner_words": 512,
                              "counter_words": 1024, "fan_in": 511, "pipelined": True, "scan_ahead": 4},
    "widest_word": {"lanes": 2, "update_lanes": 256, "counter_bits": 11, "tiles": 256, "operand_words": 512,
                    "replay_words": 1024, "rank_words": 2048, "winner_words": 512, "counter_words": 512,
                    "fan_in": 511, "pipelined": True},
    "double_rate": {"lanes": 1, "rows": 8, "update_lanes": 8, "counter_bits": 8, "tiles": 128, "operand_words": 512,
                    "replay_words": 1152, "rank_words": 2048, "winner_words": 1024, "weight_memory": "double_rate",
                    "counter_memory": "spram", "fan_in": 255, "statistic_width": 16},
    "double_rate_tall": {"lanes": 1, "update_lanes": 8, "counter_bits": 7, "tiles": 200, "operand_words": 512,
                         "replay_words": 1152, "rank_words": 2048, "winner_words": 1024, "counter_words": 4096,
                         "weight_memory": "double_rate", "fan_in": 255, "statistic_width": 16},
}
BATCHES = [32, 5, 31, 1, 32, 17]
NETWORKS = 13
"""Networks in a run; with two runs for each of eleven arrays, 286 in all."""

# Without stalls counters start anywhere, and saturate; with stalls they start near zero, and weights change sign.
RUNS = {"free": ({}, 1 << 12, 3), "stalled": (STALLS, 2, 2)}


def random_networks(array: ArrayConfig, count: int, seed: int) -> list[dict]:
    """Networks that fit the array, of every depth from 1 to 3, with every setting at its ends and between."""
    rng = np.random.default_rng(seed)
    reinforcements = [0, *(1 << power for power in range(9))]
    networks = []
    while len(networks) < count:
        number = len(networks)

        def pick(low: int, high: int) -> int:
            """An end of the range more often than by chance."""
            return int(rng.choice([low, high, *rng.integers(low, high + 1, 4)]))

        layers = [int(rng.choice([1, 16, *rng.integers(2, 50, 6), 64])) for _ in range(number % 3 + 2)]
        layers[0] = int(rng.choice([layers[0]] * 5 + [array.fan_in]))
        classes = pick(2, 16) if number % 4 else pick(2, array.classes)
        network = NetworkConfig(
            layers=tuple(layers), classes=classes, counter_bits=array.counter_bits,
            margin=[0, 2 * layers[-1] + 1, pick(1, layers[-1]), pick(1, layers[-1])][number % 4],
            gates=tuple(pick(0, width) for width in layers[:-1]),
            groups=tuple(int(rng.choice([min(16, width), min(32, width), pick(1, min(64, width))]))
                         for width in layers[1:]),
            rank_shifts=tuple(pick(0, 3) for _ in layers[1:]),
            reinforcement=reinforcements[(number + seed) % len(reinforcements)], seed=seed * 1000 + number)
        try:
            compile_network(network, np.ones((classes, layers[-1])), array)
        except CapacityError:
            continue
        networks.append(network.to_dict())
    return networks


@pytest.mark.parametrize("array", ARRAYS)
def test_core(array):
    config = ArrayConfig(**ARRAYS[array])
    for number, (name, (stalls, spread, check_every)) in enumerate(RUNS.items()):
        networks = random_networks(config, NETWORKS, seed=10 * list(ARRAYS).index(array) + number + 1)
        run_bench(
            Core(config), "bitprop.sim.bench_core", tests=1, name=name, sources=array_cells(config), timeout=300,
            parameters={"array": ARRAYS[array], "networks": networks, "batches": BATCHES, "stalls": stalls,
                        "spread": spread, "check_every": check_every})
