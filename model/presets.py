"""Networks with settings that were chosen once, on validation data, for others to use by name."""

from __future__ import annotations

from .config import NetworkConfig

__all__ = ["DIGITS_BATCH", "DIGITS_EPOCHS", "DIGITS_VOTES", "digits_network"]

DIGITS_EPOCHS = 50
"""Epochs of `digits_network`; its validation no longer rises after 30."""

DIGITS_BATCH = 8
"""Samples a batch: 0.4 points better than 32 in cross-validation."""

DIGITS_VOTES = 20
"""The trained network is the majority of the visible weights after each of the last so many epochs
(`Training.majority`): a small network jitters by a point from epoch to epoch, and 150 validation samples
can not tell which epoch is good."""


def digits_network(seed: int = 0) -> NetworkConfig:
    """256-64-64 with 8-bit counters for `data.digits`: what `bitprop demo` trains.

    The best of about 75 settings in 5-fold cross-validation over the 1,500 samples that are not in the test part,
    4 seeds: 96.1 % there (the former settings: 94.7 %). On the default test part 95.1 ± 0.5 % over 8 seeds; that
    number was known, beside 94.4 % for training on the validation part as well, when this was settled.

    An open gate, a margin below K_L / 2 and an uncut rank in the second layer came out of that search together;
    what each is worth by itself was not separated from the noise.
    """
    return NetworkConfig(
        layers=(256, 64, 64),
        classes=10,
        counter_bits=8,
        margin=24,
        gates=(64, 64),
        rank_shifts=(1, 0),
        reinforcement=32,
        seed=seed,
    )
