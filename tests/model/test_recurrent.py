"""The recurrent rule against scalar loops."""

import numpy as np
import pytest
from bitprop.model.learners import build_learner
from bitprop.model.recurrent import RecurrentConfig, RecurrentCounterConfig, recurrent_forward


def sign(value):
    return 1 if value >= 0 else -1


def product(rows, vector):
    return [sum(w * x for w, x in zip(row, vector, strict=True)) for row in rows]


def votes(rows, gated):
    """Signs of the columns' votes, 0 on a tie."""
    sums = [sum(row[j] * g for row, g in zip(rows, gated, strict=True)) for j in range(len(rows[0]))]
    return [0 if value == 0 else sign(value) for value in sums]


def winner(group, score, wrong):
    """The wrong neuron of a group with the least |score|, the first of equals; None without one."""
    return min((j for j in group if wrong[j]), key=lambda j: (abs(score[j]), j), default=None)


def expected_steps(config, weights, classifier, groups, sample, label):
    """Every step of one sample: `(matrix, row, [±1 steps in time order])`."""
    xs, ss, sy = weights
    inputs = [sample[t * config.layers[0] : (t + 1) * config.layers[0]] for t in range(config.window)]
    states, sums = [[1] * config.layers[1]], []
    for a in inputs:
        sums.append([x + s for x, s in zip(product(xs, a), product(ss, states[-1]), strict=True)])
        states.append([sign(z) for z in sums[-1]])
    z_y = product(sy, states[-1])
    s_y = [sign(z) for z in z_y]
    logits = product(classifier, s_y)
    if logits[label] - max(v for c, v in enumerate(logits) if c != label) >= config.margin:
        return []
    target = classifier[label]
    desired = [votes(sy, [t if abs(z) <= config.gate else 0 for t, z in zip(target, z_y, strict=True)])]
    for z in sums[:0:-1]:
        desired.insert(0, votes(ss, [d if abs(v) <= config.gate else 0 for d, v in zip(desired[0], z, strict=True)]))
    width, top = config.layers[1:]
    if config.ranking == "last":
        score = sums[-1]
        wrong = [d != 0 and d != s for d, s in zip(desired[-1], states[-1], strict=True)]
    else:
        score = [sum(d[j] * z[j] for d, z in zip(desired, sums, strict=True)) for j in range(width)]
        wrong = [value < 0 for value in score]
    steps = []
    for start in range(0, width, groups[0]):
        j = winner(range(start, start + groups[0]), score, wrong)
        if j is not None:
            steps.append((0, j, [[d[j] * x for x in a] for d, a in zip(desired, inputs, strict=True)]))
            steps.append((1, j, [[d[j] * x for x in s] for d, s in zip(desired, states, strict=False)]))
    wrong = [t != s for t, s in zip(target, s_y, strict=True)]
    for start in range(0, top, groups[1]):
        j = winner(range(start, start + groups[1]), z_y, wrong)
        if j is not None:
            steps.append((2, j, [[target[j] * x for x in states[-1]]]))
    return steps


CASES = [(seed, ranking) for seed in range(8) for ranking in ("sum", "last")]


def network(seed, ranking):
    return {
        "layers": (3, 6, 4),
        "classes": 3,
        "window": 1 + seed % 4,
        "group": 3,
        "gate_ratio": 0.5,
        "ranking": ranking,
        "seed": seed,
    }


def batch(seed, config):
    rng = np.random.default_rng(seed)
    return rng.choice([-1, 1], (9, 3 * config.window)).astype(np.int8), rng.integers(0, 3, 9)


@pytest.mark.parametrize("seed, ranking", CASES)
def test_counters_equal_scalar_loops(seed, ranking):
    config = RecurrentCounterConfig(**network(seed, ranking), counter_bits=3, reinforcement=4)
    learner = build_learner("recurrent-hardware", {"network": config.to_dict()})
    inputs, labels = batch(seed, config)
    classifier = learner.state.classifier.tolist()
    counters = [k.tolist() for k in learner.state.counters]
    weights = [w.tolist() for w in learner.state.weights()]
    for time, (sample, label) in enumerate(zip(inputs.tolist(), labels, strict=True)):
        steps = expected_steps(config, weights, classifier, config.initial_groups(), sample, label)
        for matrix, row, sequence in steps:
            k = counters[matrix][row]
            for step in sequence:
                k = [max(-4, min(3, value + d)) for value, d in zip(k, step, strict=True)]
            counters[matrix][row] = [
                max(-4, min(3, v + sign(v))) if (i + row + time) % 4 == 0 else v for i, v in enumerate(k)
            ]
    learner.train(inputs, labels)
    assert [k.tolist() for k in learner.state.counters] == counters


@pytest.mark.parametrize("seed, ranking", CASES)
def test_published_form_equals_scalar_loops(seed, ranking):
    config = RecurrentConfig(**network(seed, ranking), reinforcement_ratio=0)
    learner = build_learner("recurrent", {"network": config.to_dict()})
    inputs, labels = batch(seed, config)
    expected = [h.astype(int) for h in learner.state.hidden]
    weights = [w.tolist() for w in learner.weights()]
    classifier = learner.state.classifier.tolist()
    for sample, label in zip(inputs.tolist(), labels, strict=True):
        for matrix, row, sequence in expected_steps(config, weights, classifier, learner.state.groups, sample, label):
            expected[matrix][row] += 2 * np.sum(sequence, axis=0)
    learner.train(inputs, labels)
    assert all(np.array_equal(h, e) for h, e in zip(learner.state.hidden, expected, strict=True))


@pytest.mark.parametrize("rule", ["recurrent", "recurrent-hardware"])
def test_learns_what_needs_memory(rule):
    """The class is the majority of one input over time; no single step tells it."""
    rng = np.random.default_rng(1)
    inputs = rng.choice([-1, 1], (500, 5, 15)).astype(np.int8)
    inputs[:, :, :5] = inputs[:, :, :1]
    labels = (inputs[:, :, 0].sum(axis=1) > 0).astype(np.int64)
    inputs = inputs.reshape(500, -1)
    learner = build_learner(rule, {"network": {"layers": [15, 48, 48], "classes": 2, "window": 5}, "batch": 20})
    for _ in range(20):
        for start in range(0, 400, 20):
            learner.train(inputs[start : start + 20], labels[start : start + 20])
        learner.end_epoch(0.2, False)
    assert (learner.predict(inputs[400:]) == labels[400:]).mean() > 0.85


def test_configuration_is_checked():
    for fields, message in (
        ({"layers": (3, 4)}, "layers must be"),
        ({"window": 0}, "window must be at least 1"),
        ({"ranking": "x"}, "ranking must be one of sum, last"),
        ({"gate_ratio": 2}, "gate_ratio must be"),
    ):
        with pytest.raises(ValueError, match=message):
            RecurrentConfig(**{"layers": (3, 4, 4), "classes": 2, "window": 2} | fields)
    with pytest.raises(ValueError, match="counter_bits"):
        RecurrentCounterConfig(layers=(3, 4, 4), classes=2, window=2, counter_bits=1)


LINE = {"layers": (12, 60, 8), "classes": 3, "window": 5, "initial": "delay-line"}


def line_states(config):
    """Bits ±1 `(samples, T, 6)`, and the pairs that the untrained network's state holds after every step."""
    bits = np.random.default_rng(0).choice(np.array([-1, 1], dtype=np.int8), (40, 5, 6))
    rule = "recurrent-hardware" if isinstance(config, RecurrentCounterConfig) else "recurrent"
    weights = build_learner(rule, {"network": config.to_dict()}).weights()
    states = recurrent_forward(config, weights, np.repeat(bits, 2, axis=2).reshape(40, -1)).states
    pairs = states.reshape(40, 6, -1, 2)
    assert np.array_equal(pairs[..., 0], pairs[..., 1])
    return bits, pairs[..., 0]


@pytest.mark.parametrize("kind", [RecurrentConfig, RecurrentCounterConfig])
def test_delay_line_holds_the_whole_window(kind):
    bits, states = line_states(kind(**LINE))
    assert np.array_equal(states[:, -1].reshape(40, 5, 6), bits[:, ::-1])


def test_delay_line_holds_features_of_several_steps():
    bits, states = line_states(RecurrentConfig(**LINE | {"layers": (12, 2 * 12 + 10 * 7, 8), "context": 3, "taps": 3}))
    last = states[:, -1]
    assert np.array_equal(last[:, :12], bits[:, [4, 3]].reshape(40, 12))
    for delay in range(5):
        assert np.array_equal(last[:, 12 + 7 * delay : 19 + 7 * delay], states[:, 5 - delay, 12:19])
    # Every feature is the majority of three of the last three steps' bits, of which the second one is negated.
    seen = bits[:, 2:].reshape(40, 18)
    a, b, c = np.meshgrid(*[np.arange(18)] * 3, indexing="ij")
    sums = np.where(seen[:, a] - seen[:, b].astype(int) + seen[:, c] > 0, 1, -1)
    for feature in last[:, 12:19].T:
        assert (sums == feature[:, None, None, None]).all(axis=0).any()


@pytest.mark.parametrize("kind, end", [(RecurrentConfig, 32767), (RecurrentCounterConfig, 255)])
def test_delay_line_starts_at_the_counters_end(kind, end):
    rule = "recurrent" if kind is RecurrentConfig else "recurrent-hardware"
    arrays = build_learner(rule, {"network": LINE | {"spread": 64}}).arrays()
    xs, ss, sy = (
        arrays[f"hidden_{n}"].astype(int) if rule == "recurrent" else 2 * arrays[f"counters_{n}"].astype(int) + 1
        for n in (1, 2, 3)
    )
    assert set(np.abs(xs).flat) == set(np.abs(ss).flat) == {end}
    assert sy.min() < -100 and sy.max() > 100 and np.abs(sy).max() <= 127


@pytest.mark.parametrize("initial, low, high", [("delay-line", 0.95, 1), ("random", 0, 0.5)])
def test_delay_line_learns_the_first_step(initial, low, high):
    """The class is that of the first of five steps, which a random state has forgotten."""
    rng = np.random.default_rng(1)
    bits = rng.choice(np.array([-1, 1], dtype=np.int8), (700, 5, 4))
    labels = (bits[:, 0, 0] > 0) * 2 + (bits[:, 0, 1] > 0)
    inputs = np.repeat(bits, 2, axis=2).reshape(700, -1)
    network = {"layers": [8, 40, 64], "classes": 4, "window": 5, "gate_ratio": 0.0, "ranking": "last", "group": 4}
    learner = build_learner("recurrent", {"network": network | {"initial": initial, "spread": 16}, "batch": 20})
    for _ in range(10):
        for start in range(0, 500, 20):
            learner.train(inputs[start : start + 20], labels[start : start + 20])
        learner.end_epoch(0.1, False)
    assert low <= (learner.predict(inputs[500:]) == labels[500:]).mean() <= high


def test_delay_line_is_checked():
    for fields, message in (
        ({"layers": (11, 60, 8)}, "even number of inputs, not 11"),
        ({"layers": (12, 61, 8)}, r"needs 0 \+ 10·features state neurons, 60 for instance, not 61"),
        ({"layers": (12, 20, 8), "context": 3}, r"needs 24 \+ 10·features state neurons, 34 for instance"),
        ({"context": 6}, "context must be at most the window, 5"),
        ({"taps": 2}, "taps must be odd and at most 6"),
        ({"taps": 7}, "taps must be odd and at most 6"),
        ({"initial": "x"}, "initial must be one of random, delay-line"),
        ({"inertia": 1 << 14}, "inertia must be at most 16383"),
        ({"spread": 0}, "spread must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            RecurrentConfig(**LINE | fields)
    with pytest.raises(ValueError, match="spread must be at most 128"):
        RecurrentCounterConfig(**LINE, spread=129)
