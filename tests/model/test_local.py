"""The local rule against scalar loops, and its single-neuron case."""

import numpy as np
import pytest
from bitprop.model.config import NetworkConfig
from bitprop.model.data import random_prototypes
from bitprop.model.learners import RULES, build_learner
from bitprop.model.local import local_classifiers
from bitprop.model.trainer import Training


@pytest.mark.parametrize("seed", range(12))
def test_hardware_form_equals_scalar_loops(seed):
    rng = np.random.default_rng(seed)
    config = NetworkConfig(
        layers=(9, 7, 6, 5),
        classes=2 + seed % 3,
        margin=2,
        groups=(3, 6, 2),
        counter_bits=4,
        reinforcement=4,
        seed=seed,
    )
    learner = build_learner("local-hardware", {"network": config.to_dict(), "batch": 8})
    counters = [k.tolist() for k in learner.state.counters]
    inputs, labels = rng.choice([-1, 1], (8, 9)).astype(np.int8), rng.integers(0, config.classes, 8)
    learner.train(inputs, labels)
    weights = [[[1 if k >= 0 else -1 for k in row] for row in layer] for layer in counters]
    for time, (sample, label) in enumerate(zip(inputs.tolist(), labels, strict=True)):
        below = sample
        for layer, (w, p) in enumerate(zip(weights, learner.classifiers, strict=True)):
            width = len(w)
            z = [sum(a * b for a, b in zip(row, below, strict=True)) for row in w]
            a = [1 if value >= 0 else -1 for value in z]
            logits = [sum(x * y for x, y in zip(row, a, strict=True)) for row in p.tolist()]
            lead = logits[label] - max(value for c, value in enumerate(logits) if c != label)
            if lead < -(-2 * width // 5):
                for start in range(0, width, config.groups[layer]):
                    group = range(start, min(width, start + config.groups[layer]))
                    wrong = [j for j in group if a[j] != p[label, j]]
                    if not wrong:
                        continue
                    j = min(wrong, key=lambda j: (min(abs(z[j]) >> config.rank_shifts[layer], 15), j))
                    for i, x in enumerate(below):
                        k = max(-8, min(7, counters[layer][j][i] + int(p[label, j]) * x))
                        if (i + j + time) % 4 == 0:
                            k = max(-8, min(7, k + (1 if k >= 0 else -1)))
                        counters[layer][j][i] = k
            below = a
    assert [k.tolist() for k in learner.state.counters] == counters


def test_two_classes_are_opposite():
    for rows in local_classifiers((4, 1, 3), 2, seed=5):
        assert (rows[0] == -rows[1]).all()


@pytest.mark.parametrize("rule", ["local", "local-hardware"])
def test_learns(rule):
    dataset = random_prototypes(0.25, train=300, validation=100, test=100, width=60, classes=5)
    network = {"layers": [60, 40, 40], "classes": 5, "seed": 1}
    training = Training(build_learner(rule, {"network": network}))
    for _ in training.run(dataset, 8):
        pass
    assert training.best_accuracy(dataset.test.inputs, dataset.test.labels) > 0.8


@pytest.mark.parametrize("rule", ["local", "local-hardware"])
def test_single_neuron_is_the_clipped_perceptron(rule):
    """It learns the rule of a teacher perceptron with binary weights, updating on mistakes only."""
    rng = np.random.default_rng(3)
    teacher = rng.choice([-1, 1], 51)
    inputs = rng.choice([-1, 1], (600, 51)).astype(np.int8)
    labels = (inputs @ teacher > 0).astype(np.int64)
    margin = {"margin": 1} if rule == "local-hardware" else {"margin_ratio": 0.5}
    learner = build_learner(rule, {"network": {"layers": [51, 1], "classes": 2, **margin}, "batch": 1})
    right = learner.predict(inputs) == labels
    before = learner.arrays()
    index = int(np.flatnonzero(right)[0])
    learner.train(inputs[index : index + 1], labels[index : index + 1])
    name = next(name for name in before if name.endswith("_1"))
    assert np.array_equal(learner.arrays()[name], before[name])
    for _ in range(20):
        for start in range(500):
            learner.train(inputs[start : start + 1], labels[start : start + 1])
        learner.end_epoch(0.1, False)
    assert (learner.predict(inputs[500:]) == labels[500:]).mean() > 0.9


def test_unknown_rule_and_field():
    with pytest.raises(ValueError, match=f"one of {', '.join(RULES)}, not 'x'"):
        build_learner("x", {"network": {}})
    with pytest.raises(ValueError, match="networks of the local rule have no field 'x', but layers, "):
        build_learner("local", {"network": {"layers": [3, 3], "classes": 2, "x": 1}})
