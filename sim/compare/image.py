"""What a compiled core program reads and leaves: the macros that make it, and its memory as an image of words.

The layout is that of `struct memory` in `c/bep.h`: 32-bit little-endian words, bit i of word w is position 32 w + i, a
1 means +1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...model.config import NetworkConfig
from ...model.step import State

__all__ = ["Layout", "macros", "pack", "unpack"]

HEADER = ("batch", "train", "infer", "margin", "samples", "triggered", "row_updates", "saturations")


def macros(network: NetworkConfig, samples: int) -> dict[str, str]:
    """Definitions for the compiler, by name: see `c/bep.h`."""
    layers = zip(network.shapes, network.gates, network.groups, network.rank_shifts, strict=True)
    return {
        "NETWORK(X)": "".join(f"X({number},{inputs},{outputs},{gate},{group},{shift})" for number, (
            (outputs, inputs), gate, group, shift) in enumerate(layers)),
        "DEPTH": str(network.depth),
        "FIRST_INPUTS": str(network.layers[0]),
        "WIDEST": str(max(network.layers)),
        "OUTPUTS": str(network.layers[-1]),
        "CLASSES": str(network.classes),
        "PLANES": str(network.counter_bits),
        "REINFORCEMENT": str(network.reinforcement),
        "SAMPLES": str(samples),
    }


def pack(values: np.ndarray) -> np.ndarray:
    """Bits of ±1 or of 0/1 along the last axis, as uint32 words: `(…, n)` becomes `(…, ⌈n/32⌉)`."""
    bits = np.asarray(values) > 0
    padded = np.zeros((*bits.shape[:-1], -(-bits.shape[-1] // 32) * 32), dtype=bool)
    padded[..., :bits.shape[-1]] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<u4")


def unpack(words: np.ndarray, count: int) -> np.ndarray:
    """The first `count` bits of uint32 words `(…, w)`, as 0 and 1 in uint8 `(…, count)`."""
    octets = np.ascontiguousarray(words, "<u4").view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[..., :count]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where everything lies in the memory of a program compiled for `network` and `samples` samples.

    Members
    -------
    network, samples
        What there is room for.
    """

    network: NetworkConfig
    samples: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape, in the order in memory."""
        network, words = self.network, lambda bits: -(-bits // 32)
        shapes: dict[str, tuple[int, ...]] = {name: () for name in HEADER}
        shapes |= {
            "inputs": (self.samples, words(network.layers[0])),
            "labels": (self.samples,),
            "trained_predictions": (self.samples,),
            "inferred_predictions": (self.samples,),
            "classifier": (network.classes, words(network.layers[-1])),
        }
        shapes |= {f"counters_{number}": (outputs, words(inputs), network.counter_bits)
                   for number, (outputs, inputs) in enumerate(network.shapes)}
        return shapes | {f"held_{number}": (-(-outputs // 8) * 8, words(inputs))
                         for number, (outputs, inputs) in enumerate(network.shapes)}

    @property
    def words(self) -> int:
        """Words of the whole."""
        return sum(int(np.prod(shape, dtype=int)) for shape in self.shapes.values())

    def views(self, memory: np.ndarray) -> dict[str, np.ndarray]:
        """Name to the part of `memory`, uint32 `(words,)`, that has it."""
        views, start = {}, 0
        for name, shape in self.shapes.items():
            size = int(np.prod(shape, dtype=int))
            views[name] = memory[start:start + size].reshape(shape)
            start += size
        return views

    def fill(self, state: State, inputs: np.ndarray, labels: np.ndarray, *, batch: int, infer: int) -> np.ndarray:
        """The memory before a run: uint32 `(words,)`. `infer` samples are predicted after training on all."""
        memory = np.zeros(self.words, dtype="<u4")
        views = self.views(memory)
        header = {"batch": batch, "train": len(labels), "infer": infer, "margin": self.network.margin,
                  "samples": state.samples}
        for name, value in header.items():
            views[name][...] = value
        views["inputs"][:len(inputs)] = pack(inputs)
        views["labels"][:len(labels)] = labels
        views["classifier"][:] = pack(state.classifier)
        for number, counters in enumerate(state.counters):
            for plane in range(self.network.counter_bits):
                views[f"counters_{number}"][:, :, plane] = pack(counters >> plane & 1)
        return memory

    def state(self, memory: np.ndarray) -> State:
        """The state that a run has left."""
        views = self.views(memory)
        counters = []
        for number, (_, inputs) in enumerate(self.network.shapes):
            planes = views[f"counters_{number}"]
            bits = [unpack(planes[:, :, plane], inputs).astype(np.int16) for plane in range(planes.shape[2])]
            value = sum(bit << plane for plane, bit in enumerate(bits[:-1]))
            counters.append(value - (bits[-1] << len(bits) - 1))
        classifier = 2 * unpack(views["classifier"], self.network.layers[-1]).astype(np.int8) - 1
        return State(counters, classifier, int(views["samples"]))
