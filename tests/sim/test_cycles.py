"""Cycles as measured on small arrays, and what they are said to go to, against the forecast; the bench's command."""

import dataclasses
import json

import pytest
from bitprop.hw.config import ArrayConfig
from bitprop.hw.timing import Timing
from bitprop.model.config import NetworkConfig
from bitprop.sim import benchmark
from bitprop.sim.cycles import measure_cycles
from bitprop.sim.record import RECORD_FILE, works
from bitprop.sim.trace import Trace, causes
from bitprop.sim.workload import Workload
from bitprop.synth import schedule
from bitprop.synth.boards import BOARDS
from bitprop.synth.roofline import find_roofline
from bitprop.synth.schedule import compile_blank, plan_batches
from typer.testing import CliRunner

from bitprop.cli import app

TOLERANCE = 0.1

# 32 samples in passes of one and of six, counters in single-ported memory and in block RAM, a word loaded a cycle and
# two, records read between phases and during them.
ONE_SAMPLE = ArrayConfig(
    lanes=1, rows=8, update_lanes=8, counter_bits=8, tiles=100, operand_words=512, replay_words=1152, rank_words=2048,
    winner_words=1024, weight_memory="copied", counter_memory="spram", fan_in=255, statistic_width=16)
THREE_COLUMNS = ArrayConfig(
    columns=3, lanes=2, update_lanes=64, load_words=2, counter_bits=6, tiles=128, operand_words=512, replay_words=512,
    rank_words=1024, winner_words=512, counter_words=1024, fan_in=255, pipelined=True, scan_ahead=3)
SMALL = [
    (ONE_SAMPLE, (100, 32, 20), None, 32, 1.0),
    (ONE_SAMPLE, (40, 24, 16, 10), (7, 16, 5), 8, 0.3),
    (THREE_COLUMNS, (90, 48, 32), None, 32, 1.0),
    (THREE_COLUMNS, (33, 20, 40), (20, 9), 20, 0.3),
]


@pytest.fixture(scope="module")
def measured():
    """Counts of a work of `SMALL`, made once."""
    made = {}

    def measure(number):
        array, layers, groups, batch, trigger = SMALL[number]
        if number not in made:
            network = NetworkConfig(layers=layers, classes=10, groups=groups, counter_bits=array.counter_bits)
            made[number] = measure_cycles(array, Workload(network=network, batch=batch, trigger=trigger), batches=3)
        return compile_blank(network_of(number), array), batch, trigger, made[number]

    return measure


def network_of(number):
    array, layers, groups, _, _ = SMALL[number]
    return NetworkConfig(layers=layers, classes=10, groups=groups, counter_bits=array.counter_bits)


def plans(program, batch, trigger):
    return [plan_batches(program, batch=batch, trigger=trigger, learn=learn) for learn in (True, False)]


@pytest.mark.parametrize("number", range(len(SMALL)))
def test_forecast_is_near_what_is_simulated(measured, number):
    program, batch, trigger, counts = measured(number)
    for plan, count in zip(plans(program, batch, trigger), counts, strict=True):
        assert plan.cycles / batch == pytest.approx(count.cycles, rel=TOLERANCE)
        # What does not depend on chance is told to the cycle or so.
        for phase in ("forward", "backward"):
            assert plan.phases[phase] / batch == pytest.approx(count.phases[phase], abs=0.5)
        for cause, cycles in plan.causes.items():
            assert cycles / batch == pytest.approx(count.causes[cause], abs=0.08 * count.cycles), cause


@pytest.mark.parametrize("number", range(len(SMALL)))
def test_measured_cycles_are_shared_out(measured, number):
    program, batch, trigger, counts = measured(number)
    for learn, count in zip((True, False), counts, strict=True):
        assert sum(count.causes.values()) == pytest.approx(count.cycles)
        assert all(cycles >= 0 for cycles in count.causes.values())
        assert count.utilisation < count.array_utilisation < 1
        roofline = find_roofline(program, BOARDS["icebreaker"].link, batch=batch, trigger=trigger, learn=learn)
        assert roofline.cycles < count.cycles
        last = count.last
        assert len(last.letters) == pytest.approx(batch * count.cycles, rel=0.1)
        assert len(last.runs) == 1 and last.runs[0] == len(last.letters) - 1
        assert len(last.results) == batch
        assert len(last.samples) == pytest.approx(batch * program.sample_beats, rel=0.5)
        assert bool(last.rows) == learn


@pytest.mark.parametrize("constant, changed", [
    ("job_start", lambda timing, phase: 3), ("load_sample", 20), ("flush", property(lambda timing: 100)),
    ("word", lambda timing, samples, *, copied: 2 * samples + 1)])
def test_another_timing_would_be_seen(measured, monkeypatch, constant, changed):
    monkeypatch.setattr(Timing, constant, changed)
    errors = []
    for number in (0, 2):
        program, batch, trigger, counts = measured(number)
        for plan, count in zip(plans(program, batch, trigger), counts, strict=True):
            errors.append(max(abs(plan.phases["forward"] / batch - count.phases["forward"]) / 0.5,
                              abs(plan.cycles / batch / count.cycles - 1) / TOLERANCE))
    assert max(errors) > 1


def recorded():
    return json.loads(RECORD_FILE.read_text())


def test_records_are_of_the_presets_as_they_are():
    """Else: `python -m bitprop.sim.record`."""
    found = [(entry["board"], entry["array"], entry["network"], entry["batch"], entry["trigger"])
             for entry in recorded()]
    assert found == [(board, BOARDS[board].config.to_dict(), work.network.to_dict(), work.batch, work.trigger)
                     for board, work in works()]


@pytest.mark.parametrize("entry", recorded(), ids=lambda entry: (
    f"{entry['board']}-{'-'.join(map(str, entry['network']['layers']))}-{entry['batch']}-{entry['trigger']}"))
def test_forecast_is_near_what_was_simulated_of_the_presets(entry):
    program = compile_blank(NetworkConfig.from_dict(entry["network"]), ArrayConfig(**entry["array"]))
    plan, inference = plans(program, entry["batch"], entry["trigger"])
    assert plan.cycles / entry["batch"] == pytest.approx(entry["train"], rel=TOLERANCE)
    assert inference.cycles / entry["batch"] == pytest.approx(entry["infer"], rel=TOLERANCE)


def test_causes_of_a_trace():
    """A trace of one batch by hand: record, wait for updates, work, wait for results, work, wait for samples."""
    program = compile_blank(NetworkConfig(layers=(20, 16), classes=3), ArrayConfig(lanes=1, counter_words=64))
    timing = Timing(array=program.array)
    phases = schedule.program_phases(program, learn=False)
    first = timing.record(schedule.PHASE) + timing.phase_start
    letters = "s" * first + "u" * 7 + "f" * 50 + "s" * (first + 4) + "f" * 60 + "." * 9
    trace = Trace(letters=letters, runs=(len(letters) - 1,), samples=(), results=(), rows=())
    found = causes(trace, program, 1, learn=False)
    assert sum(found.values()) == len(letters)
    assert (found["updates"], found["results"], found["loading"], found["record"]) == (7, 4, 8, 2 * first + 1)
    assert found["words"] == sum((phase["words"] + 1) * (phase["blocks"] + 1) for phase in phases)
    assert found["words"] + found["job"] + found["pace"] + found["drain"] == 110


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """The command on a board with a small array, of which no placement is looked for."""
    monkeypatch.chdir(tmp_path)
    board = dataclasses.replace(BOARDS["ulx3s-25f"], config=THREE_COLUMNS)
    monkeypatch.setitem(BOARDS, board.name, board)
    monkeypatch.setattr(benchmark, "find_build", lambda board: None)
    return lambda *arguments: CliRunner().invoke(app, ["bench", "--board", board.name, *arguments])


def test_bench_says_how_far_it_is_from_the_roofline(bench, monkeypatch, measured):
    program, batch, trigger, counts = measured(2)
    monkeypatch.setattr(benchmark, "measure_cycles", lambda array, workload: counts)
    result = bench("--layers", "90,48,32", "--batch", str(batch), "--picture", "it.png", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["bit_ops"] == THREE_COLUMNS.bit_ops and found["lut4_placed"] is False
    for name, count in zip(("train", "infer"), counts, strict=True):
        assert found[name]["cycles_per_sample"] == count.cycles
        assert found[name]["distance"] == pytest.approx(count.cycles / found[name]["bounds"]["roofline"])
        assert found[name]["distance"] > 1
        assert abs(found[name]["estimate_error"]) < TOLERANCE
        assert found[name]["samples_per_second"] == pytest.approx(100e6 / count.cycles)
    with open("it.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"
    shown = bench("--layers", "90,48,32")
    assert shown.exit_code == 0 and "over the roofline" in shown.stdout
    assert "build/bench/ulx3s-25f-90-48-32.svg" in shown.stdout


def test_bench_of_a_network_that_does_not_fit(bench):
    result = bench("--layers", "784,256,256")
    assert result.exit_code == 1
    assert "784-256-256 does not fit ULX3S with LFE5U-25F: the network needs fan_in = 784" in result.output


@pytest.mark.parametrize("picture, message", [
    ("x.txt", "--picture must end in .svg, .png, .pdf, not 'x.txt'"),
    ("none/x.svg", "the folder of none/x.svg does not exist")])
def test_bench_knows_before_whether_it_can_draw(bench, picture, message):
    result = bench("--picture", picture)
    assert result.exit_code == 1 and message in result.output
