"""Definitions, saved runs, and the results document."""

import dataclasses
import json

import pytest
from bitprop.model import experiments_cli
from bitprop.model.definitions import EXPERIMENTS
from bitprop.model.experiments import Experiment, load_runs, run, run_path, select
from bitprop.model.report import summarise, write_report
from typer.testing import CliRunner

from bitprop.cli import app

SMALL = {"name": "prototypes", "flip": 0.2, "train": 60, "validation": 20, "test": 20, "width": 30, "classes": 4}


def small(name="small", **fields):
    defaults = {
        "about": "a small one",
        "section": "Small ones",
        "data": SMALL,
        "network": {"layers": [0, 12]},
        "epochs": 3,
        "seeds": (0, 1),
        "votes": 2,
    }
    return Experiment(name=name, **defaults | fields)


def test_run_is_saved_and_done_once(tmp_path):
    records = []
    first = run(small(), 1, folder=tmp_path, progress=records.append)
    assert [record.epoch for record in records] == [1, 2, 3]
    assert json.loads(run_path(small(), 1, tmp_path).read_text()) == first
    assert first["samples"] == [60, 20, 20] and first["weights"] == 360
    assert first["best_validation"] == max(first["validation_curve"]) and 0 <= first["majority"] <= 1
    assert run(small(), 1, folder=tmp_path, progress=records.append) == first and len(records) == 3
    assert load_runs(small(), tmp_path) == [first]


def test_changed_definition_needs_a_new_version(tmp_path):
    run(small(), 0, folder=tmp_path)
    changed = small(epochs=2)
    with pytest.raises(ValueError, match="raise the version of small"):
        run(changed, 0, folder=tmp_path)
    assert len(run(dataclasses.replace(changed, version=2), 0, folder=tmp_path)["validation_curve"]) == 2


@pytest.mark.parametrize("rule", ["paper", "local", "local-hardware"])
def test_same_seed_same_result(rule, tmp_path):
    results = [run(small(rule=rule), 0, folder=tmp_path / str(i)) for i in range(2)]
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]


def test_report(tmp_path):
    points = [small(f"b{bits}", group="counter-bits", value=bits, published=50) for bits in (4, 8)]
    todo = small("todo", section="Later")
    for experiment in points:
        for seed in experiment.seeds:
            run(experiment, seed, folder=tmp_path)
    rows = write_report([*points, todo], tmp_path)
    assert [row.runs for row in rows] == [2, 2, 0] and rows[0] == summarise(points[0], tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "not run" in text and f"**{rows[0].mean:.2f}** ± {rows[0].deviation:.2f}" in text
    assert "bitprop experiments run b4" in text and "counter-bits.svg" in text
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_report([*points, todo], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_select():
    experiments = [small("a-1"), small("a-2"), small("b")]
    assert [experiment.name for experiment in select(experiments, ["b", "a-*"])] == ["b", "a-1", "a-2"]
    with pytest.raises(ValueError, match="no experiment is called 'c'"):
        list(select(experiments, ["c"]))


def test_definitions_have_names_of_their_own():
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len(set(names)) == len(names)
    for experiment in EXPERIMENTS:
        assert experiment.score in ("best", "last") or experiment.score == "majority" and experiment.votes


def test_commands(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments_cli, "EXPERIMENTS", (small(),))
    folder = ["--results", str(tmp_path)]
    invoke = CliRunner().invoke
    result = invoke(app, ["experiments", "run", "sm*", "--seed", "1", "--json", *folder])
    assert result.exit_code == 0 and json.loads(result.stdout)[0]["runs"] == 1
    assert json.loads(invoke(app, ["experiments", "list", "--json", *folder]).stdout)[0]["name"] == "small"
    assert invoke(app, ["experiments", "table", *folder]).exit_code == 0 and (tmp_path / "README.md").exists()
    result = invoke(app, ["experiments", "run", "x", *folder])
    assert result.exit_code == 1 and "no experiment" in result.stderr
    (run,) = tmp_path.glob("*.json")
    for damage in ("{", "{}"):
        run.write_text(damage)
        for command in (["run", "small", "--seed", "1"], ["list"], ["table"]):
            result = invoke(app, ["experiments", *command, *folder])
            assert result.exit_code == 1 and str(run) in result.stderr
    result = invoke(app, ["experiments", "run", "small", "--results", str(run)])
    assert result.exit_code == 1 and "File exists" in result.stderr
