"""Cycles of the presets as simulated, kept to hold the forecast against: `python -m bitprop.sim.record`.

To be run again when a preset or the gateware's timing has changed. Compiling the large presets and running all these
networks takes some ten minutes: the tests only read what was found, and simulate small arrays themselves.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from ..model.config import NetworkConfig
from ..synth.boards import BOARDS
from .cycles import measure_cycles
from .workload import Workload

__all__ = ["RECORD_FILE", "WORKS", "works"]

RECORD_FILE = Path(__file__).parent / "recorded.json"

WORKS = {
    # Layers, group sizes, samples a batch, part that triggers.
    "icebreaker": [((256, 64, 64), None, 32, 1.0), ((256, 64, 64), None, 8, 1.0), ((256, 64, 64), None, 32, 0.3),
                   ((130, 30, 24, 30), (16, 7, 10), 32, 1.0), ((300, 35), (35,), 32, 1.0)],
    "icebreaker-wide": [((1000, 35, 35), (35, 35), 32, 1.0), ((1000, 35, 35), None, 32, 1.0),
                        ((784, 64, 64), (32, 32), 32, 1.0), ((784, 32), (32,), 32, 0.3)],
    "hx8k": [((64, 32, 16), None, 32, 1.0), ((64, 32, 16), None, 32, 0.3), ((196, 16), None, 8, 1.0)],
    "ulx3s-25f": [((256, 64, 64), None, 32, 1.0), ((256, 64, 64), None, 8, 1.0), ((256, 64, 64), None, 32, 0.3),
                  ((64, 30, 32, 30), None, 32, 1.0), ((512, 48), None, 32, 1.0), ((1000, 35, 35), (35, 35), 32, 1.0)],
    "ulx3s-85f": [((256, 64, 64), None, 32, 1.0), ((256, 64, 64), None, 8, 1.0), ((256, 64, 64), None, 32, 0.3),
                  ((1000, 35, 35), (35, 35), 32, 1.0), ((1000, 35, 35), (35, 35), 8, 0.3),
                  ((784, 256, 256), (32, 32), 32, 1.0)],
}


def works() -> Iterator[tuple[str, Workload]]:
    """Boards' names, and what runs on them."""
    for board, entries in WORKS.items():
        for layers, groups, batch, trigger in entries:
            network = NetworkConfig(
                layers=layers, classes=10, groups=groups, counter_bits=BOARDS[board].config.counter_bits)
            yield board, Workload(network=network, batch=batch, trigger=trigger)


def record() -> list[dict]:
    """The contents of `recorded.json`."""
    found = []
    for board, workload in works():
        train, infer = measure_cycles(BOARDS[board].config, workload, batches=4)
        found.append({
            "board": board, "array": BOARDS[board].config.to_dict(), "network": workload.network.to_dict(),
            "batch": workload.batch, "trigger": workload.trigger, "train": train.cycles, "infer": infer.cycles})
        print(f"{board} {workload.network.layers}: {train.cycles:.1f}, {infer.cycles:.1f}", file=sys.stderr)
    return found


if __name__ == "__main__":
    RECORD_FILE.write_text(json.dumps(record(), indent=1) + "\n")
