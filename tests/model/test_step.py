"""The golden step against a scalar re-implementation that shares nothing with it: loops over plain
integers."""

import numpy as np
import pytest
from bitprop.model.config import NetworkConfig
from bitprop.model.initial import initial_state
from bitprop.model.step import State, infer, train_batch, winners


def sign(value):
    return 1 if value >= 0 else -1


def scalar_forward(weights, sample):
    activations, sums = [list(sample)], []
    for w in weights:
        z = [sum(w[i][j] * activations[-1][j] for j in range(len(w[i]))) for i in range(len(w))]
        sums.append(z)
        activations.append([sign(value) for value in z])
    return activations, sums


def scalar_logits(classifier, top):
    return [sum(p * a for p, a in zip(row, top, strict=True)) for row in classifier]


def scalar_train(config, counters, classifier, time, inputs, labels):
    """One batch of the rule as the documents state it, on nested lists of Python integers.

    Changes `counters`; returns predictions, triggered, row updates and saturations.
    """
    low, high = -(2 ** (config.counter_bits - 1)), 2 ** (config.counter_bits - 1) - 1
    weights = [[[sign(2 * k + 1) for k in row] for row in layer] for layer in counters]
    depth = len(weights)
    predictions, triggered, row_updates, saturations = [], [], 0, 0
    for number, (sample, label) in enumerate(zip(inputs, labels, strict=True)):
        activations, sums = scalar_forward(weights, sample)
        logits = scalar_logits(classifier, activations[-1])
        predictions.append(logits.index(max(logits)))
        rival = max(value for c, value in enumerate(logits) if c != label)
        triggered.append(logits[label] - rival < config.margin)
        if not triggered[-1]:
            continue
        desired = [None] * depth
        desired[-1] = list(classifier[label])
        for layer in range(depth - 2, -1, -1):
            above = layer + 1
            desired[layer] = []
            for j in range(len(weights[layer])):
                vote = 0
                for i in range(len(weights[above])):
                    if abs(sums[above][i]) <= config.gates[above]:
                        vote += weights[above][i][j] * desired[above][i]
                desired[layer].append(0 if vote == 0 else sign(vote))
        for layer in range(depth):
            width = len(weights[layer])
            for start in range(0, width, config.groups[layer]):
                winner = None
                for j in range(start, min(start + config.groups[layer], width)):
                    if desired[layer][j] == 0 or desired[layer][j] == activations[layer + 1][j]:
                        continue
                    rank = min(abs(sums[layer][j]) // 2 ** config.rank_shifts[layer], 15)
                    if winner is None or rank < winner[0]:
                        winner = (rank, j)
                if winner is None:
                    continue
                j = winner[1]
                row_updates += 1
                for i in range(len(activations[layer])):
                    lost = False
                    k = counters[layer][j][i] + desired[layer][j] * activations[layer][i]
                    if k < low or k > high:
                        k, lost = max(low, min(high, k)), True
                    if config.reinforcement and (i + j + time + number) % config.reinforcement == 0:
                        k += 1 if k >= 0 else -1
                        if k < low or k > high:
                            k, lost = max(low, min(high, k)), True
                    counters[layer][j][i] = k
                    saturations += lost
    return predictions, triggered, row_updates, saturations


def random_case(seed):
    """A small random network and a few batches for it: odd widths, short groups, narrow counters, every
    period."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 4))
    layers = tuple(int(width) for width in rng.integers(1, 20, size=depth + 1))
    classes = int(rng.integers(2, 6))
    config = NetworkConfig(
        layers=layers,
        classes=classes,
        counter_bits=int(rng.choice([2, 3, 5, 8, 16])),
        margin=int(rng.integers(0, 2 * layers[-1] + 2)),
        gates=tuple(int(rng.integers(0, fan_in + 1)) for fan_in in layers[:-1]),
        groups=tuple(int(rng.integers(1, width + 1)) for width in layers[1:]),
        rank_shifts=tuple(int(rng.integers(0, 4)) for _ in layers[1:]),
        reinforcement=[0, 1, 2, 4, 8, 16, 32, 64, 128, 256][seed % 10],
        seed=seed,
    )
    batches = []
    for _ in range(4):
        size = int(rng.integers(1, 9))
        inputs = rng.choice([-1, 1], size=(size, layers[0])).astype(np.int8)
        batches.append((inputs, rng.integers(0, classes, size=size)))
    return config, batches, int(rng.integers(0, 1000))


@pytest.mark.parametrize("block", range(10))
def test_equals_scalar_loops(block):
    totals = np.zeros(3, dtype=int)
    for seed in range(20 * block, 20 * block + 20):
        config, batches, time = random_case(seed)
        state = initial_state(config)
        state.samples = time
        counters = [k.tolist() for k in state.counters]
        classifier = state.classifier.tolist()
        for inputs, labels in batches:
            expected = scalar_train(config, counters, classifier, time, inputs.tolist(), labels.tolist())
            result = train_batch(config, state, inputs, labels)
            time += len(labels)
            found = (
                result.predictions.tolist(),
                result.triggered.tolist(),
                result.row_updates,
                result.saturations,
            )
            assert found == expected, config
            assert [k.tolist() for k in state.counters] == counters, config
            assert state.samples == time
            totals += (sum(expected[1]), expected[2], expected[3])
    assert (totals > 0).all(), "the cases must trigger, update and saturate"


def test_zero_votes_occur():
    """The cases above are to meet neurons without an opinion; an even number of open gates gives them."""
    config = NetworkConfig(layers=(9, 6, 4), classes=3, seed=3)
    state = initial_state(config)
    weights = [w.tolist() for w in state.weights()]
    votes = [sum(weights[1][i][j] * state.classifier[0][i] for i in range(4)) for j in range(6)]
    assert 0 in votes


def test_infer_is_forward_only():
    config, batches, _ = random_case(7)
    state = initial_state(config)
    before = state.digest()
    inputs = np.concatenate([inputs for inputs, _ in batches])
    expected = []
    for sample in inputs.tolist():
        activations, _ = scalar_forward([w.tolist() for w in state.weights()], sample)
        logits = scalar_logits(state.classifier.tolist(), activations[-1])
        expected.append(logits.index(max(logits)))
    assert infer(config, state, inputs).tolist() == expected
    assert state.digest() == before


def test_winners_lowest_index_on_a_tie_and_short_last_group():
    ranks = np.array([[3, 1, 1, 0, 2, 2, 9]])
    wrong = np.array([[True, True, True, False, True, True, True]])
    assert np.flatnonzero(winners(ranks, wrong, 3)).tolist() == [1, 4, 6]
    assert not winners(ranks, np.zeros_like(wrong), 3).any()


def test_digest_depends_on_every_part():
    config, _, _ = random_case(1)
    state = initial_state(config)
    digests = {state.digest()}
    for change in ("counter", "classifier", "samples"):
        other = state.copy()
        if change == "counter":
            other.counters[0][0, 0] ^= 1
        elif change == "classifier":
            other.classifier[0, 0] *= -1
        else:
            other.samples += 1
        digests.add(other.digest())
    assert len(digests) == 4
    assert State(state.counters, state.classifier).digest() in digests


@pytest.mark.parametrize(
    "inputs, labels, message",
    [
        (np.ones((1, 4)), [0], r"inputs must be \(1…32, 3\), not \(1, 4\)"),
        (np.ones((0, 3)), [], "inputs must be"),
        (np.ones((33, 3)), [0] * 33, "inputs must be"),
        (np.zeros((1, 3)), [0], r"inputs must be ±1, not \[0"),
        (np.full((1, 3), np.nan), [0], "inputs must be ±1"),
        (np.ones((2, 3)), [0], r"labels must be \(2,\), not \(1,\)"),
        (np.ones((1, 3)), [2], r"labels must be 0…1, not 2…2"),
        (np.ones((1, 3)), [-1], "labels must be"),
    ],
)
def test_refuses_bad_batches_and_changes_nothing(inputs, labels, message):
    config = NetworkConfig(layers=(3, 2), classes=2)
    state = initial_state(config)
    before = state.digest()
    with pytest.raises(ValueError, match=message):
        train_batch(config, state, inputs, labels)
    assert state.digest() == before
