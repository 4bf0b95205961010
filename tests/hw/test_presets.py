"""Every board's array at its full size against the golden model: small random networks, every counter."""

import dataclasses

import numpy as np
import pytest
from bitprop.hw.program import CapacityError
from bitprop.model.config import NetworkConfig
from bitprop.model.initial import initial_state
from bitprop.model.step import infer, train_batch
from bitprop.sim.compiled import CompiledCore
from bitprop.synth.accelerator import Accelerator
from bitprop.synth.boards import BOARDS

NETWORKS, BATCHES = 6, (32, 5, 32, 17)


def random_networks(array, seed: int):
    """Of one and two hidden layers, rarely of whole words; not all fit a small board."""
    rng = np.random.default_rng(seed)
    while True:
        layers = tuple(int(width) for width in (rng.integers(2, 200), *rng.integers(2, 70, rng.integers(1, 3))))
        yield NetworkConfig(
            layers=layers, classes=int(rng.integers(2, 12)), counter_bits=array.counter_bits,
            margin=int(rng.integers(1, layers[-1] + 1)),
            gates=tuple(int(rng.integers(0, width)) for width in layers[:-1]),
            groups=tuple(int(rng.integers(1, min(width, 64) + 1)) for width in layers[1:]),
            reinforcement=int(2 ** rng.integers(0, 8)), seed=int(rng.integers(1000)))


@pytest.mark.parametrize("name", BOARDS)
def test_preset_is_the_model(name):
    array = BOARDS[name].config
    core, trained = CompiledCore(array), 0
    rng = np.random.default_rng(list(BOARDS).index(name))
    for network in random_networks(array, seed=7):
        state = initial_state(network)
        # Counters near both ends and near zero, so that steps are lost and weights change sign.
        for counters in state.counters:
            counters[...] = rng.choice([network.counter_min, -1, 0, network.counter_max], counters.shape)
        try:
            accelerator = Accelerator(core, network, state.classifier)
        except CapacityError:
            continue
        accelerator.load(state)
        for count in BATCHES:
            inputs = rng.choice(np.array([-1, 1], dtype=np.int8), (count, network.layers[0]))
            labels = rng.integers(0, network.classes, count)
            expected, got = train_batch(network, state, inputs, labels), accelerator.train_batch(inputs, labels)
            for field in dataclasses.fields(expected):
                np.testing.assert_array_equal(getattr(got, field.name), getattr(expected, field.name), field.name)
        assert accelerator.read_state().digest() == state.digest()
        np.testing.assert_array_equal(accelerator.infer(inputs), infer(network, state, inputs))
        trained += 1
        if trained == NETWORKS:
            return
