"""The floating-point baselines, through the experiments that run them."""

import numpy as np
import pytest
from bitprop.model.data import draw_prototypes, random_prototypes
from bitprop.model.experiments import Experiment, load_data, run

DATA = {"name": "prototypes", "flip": 0.2, "train": 200, "validation": 100, "test": 100, "width": 40, "classes": 4}


def measure(rule, network, folder, epochs=1):
    experiment = Experiment(
        name=rule, about="", section="", data=DATA, rule=rule, network=network, epochs=epochs, seeds=(0,)
    )
    return run(experiment, 0, folder=folder)


@pytest.mark.parametrize("rule", ["nearest-prototype", "logistic"])
def test_easy_classes_are_told_apart(rule, tmp_path):
    result = measure(rule, {}, tmp_path)
    assert result["best"] > 0.97 and len(result["validation_curve"]) == 1


def test_prototypes_are_those_of_the_samples():
    dataset = random_prototypes(0, train=20, validation=10, test=10, width=30, classes=4, seed=7)
    prototypes = draw_prototypes(7, 4, 30)
    assert np.array_equal(dataset.train.inputs, prototypes[dataset.train.labels])


def test_every_seed_a_draw_of_its_own(tmp_path):
    experiment = Experiment(
        name="draws",
        about="",
        section="",
        data=DATA | {"flip": 0.0, "redraw": True},
        rule="nearest-prototype",
        network={"prototype_seed": None},
        epochs=1,
    )
    assert [run(experiment, seed, folder=tmp_path)["best"] for seed in (3, 4)] == [1, 1]
    draws = [load_data(experiment.data, seed).train.inputs for seed in (3, 4)]
    assert not np.array_equal(*draws)


@pytest.mark.parametrize("norm", [False, True])
def test_straight_through(norm, tmp_path):
    pytest.importorskip("torch")
    result = measure("straight-through", {"hidden": [24, 16], "batch_norm": norm, "rate": 0.01}, tmp_path, epochs=15)
    assert result["best"] > 0.8 and len(result["training_curve"]) == 15
