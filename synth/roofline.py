"""The least cycles that a sample can take: what the lanes, the memories' ports and the line allow.

Each bound is what one part would take if all others were ready whenever it asked. The largest of those on the chip is
the roofline; the line to the host is told apart, because a UART is slower than everything else.
"""

import math
from dataclasses import dataclass

from ..hw.config import TILE
from ..hw.link.config import LinkConfig
from ..hw.link.protocol import CRC_BYTES, REQUEST_HEADER, RESPONSE_HEADER
from ..hw.program import Program
from ..hw.timing import Timing
from ..model.config import MAX_BATCH, NetworkConfig
from .schedule import input_fetches, program_layers, program_phases, row_chances, row_samples

__all__ = ["Roofline", "bit_ops", "counter_updates", "find_roofline"]

BITS_A_BYTE = 10
"""On the line: start bit, eight, stop bit."""

FRAME_BYTES = 2
"""Code and delimiter of a frame."""


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """Bounds in cycles a sample.

    lanes
        Bit operations of the network over those that the array makes a cycle.
    counters
        Counter steps over those that the updater makes a cycle.
    ports
        By memory: accesses of its busiest port. "weights" has a tile a cycle, parts of tiles counted whole; "counters"
        each updated row once a batch; "replay" one sample's word for each step of a word, or one word written;
        "operands" a pair read for each word and what goes with a job, or a word written. Where inputs lie apart,
        "inputs" has all that of the first layer: what the array and the updates read, and what is loaded.
    loader
        Items of the sample and words of its target, of which one enters a cycle.
    link
        Cycles that the line takes for the sample and its result.
    """

    lanes: float
    counters: float
    ports: dict[str, float]
    loader: float
    link: float

    @property
    def bounds(self) -> dict[str, float]:
        """All on the chip, by name."""
        return {"popcount lanes": self.lanes, "counter lanes": self.counters} | {
            f"port of {name}": value for name, value in self.ports.items()} | {"loader": self.loader}

    @property
    def cycles(self) -> float:
        """The roofline: the largest on the chip."""
        return max(self.bounds.values())

    @property
    def limit(self) -> str:
        """Which it is."""
        return max(self.bounds, key=self.bounds.get)

    def to_dict(self) -> dict:
        """JSON-ready."""
        return {"popcount_lanes": self.lanes, "counter_lanes": self.counters, "ports": self.ports,
                "loader": self.loader, "link": self.link, "roofline": self.cycles, "limit": self.limit}


def bit_ops(network: NetworkConfig, *, learn: bool) -> int:
    """Multiplications of single bits that a sample takes: each layer, the logits, and for learning the votes."""
    products = [a * b for a, b in network.shapes]
    forward = sum(products) + network.layers[-1] * network.classes
    return forward + (sum(products[1:]) if learn else 0)


def counter_updates(network: NetworkConfig) -> float:
    """Steps of single counters that a sample is expected to make, if it triggers: its winners' rows."""
    return sum(fan_in * sum(row_chances(network, layer)) for layer, fan_in in enumerate(network.layers[:-1]))


def find_roofline(program: Program, link: LinkConfig, *, batch: int = MAX_BATCH, trigger: float = 1.0,
                  learn: bool = True) -> Roofline:
    """The bounds for batches of `batch` samples, a part `trigger` of which updates."""
    network, array = program.network, program.array
    triggered = round(trigger * batch) if learn else 0
    passes = -(-batch // array.samples)
    phases = program_phases(program, learn=learn)
    layers = program_layers(program)
    blocks = sum(-(-width // array.rows) for width in network.layers[1:-1])
    row_words = [layer["words"] + 1 for layer in layers]

    timing = Timing(array=array)
    reads = sum(timing.words(phase) * (phase["blocks"] + 1) for phase in phases) * passes
    aside = sum((phase["keep_value"] + phase["keep_gate"]) * (phase["blocks"] + 1) for phase in phases) * passes
    writes = sum((phase["write_value"] + phase["write_gate"]) * (phase["blocks"] + 1) for phase in phases) * passes
    rows = [sum(1 for count in row_samples(network, layer, triggered) if count) for layer in range(network.depth)]
    steps = [triggered * sum(row_chances(network, layer)) * row_words[layer] for layer in range(network.depth)]
    accesses = sum(count * width for count, width in zip(rows, row_words, strict=True))
    loaded = batch * (program.sample_beats - 1)
    ports = {"weights": reads, "counters": accesses * (2 if array.single_port else 1)}
    if array.inputs_apart:
        first = timing.words(phases[0]) * (phases[0]["blocks"] + 1) * passes
        ports |= {"inputs": first + input_fetches(network, array, triggered) + loaded,
                  "operands": max(reads - first + aside, writes), "replay": max(sum(steps[1:]), batch * blocks)}
    else:
        ports |= {"operands": max(reads + aside, writes), "replay": max(sum(steps), loaded + batch * blocks)}
    return Roofline(
        lanes=bit_ops(network, learn=learn) / array.bit_ops,
        counters=triggered / batch * counter_updates(network) / array.update_lanes,
        ports={name: value / batch for name, value in ports.items()},
        loader=program.sample_beats + math.ceil(network.layers[-1] / TILE),
        link=line_bytes(program, link, batch) * BITS_A_BYTE * link.divisor / batch)


def line_bytes(program: Program, link: LinkConfig, batch: int) -> int:
    """Bytes on the line for a batch, one direction after the other: samples, the answers to them, run, results."""
    sample = 2 * (program.sample_words + 1)
    together = max(1, link.request_bytes // sample)
    requests = -(-batch // together)
    request, answer = (header + CRC_BYTES + FRAME_BYTES for header in (REQUEST_HEADER, RESPONSE_HEADER))
    return batch * sample + (requests + 1) * (request + answer) + batch
