"""The compiled core: the golden model's bits, and what is seen of its cycles."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bitprop.hw.config import ArrayConfig
from bitprop.hw.program import compile_network
from bitprop.model.config import NetworkConfig
from bitprop.model.data import Dataset, Part, load_dataset
from bitprop.model.learners import HardwareLearner
from bitprop.model.trainer import Training
from bitprop.sim import cli, compiled, speed
from bitprop.sim.compiled import CompiledCore
from bitprop.sim.cycles import measure_cycles
from bitprop.sim.runner import BenchError
from bitprop.sim.steady import WARM_UP, count
from bitprop.sim.trace import LAG, LETTERS
from bitprop.sim.workload import Workload
from bitprop.synth.accelerator import Accelerator
from bitprop.synth.boards import find_board
from bitprop.synth.replay import Mismatch, replay
from typer.testing import CliRunner

from bitprop.cli import app

NETWORK = NetworkConfig(layers=(37, 24, 19), classes=5, reinforcement=8, seed=3)
# One for all tests: it holds digits, and its statistics turn within some batches.
ARRAY = ArrayConfig(counter_words=4096, statistic_width=15)
BATCH = 8


@pytest.fixture
def core():
    return CompiledCore(ARRAY)


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(7)

    def part(size):
        return Part(rng.choice(np.array([-1, 1], dtype=np.int8), (size, NETWORK.layers[0])),
                    rng.integers(0, NETWORK.classes, size))

    return Dataset("random", part(9 * BATCH + 3), part(37), part(5), tuple(map(str, range(NETWORK.classes))))


def started(core):
    training = Training(HardwareLearner(NETWORK, batch=BATCH))
    return Accelerator(core, NETWORK, training.learner.state.classifier), training


def test_an_epoch_is_the_models(core, dataset):
    accelerator, training = started(core)
    result = replay(accelerator, training, dataset, epochs=1, batches=3)
    assert result.samples == 12 * BATCH + 3 and core.cycles > 100 * result.samples
    # Again from the beginning, in the same core.
    again = replay(*started(core), dataset, epochs=1, batches=3)
    assert again.cycles == result.cycles and again.to_dict()["state_hash"] == result.to_dict()["state_hash"]


def test_a_flipped_counter_is_found(core, dataset):
    accelerator, training = started(core)

    def spoil(done, total):
        rows = core.read_rows(accelerator.program.slots[1], 1, NETWORK.layers[1], first_row=4)
        rows[0, 23] ^= 1
        core.write_rows(accelerator.program.slots[1], rows, first_row=4)

    with pytest.raises(Mismatch, match=r"counters of layer 2: 1 of .* \[4, 23\]"):
        replay(accelerator, training, dataset, epochs=0, batches=1, on_batch=spoil)


@pytest.mark.parametrize("batch, trigger", [(32, 1.0), (5, 0.4)])
def test_what_is_seen_is_what_is_counted(core, batch, trigger):
    workload, batches = Workload(network=NETWORK, batch=batch, trigger=trigger), 3
    state = workload.initial_state()
    accelerator = Accelerator(core, workload.network, state.classifier)
    accelerator.load(state)
    steps = list(workload.batches(state, WARM_UP + batches + 1))
    counted = [step for _, _, step in steps[WARM_UP:-1]]
    for learn in (True, False):
        totals = count(core, accelerator.program, state, steps, learn=learn)
        statistics, trace = totals["statistics"], totals["trace"]
        assert totals["samples"] == statistics["samples"] == batches * batch
        if learn:
            assert statistics["triggered"] == sum(int(step.triggered.sum()) for step in counted)
        assert len(trace.letters) == totals["cycles"]
        # A batch's last cycles are counted as the next begins.
        for name, letter in LETTERS.items():
            assert trace.letters.count(letter) == pytest.approx(statistics[name], abs=LAG)
        assert len(trace.runs) == batches and trace.runs[-1] == totals["cycles"] - 1
        assert len(trace.results) == batches * batch
        assert len(trace.rows) == pytest.approx(statistics["row_updates"], abs=1) and bool(trace.rows) == learn
    accelerator.samples = state.samples
    assert accelerator.read_state().digest() == state.digest()


def test_counters_that_are_not_the_models_are_told(monkeypatch):
    honest = Accelerator.read_state

    def spoilt(accelerator):
        state = honest(accelerator)
        state.counters[0][0, 0] ^= 1
        return state

    monkeypatch.setattr(Accelerator, "read_state", spoilt)
    with pytest.raises(BenchError, match="counters are not the golden model's"):
        measure_cycles(ARRAY, Workload(network=NETWORK, batch=5), batches=1)


def test_a_core_that_stands_still_is_given_up(core, monkeypatch):
    state = HardwareLearner(NETWORK).state
    program = compile_network(NETWORK, state.classifier, ARRAY)
    core.write_program(program.words)
    samples = program.pack(np.ones((2, NETWORK.layers[0]), dtype=np.int8), np.zeros(2, dtype=np.int64))
    monkeypatch.setattr(compiled, "PATIENCE", 10_000)
    with pytest.raises(BenchError, match="nothing moves any more.* 0 of 1 o_counter"):
        core._play(np.zeros(0), o_counter=1)
    with pytest.raises(ValueError, match="count must be the 2 samples"):
        core.load_samples(samples)
        core.run(3, learn=False, time=0)
    core.reset()
    with pytest.raises(BenchError, match="more comes"):
        core._play(np.concatenate([
            core._items("i_sample", data=samples, last=np.arange(samples.shape[1]) == samples.shape[1] - 1).ravel(),
            core._items("i_run", count=[2], learn=False, time=0)]), o_result=1)


def test_speed_command(monkeypatch):
    def some(name):
        whole = load_dataset(name)
        return replace(whole, train=Part(whole.train.inputs[:100], whole.train.labels[:100]))

    monkeypatch.setattr(speed, "load_dataset", some)
    monkeypatch.setattr(cli, "find_board", lambda name: replace(find_board(name), config=ARRAY))
    result = CliRunner().invoke(app, ["bench", "--speed", "--json"])
    assert result.exit_code == 0, result.stderr
    fields = json.loads(result.stdout)
    assert fields["samples"] == 100 and fields["cycles"] > 30_000 and len(fields["state_hash"]) == 64
    assert fields["cycles_per_second"] == pytest.approx(fields["cycles"] / fields["simulation_seconds"])
    assert CliRunner().invoke(app, ["bench", "--speed"]).stdout.startswith("iCEBreaker: ")


def test_speed_of_a_network_that_does_not_fit():
    result = CliRunner().invoke(app, ["bench", "--speed", "--board", "hx8k"])
    assert result.exit_code == 1 and "this array has 255" in result.stderr


def test_what_the_readme_shows():
    (example,) = re.findall(r"^```python\n(.*?)^```", (Path(__file__).parents[2] / "README.md").read_text(),
                            re.MULTILINE | re.DOTALL)
    names = {}
    exec(example, names)
    assert names["state"].samples == names["accelerator"].samples == 128
