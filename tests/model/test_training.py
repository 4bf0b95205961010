"""The epoch loop, checkpoints, the paper's rule, the estimator and the command line."""

import itertools
import json
import os
import signal

import numpy as np
import pytest
from bitprop.model import step
from bitprop.model.checkpoint import load_checkpoint, save_checkpoint
from bitprop.model.config import NetworkConfig
from bitprop.model.data import digits, random_prototypes
from bitprop.model.estimator import BinaryErrorPropagationClassifier
from bitprop.model.initial import counters_from_weights, initial_state
from bitprop.model.learners import HardwareLearner, PaperLearner
from bitprop.model.paper import (
    HIDDEN_LIMIT,
    PaperConfig,
    initial_paper_state,
    next_group,
    paper_infer,
    paper_train_batch,
)
from bitprop.model.step import backward, forward, matvec, trigger, winners
from bitprop.model.trainer import Training, epoch_batches
from sklearn.utils.estimator_checks import parametrize_with_checks
from typer.testing import CliRunner

import bitprop
from bitprop.cli import app


@pytest.fixture(scope="module")
def dataset():
    return random_prototypes(0.25, train=300, validation=100, test=100, width=60, classes=5)


def learner(rule, seed=1):
    if rule == "hardware":
        return HardwareLearner(NetworkConfig(layers=(60, 20, 20), classes=5, seed=seed))
    return PaperLearner(PaperConfig(layers=(60, 20, 20), classes=5, group=4, patience=1, seed=seed), batch=50)


def test_epoch_batches():
    batches = epoch_batches(3, 0, 100)
    assert [len(batch) for batch in batches] == [32, 32, 32, 4]
    assert sorted(np.concatenate(batches)) == list(range(100))
    assert np.array_equal(np.concatenate(batches), np.concatenate(epoch_batches(3, 0, 100)))
    assert not np.array_equal(batches[0], epoch_batches(3, 1, 100)[0])
    assert not np.array_equal(batches[0], epoch_batches(4, 0, 100)[0])
    with pytest.raises(ValueError, match="at least 1"):
        epoch_batches(0, 0, 0)


@pytest.mark.parametrize("rule", ["hardware", "paper"])
def test_learns(rule, dataset):
    training = Training(learner(rule))
    records = list(training.run(dataset, 8))
    assert [record.epoch for record in records] == list(range(1, 9))
    assert training.best_record.validation == max(record.validation for record in records)
    assert training.best_accuracy(dataset.test.inputs, dataset.test.labels) > 0.8


@pytest.mark.parametrize("rule", ["hardware", "paper"])
@pytest.mark.parametrize("stop", [0, 1, 3])
def test_resumed_training_has_the_same_bits(rule, stop, dataset, tmp_path):
    straight = Training(learner(rule))
    for _ in straight.run(dataset, 4):
        pass
    stopped = Training(learner(rule))
    for _ in stopped.run(dataset, 2):
        pass
    steps = stopped.run_batches(dataset)
    for _ in range(stop):
        next(steps)
    path = save_checkpoint(tmp_path / "x.npz", stopped, {"data": "d"})
    loaded = load_checkpoint(path)
    assert loaded.about == {"data": "d"} and loaded.training.batch == stop
    for _ in loaded.training.run(dataset, 4):
        pass
    assert loaded.training.history == straight.history
    for found, expected in (
        (loaded.training.learner.arrays(), straight.learner.arrays()),
        (loaded.training.best, straight.best),
    ):
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_best_learner_predicts_as_the_best_epoch_did(dataset, tmp_path):
    training = Training(learner("hardware"))
    for _ in training.run(dataset, 5):
        pass
    best = load_checkpoint(save_checkpoint(tmp_path / "x.npz", training)).best_learner()
    part = dataset.validation
    assert np.mean(best.predict(part.inputs) == part.labels) == training.best_record.validation


def test_damaged_checkpoints(tmp_path, dataset):
    training = Training(learner("hardware"))
    next(training.run(dataset, 1))
    path = save_checkpoint(tmp_path / "x.npz", training)
    with np.load(path) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays["meta"]))
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "y.npz")
    content = path.read_bytes()
    for damage in (b"", b"text", content[: len(content) // 2]):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match="is not a checkpoint, or is damaged"):
            load_checkpoint(path)
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x20]) + content[place + 1 :])
        try:
            load_checkpoint(path)
        except ValueError as error:
            assert "damaged" in str(error) or "format" in str(error)
    for name, array in (
        ("counters_1", np.zeros((20, 60))),
        ("counters_1", np.full((20, 60), 1 << 20)),
        ("counters_2", np.zeros((20, 21), np.int16)),
        ("best_counters_1", np.zeros((3, 3), np.int16)),
    ):
        np.savez(path, **(arrays | {name: array}))
        with pytest.raises(ValueError, match="is damaged: counters of layer"):
            load_checkpoint(path)
    for change, message in (({"about": None}, "damaged"), ({"progress": {"epoch": "a"}}, "epoch must be a number")):
        np.savez(path, **(arrays | {"meta": np.array(json.dumps(meta | change))}))
        with pytest.raises(ValueError, match=message):
            load_checkpoint(path)
    np.savez(path, meta=np.array(json.dumps({"format": 99})))
    with pytest.raises(ValueError, match="format 99, this program reads 1"):
        load_checkpoint(path)
    np.savez(path, meta=np.array(json.dumps({"format": 1, "rule": "hardware", "config": {}})))
    with pytest.raises(ValueError, match="is damaged"):
        load_checkpoint(path)


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    training = Training(learner("hardware"))
    path = save_checkpoint(tmp_path / "x.npz", training)
    before = path.read_bytes()

    def fail(*arguments, **arrays):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, training)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("rule", ["hardware", "paper"])
def test_majority_of_the_last_epochs(rule, dataset, tmp_path):
    training = Training(learner(rule), vote_from=2)
    kept = []
    with pytest.raises(RuntimeError, match="voted"):
        training.majority()
    for record in training.run(dataset, 5):
        if record.epoch > 2:
            kept.append([w.astype(int) for w in training.learner.weights()])
        if record.epoch == 4:
            training = load_checkpoint(save_checkpoint(tmp_path / "x.npz", training)).training
            break
    for _ in training.run(dataset, 5):
        kept.append([w.astype(int) for w in training.learner.weights()])
    expected = [np.where(sum(layer) >= 0, 1, -1) for layer in zip(*kept, strict=True)]
    after = training.learner.weights()
    accuracy = training.majority_accuracy(dataset.test.inputs, dataset.test.labels)
    assert all((w == a).all() for w, a in zip(training.learner.weights(), after, strict=True))
    training.learner.load(training.majority())
    assert all((w == e).all() for w, e in zip(training.learner.weights(), expected, strict=True))
    assert accuracy == np.mean(training.learner.predict(dataset.test.inputs) == dataset.test.labels)


def test_initial_counters():
    config = NetworkConfig(layers=(40, 30, 20), classes=3, counter_bits=2, seed=9)
    state = initial_state(config)
    assert state.digest() == initial_state(config).digest()
    for k in state.counters:
        assert k.dtype == np.int16 and set(np.unique(k)) == {-2, -1, 0, 1}
    again = counters_from_weights(state.weights())
    assert all(((k >= 0) == (a >= 0)).all() for k, a in zip(state.counters, again, strict=True))
    with pytest.raises(ValueError, match="layer 1 must be ±1"):
        counters_from_weights([np.zeros((2, 2))])


def test_paper_step_equals_scalar_loops():
    """Steps are summed over the batch, twice each, with the weights as before it; without reinforcement."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        config = PaperConfig(
            layers=(7, 6, 4), classes=3, group=3, reinforcement_ratio=0, seed=seed, paper_ties=bool(seed % 2)
        )
        state = initial_paper_state(config)
        state.hidden[0][0, 0] = HIDDEN_LIMIT
        inputs, labels = rng.choice([-1, 1], size=(11, 7)).astype(np.int8), rng.integers(0, 3, 11)
        weights = state.weights()
        activations, sums = forward(weights, inputs)
        desired = backward(config, weights, sums, state.classifier[labels], config.paper_ties)
        triggered = trigger(config.margin, matvec(activations[-1], state.classifier), labels)
        expected = [h.astype(int) for h in state.hidden]
        for layer in range(2):
            wrong = (desired[layer] != 0) & (desired[layer] != activations[layer + 1])
            mask = winners(np.abs(sums[layer]), wrong, state.groups[layer])
            for mu, j in zip(*np.nonzero(mask & triggered[:, None]), strict=True):
                expected[layer][j] += 2 * desired[layer][mu, j].astype(int) * activations[layer][mu]
        result = paper_train_batch(config, state, inputs, labels)
        for h, target in zip(state.hidden, expected, strict=True):
            assert np.array_equal(h, target.clip(-HIDDEN_LIMIT, HIDDEN_LIMIT)) and (h % 2 == 1).all()
        assert (result.triggered == triggered).all()


def test_paper_batch_without_a_trigger_changes_nothing():
    config = PaperConfig(layers=(20, 15, 9), classes=3, margin_ratio=0, seed=1)
    state = initial_paper_state(config)
    before = [h.copy() for h in state.hidden]
    inputs = np.ones((4, 20), dtype=np.int8)
    winner = paper_infer(config, state, inputs)
    result = paper_train_batch(config, state, inputs, winner)
    assert not result.triggered.any() and result.row_updates == 0
    assert all(np.array_equal(h, b) for h, b in zip(state.hidden, before, strict=True))


def test_paper_reinforcement_has_its_probability():
    config = PaperConfig(layers=(200, 300, 9), classes=3, reinforcement_ratio=1, group=300, seed=2)
    state = initial_paper_state(config)
    state.error = 0.25
    inputs, labels = np.ones((1, 200), dtype=np.int8), np.array([1])
    before = [h.copy() for h in state.hidden]
    plain = initial_paper_state(config)
    paper_train_batch(PaperConfig(**config.to_dict() | {"reinforcement_ratio": 0}), plain, inputs, labels)
    paper_train_batch(config, state, inputs, labels)
    pushed = state.hidden[0] - plain.hidden[0]
    assert (pushed * np.sign(plain.hidden[0]) >= 0).all() and set(np.unique(abs(pushed))) == {0, 2}
    expected = np.sqrt(2 / np.pi / 200) * 0.5
    assert abs((pushed != 0).mean() - expected) < 0.003
    assert any((h != b).any() for h, b in zip(state.hidden, before, strict=True))


def test_groups_grow_through_the_divisors():
    assert [next_group(1, 12), next_group(4, 12), next_group(12, 12), next_group(5, 12)] == [2, 6, 12, 6]
    assert PaperConfig(layers=(3, 35, 16), classes=2, group=15).initial_groups() == (7, 8)


def test_paper_config_thresholds():
    config = PaperConfig(layers=(10, 7, 5), classes=2, margin_ratio=0.5, gate_ratio=0.25)
    assert config.margin == 3 and config.gates == (2, 1)
    assert PaperConfig(**config.to_dict()) == config
    with pytest.raises(ValueError, match="gate_ratio must be from 0 to 1, not 2"):
        PaperConfig(layers=(3, 3), classes=2, gate_ratio=2)


@parametrize_with_checks([BinaryErrorPropagationClassifier(hidden_layers=(32,), epochs=10)])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def test_estimator_on_digits_bits():
    source = digits()
    part = source.train
    model = BinaryErrorPropagationClassifier((64, 64), bits=0, epochs=8).fit(part.inputs, part.labels)
    assert model.score(source.validation.inputs, source.validation.labels) > 0.88
    online = BinaryErrorPropagationClassifier((64, 64), bits=0)
    for _ in range(6):
        online.partial_fit(part.inputs, part.labels, classes=range(10))
    assert online.score(source.validation.inputs, source.validation.labels) > 0.85
    with pytest.raises(ValueError, match="every value must be -1 or 1"):
        model.predict(np.zeros((1, 256)))
    with pytest.raises(ValueError, match=r"labels \[11\] are not among classes"):
        online.partial_fit(part.inputs[:1], [11])


def test_commands(tmp_path):
    run = CliRunner().invoke
    path = str(tmp_path / "x.npz")
    result = run(app, ["train", "--layers", "256,32", "--epochs", "1", "--out", path, "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["epochs"] == 1
    result = run(app, ["train", "--epochs", "2", "--resume", path, "--json"])
    summary = json.loads(result.stdout)
    assert summary["epochs"] == 2 and summary["network"]["layers"] == [256, 32]
    assert json.loads(run(app, ["eval", path, "--json"]).stdout) == summary
    assert json.loads(run(app, ["inspect", path, "--json"]).stdout)["layers"][0]["shape"] == [32, 256]
    assert run(app, ["inspect", path]).exit_code == 0
    exported = str(tmp_path / "x.onnx")
    assert run(app, ["export", path, exported, "--which", "last"]).exit_code == 0
    result = run(app, ["train", "--layers", "256,32", "--epochs", "1", "--init", exported, "--json"])
    assert result.exit_code == 0
    assert run(app, ["train", "--layers", "256,30", "--init", exported]).exit_code == 1


@pytest.mark.parametrize("update, number", [
    (1, signal.SIGINT), (40, signal.SIGINT), (64, signal.SIGTERM), (65, signal.SIGINT)])
def test_stopped_in_the_middle_of_a_batch(update, number, tmp_path, monkeypatch):
    run = CliRunner().invoke
    paths = [str(tmp_path / name) for name in ("straight.npz", "stopped.npz")]
    arguments = ["train", "--layers", "256,32,32", "--epochs", "2", "--json", "--out"]
    assert run(app, [*arguments, paths[0]]).exit_code == 0
    update_rows, updates = step.update_rows, itertools.count(1)

    def interrupted(*args, **kwargs):
        result = update_rows(*args, **kwargs)
        if next(updates) == update:
            signal.raise_signal(number)
        return result

    monkeypatch.setattr(step, "update_rows", interrupted)
    stopped = run(app, [*arguments, paths[1]])
    assert stopped.exit_code == 130 and "Stopped in epoch 1" in stopped.stderr
    assert load_checkpoint(paths[1]).training.batch > 0
    assert run(app, ["train", "--epochs", "2", "--json", "--resume", paths[1]]).exit_code == 0
    straight, resumed = (load_checkpoint(path).training for path in paths)
    assert resumed.history == straight.history
    assert resumed.learner.state.digest() == straight.learner.state.digest()


def test_recurrent_command(tmp_path):
    run = CliRunner().invoke
    path = str(tmp_path / "x.npz")
    arguments = ["train", "--rnn", "--window", "8", "--state", "24", "--epochs", "1", "--vote", "1", "--out", path]
    result = run(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["network"]["layers"] == [32, 24, 24] and summary["majority_test_accuracy"] > 0.1
    assert json.loads(run(app, ["eval", path, "--json"]).stdout) == summary
    assert len(json.loads(run(app, ["inspect", path, "--json"]).stdout)["layers"]) == 3
    assert run(app, ["export", path, str(tmp_path / "x.onnx")]).exit_code == 1


def test_recurrent_command_starts_from_a_delay_line(tmp_path):
    """Eight rows of digits stand in the state, which a few epochs do not unlearn."""
    run = CliRunner().invoke
    path = str(tmp_path / "x.npz")
    arguments = ["train", "--rnn", "--rule", "paper", "--window", "8", "--initial", "delay-line", "--epochs", "4"]
    result = run(app, [*arguments, "--state", "512", "--set", '{"spread": 64}', "--out", path, "--json"])
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["network"]["layers"] == [64, 512, 512] and summary["test_accuracy"] > 0.8
    layers = json.loads(run(app, ["inspect", path, "--json"]).stdout)["layers"]
    assert layers[0]["flipped"] == layers[1]["flipped"] == 0 < layers[2]["flipped"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--layers", "3,4"], "digits has 256 inputs, --layers says 3"),
        (["--layers", "a"], "--layers must be numbers separated by commas, not 'a'"),
        (["--rule", "x"], "rule must be one of hardware, "),
        (["--data", "x"], "'x'"),
        (["--batch", "33"], "batch"),
        (["--vote", "31"], "--vote must be at most --epochs, 30, not 31"),
        (["--set", "{"], "--set must be a JSON object, not '{': "),
        (["--set", "[]"], "--set must be a JSON object, not '[]'"),
        (["--set", '{"x": 1}'], "have no field 'x', but layers, classes, counter_bits, "),
        (["--set", '{"seed": 1}'], "seed is set by --seed, not by --set"),
        (["--set", '{"groups": [7.5, 7]}'], "groups must be of type tuple[int, ...] | None, not (7.5, 7)"),
        (["--set", '{"reinforcement": true}'], "reinforcement must be of type int, not True"),
        (["--rule", "paper", "--set", '{"group": "a"}'], "group must be of type int, not 'a'"),
        (["--rnn"], "--rnn needs --window"),
        (["--rnn", "--window", "7"], "digits has 256 inputs, which 7 steps do not divide"),
        (["--rnn", "--window", "8", "--rule", "local"], "--rule must be one of paper, hardware, "),
        (["--rnn", "--window", "8", "--initial", "delay-line", "--state", "500"], "a delay line of 8 steps"),
        (["--window", "8"], "a recurrent network is asked for with --rnn and --window"),
        (["--rule", "recurrent"], "a recurrent network is asked for with --rnn and --window"),
        (["--out", "no/such/folder/x.npz"], "the folder of no/such/folder/x.npz does not exist"),
        (["--out", "/"], "/ is a folder"),
        (["--out", "/proc/x.npz"], "nothing can be written beside /proc/x.npz"),
        (["--resume", "[bold]no-such-file"], "[bold]no-such-file: No such file or directory"),
        (["--resume", "x.npz", "--seed", "1"], "--seed is the checkpoint's own with --resume"),
        (["--resume", "x.npz", "--set", "{}"], "--set is the checkpoint's own with --resume"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_train_says_what_is_wrong(arguments, message):
    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert result.stderr.startswith("Error: ") and message in result.stderr


@pytest.mark.parametrize("command", [["export", "no-such-file", "x.onnx"], ["eval", "no-such-file"]])
def test_commands_name_missing_files(command):
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1 and result.stderr == "Error: no-such-file: No such file or directory\n"


def test_resuming_what_is_done(tmp_path):
    path = str(tmp_path / "x.npz")
    train = lambda *more: CliRunner().invoke(app, ["train", *more, "--json"])  # noqa: E731
    done = train("--layers", "256,16", "--epochs", "2", "--out", path)
    assert (tmp_path / "x.npz").stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022))
    assert json.loads(train("--resume", path, "--epochs", "2").stdout) == json.loads(done.stdout)
    result = train("--resume", path, "--epochs", "1")
    assert result.exit_code == 1 and "has 2 epochs; --epochs, which counts them too, is 1" in result.stderr


def test_a_checkpoint_of_other_data(tmp_path):
    path = save_checkpoint(tmp_path / "x.npz", Training(learner("hardware")), {"data": "digits"})
    result = CliRunner().invoke(app, ["eval", str(path)])
    assert result.exit_code == 1 and "60 inputs and 5 classes; digits has 256 and 10" in result.stderr
    path = save_checkpoint(tmp_path / "x.npz", Training(learner("hardware")))
    assert "does not say what data set" in CliRunner().invoke(app, ["eval", str(path)]).stderr


def test_version():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"bitprop {bitprop.__version__}\n"
