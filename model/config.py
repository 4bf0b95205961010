"""What a network is: the one description that the model, the gateware and the host share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

RANK_BITS = 4
"""Width of the stored winner rank; part of the rule, because saturated ranks tie (see `NetworkConfig.rank`)."""

MAX_BATCH = 32
"""Largest batch of the hardware rule: samples during which the visible weights are held."""


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """A binary multi-layer perceptron trained by the hardware rule of Binary Error Propagation.

    `K_0` is the input width, `K_l` the width of layer l (1 ≤ l ≤ L), `C` the number of classes.

    Parameters
    ----------
    layers
        `(K_0, K_1, …, K_L)`, each at least 1, at least two entries.
    classes
        `C` ≥ 2.
    counter_bits
        `B`, 2 to 16: every hidden weight is a B-bit two's-complement counter k with h = 2k + 1.
    margin
        A sample triggers when its logit leads every other logit by less than `margin` (Eq. 1: r·K_L).
        Default: r = 0.5.
    gates
        One threshold a layer, `θ_l`: neuron i of layer l passes the error back when `|z_l,i| ≤ θ_l`
        (ν·fan-in). The first entry is never used, since nothing lies below layer 1. Default: K_{l-1}/4.
    groups
        One group size a layer: the *members* of a group, of which one at most is updated per sample.
        Default: 16 for layers up to 64 wide, else 32, never more than the layer.
    rank_shifts
        One shift a layer: candidates are ranked by `min(|z| >> shift, 15)`. Default: the smallest shift
        with which three standard deviations of a random z do not saturate.
    reinforcement
        Period R, a power of two up to 256, or 0 for none. When sample number t updates row j, the counters
        i with `(i + j + t) mod R == 0` are pushed one step away from zero after their own step.
    seed
        Seeds the counters, the classifier and the order of samples.

    Raises
    ------
    ValueError
        A field is out of its range; the message names the field, what it must be and what came.
    """

    layers: tuple[int, ...]
    classes: int
    counter_bits: int = 8
    margin: int | None = None
    gates: tuple[int, ...] | None = None
    groups: tuple[int, ...] | None = None
    rank_shifts: tuple[int, ...] | None = None
    reinforcement: int = 32
    seed: int = 0

    def __post_init__(self):
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 (frozen dataclass)
        put("layers", tuple(int(width) for width in self.layers))
        if len(self.layers) < 2 or min(self.layers) < 1:
            raise ValueError(f"layers must be an input width and at least one layer, all ≥ 1, not {self.layers}")
        fan_ins, widths = self.layers[:-1], self.layers[1:]
        if self.margin is None:
            put("margin", (widths[-1] + 1) // 2)
        if self.gates is None:
            put("gates", tuple(fan_in // 4 for fan_in in fan_ins))
        if self.groups is None:
            put("groups", tuple(min(width, 16 if width <= 64 else 32) for width in widths))
        if self.rank_shifts is None:
            put("rank_shifts", tuple(_rank_shift(fan_in) for fan_in in fan_ins))
        for name in ("gates", "groups", "rank_shifts"):
            values = tuple(int(value) for value in getattr(self, name))
            if len(values) != self.depth:
                raise ValueError(f"{name} must have one entry a layer ({self.depth}), not {values}")
            put(name, values)
        _check("classes", self.classes, 2, 1 << 12)
        _check("counter_bits", self.counter_bits, 2, 16)
        _check("margin", self.margin, 0, 2 * widths[-1] + 1)
        for layer, (fan_in, width) in enumerate(zip(fan_ins, widths, strict=True)):
            _check(f"gates[{layer}]", self.gates[layer], 0, fan_in)
            _check(f"groups[{layer}]", self.groups[layer], 1, width)
            _check(f"rank_shifts[{layer}]", self.rank_shifts[layer], 0, 3)
        if self.reinforcement not in (0, *(1 << power for power in range(9))):
            raise ValueError(f"reinforcement must be 0 or a power of two up to 256, not {self.reinforcement}")

    @property
    def depth(self) -> int:
        """L."""
        return len(self.layers) - 1

    @property
    def counter_min(self) -> int:
        """Most negative counter, -2^(B-1)."""
        return -(1 << (self.counter_bits - 1))

    @property
    def counter_max(self) -> int:
        """Most positive counter, 2^(B-1) - 1."""
        return (1 << (self.counter_bits - 1)) - 1

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shapes of W_1 … W_L: `(K_l, K_{l-1})`."""
        return list(zip(self.layers[1:], self.layers[:-1], strict=True))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready fields; `NetworkConfig.from_dict` is the inverse."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> NetworkConfig:
        """Rebuild a configuration from `to_dict`'s result; an unknown field raises TypeError."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})


def _rank_shift(fan_in: int) -> int:
    """Smallest shift, up to 3, that brings 3·sqrt(fan_in) within the stored rank."""
    spread = math.isqrt(9 * fan_in)
    return min(3, (spread >> RANK_BITS).bit_length())


def parse_widths(option: str, text: str) -> tuple[int, ...]:
    """Numbers out of "256,64,64". Raises ValueError, which names `option`, for anything else."""
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise ValueError(f"{option} must be numbers separated by commas, not {text!r}") from None


def _check(name: str, value: int, low: int, high: int) -> None:
    if not (isinstance(value, int) and low <= value <= high):
        raise ValueError(f"{name} must be an integer from {low} to {high}, not {value!r}")
