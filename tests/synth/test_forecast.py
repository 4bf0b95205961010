"""Bounds, expected rows and look-up tables: against numbers by hand, netlists, and what was placed; the command."""

import dataclasses
import json
import time

import pytest
from bitprop.hw.config import ArrayConfig
from bitprop.hw.link.config import LinkConfig
from bitprop.hw.program import CapacityError
from bitprop.model.config import NetworkConfig
from bitprop.sim.workload import Workload
from bitprop.synth.area import AREA_FILE, BLOCKS, PLACED, array_luts, block_luts
from bitprop.synth.boards import BOARDS, find_board
from bitprop.synth.build import synthesise
from bitprop.synth.forecast import forecast
from bitprop.synth.netlist import cells_by_block, top_module
from bitprop.synth.roofline import bit_ops, counter_updates, find_roofline
from bitprop.synth.schedule import compile_blank, plan_batches, row_chances, row_samples
from typer.testing import CliRunner

from bitprop.cli import app

from .test_top import SMALL

NETWORK = NetworkConfig(layers=(256, 64, 64), classes=10)
TOLERANCE = 0.1


def test_work_of_a_sample():
    assert bit_ops(NETWORK, learn=False) == 256 * 64 + 64 * 64 + 64 * 10
    assert bit_ops(NETWORK, learn=True) == bit_ops(NETWORK, learn=False) + 64 * 64
    # A row in each of four groups of sixteen, in each layer, but for groups without a wrong neuron.
    assert counter_updates(NETWORK) == pytest.approx(4 * (256 + 64) * (1 - 2 ** -16))


def test_bounds_are_those_by_hand():
    board = find_board("ulx3s-25f")
    roofline = find_roofline(compile_blank(NETWORK, board.config), board.link, batch=32, trigger=0.5)
    assert roofline.lanes == (256 * 64 + 2 * 64 * 64 + 64 * 10) / 2048
    assert roofline.counters == pytest.approx(0.5 * 4 * (256 + 64) / 64, rel=1e-4)
    # Four passes of 8 samples; words × blocks of two layers, classes, votes.
    assert roofline.ports["weights"] == 4 * (16 * 4 + 4 * 4 + 4 * 1 + 4 * 4) / 32
    # Steps, 16 · (4 · 4 + 4 · 1) / 32, are fewer than what is written: pairs of input words, and four words of signs.
    assert roofline.ports["replay"] == 16 / 2 + 4
    assert 16 <= roofline.ports["counters"] * 32 / (4 + 1) <= 64
    assert roofline.loader == 16 / 2 + 1 + 4
    # 17 words and their number at ten bits a byte, and what goes around them.
    assert 36 * 10 * 33 < roofline.link < 1.1 * 36 * 10 * 33
    assert roofline.cycles == max(roofline.bounds.values()) == roofline.bounds[roofline.limit]


def test_bounds_follow_the_array():
    config = find_board("ulx3s-25f").config
    link = find_board("ulx3s-25f").link

    def bounds(**changes):
        return find_roofline(compile_blank(NETWORK, dataclasses.replace(config, **changes)), link)

    base = bounds()
    assert bounds(update_lanes=128).counters == base.counters / 2
    assert bounds(load_words=1).loader == base.loader + 8
    assert bounds(columns=8).lanes == base.lanes / 2
    assert bounds(columns=8).ports["weights"] == base.ports["weights"] / 2
    idle = find_roofline(compile_blank(NETWORK, config), link, trigger=0)
    assert idle.counters == idle.ports["counters"] == 0


def test_expected_winners():
    for layer, (size, network) in enumerate([(16, NETWORK), (3, NetworkConfig(layers=(50, 20, 9), classes=4, groups=(
            20, 3)))]):
        chances = row_chances(network, layer)
        assert len(chances) == network.layers[layer + 1]
        groups = [chances[first:first + size] for first in range(0, len(chances), size)]
        for group in groups:
            assert sum(group) == pytest.approx(1 - 2.0 ** -size)
            assert group == sorted(group, reverse=True)  # equal ranks: the lowest place
        assert groups[1:] == groups[:-1]
    counts = row_samples(NETWORK, 0, 32)
    assert len(counts) == 64 and max(counts) <= 32
    assert sum(counts) == pytest.approx(4 * 32, rel=0.1)
    assert row_samples(NETWORK, 0, 0) == [0] * 64


def test_expected_winners_of_a_last_group_that_is_smaller():
    network = NetworkConfig(layers=(100, 35), classes=10, groups=(16,))
    chances = row_chances(network, 0)
    sums = [sum(chances[first:first + 16]) for first in (0, 16, 32)]
    assert sums == pytest.approx([1 - 2 ** -16, 1 - 2 ** -16, 1 - 2 ** -3])
    workload = Workload(network=network)
    updates = [step.row_updates for _, _, step in workload.batches(workload.initial_state(), 10)]
    assert sum(row_samples(network, 0, 32)) == pytest.approx(sum(updates) / len(updates), rel=TOLERANCE)


@pytest.mark.parametrize("name", BOARDS)
def test_schedule_is_complete(name):
    """All cycles are told twice: by what the core counts, and by what they go to."""
    config = BOARDS[name].config
    network = NetworkConfig(layers=(32, 20), classes=4, counter_bits=config.counter_bits)
    for learn in (True, False):
        for batch, trigger in ((32, 1.0), (3, 0.5)):
            plan = plan_batches(compile_blank(network, config), batch=batch, trigger=trigger, learn=learn)
            assert sum(plan.causes.values()) == pytest.approx(plan.cycles)
            assert sum(plan.phases.values()) <= plan.cycles + 1
            assert min(*plan.causes.values(), *plan.phases.values()) >= 0
            assert {span.unit for span in plan.spans} >= {"array", "loader", "results"}


def test_large_network_is_told_at_once():
    began = time.process_time()
    forecast(find_board("ulx3s-85f"), NetworkConfig(layers=(784, 256, 256), classes=10))
    assert time.process_time() - began < 1


def test_what_does_not_fit_is_said():
    with pytest.raises(CapacityError, match="784-256-256 does not fit iCEBreaker: the network needs fan_in = 784, and"):
        forecast(find_board("icebreaker"), NetworkConfig(layers=(784, 256, 256), classes=10))
    with pytest.raises(ValueError, match="batch must be from 1 to 32, not 33"):
        forecast(find_board("icebreaker"), NETWORK, batch=33)
    with pytest.raises(ValueError, match="trigger must be from 0 to 1, not 1.5"):
        forecast(find_board("icebreaker"), NETWORK, trigger=1.5)


COUNTED = json.loads(AREA_FILE.read_text())["counted"]


def test_counted_presets_are_those_there_are():
    """Else: `python -m bitprop.synth.calibrate`."""
    assert {name: COUNTED[name]["config"] for name in BOARDS} == {
        name: board.config.to_dict() for name, board in BOARDS.items()}


@pytest.mark.parametrize("name", COUNTED)
def test_luts_are_near_those_of_netlists(name):
    shape = COUNTED[name]
    estimated = array_luts(ArrayConfig(**shape["config"]), LinkConfig(**shape["link"]), shape["family"])
    assert set(estimated) == set(BLOCKS) == set(shape["luts"])
    counted = PLACED[shape["family"]] * sum(shape["luts"].values())
    assert sum(estimated.values()) == pytest.approx(counted, rel=TOLERANCE)
    if "placed" in shape:
        assert sum(estimated.values()) == pytest.approx(shape["placed"], rel=TOLERANCE)


@pytest.mark.parametrize("board", [find_board("icebreaker"), SMALL], ids=lambda board: board.name)
def test_luts_are_near_those_that_synthesis_makes(board):
    """The netlists are those of `test_top`; the ECP5's was not among those that the coefficients come from."""
    cells = cells_by_block(top_module(json.loads(synthesise(board).read_text())))
    found = block_luts(cells, board.device.family)
    # Every cell is in one block.
    kinds = ("lut4", "lone_flip_flop") if board.device.family == "ice40" else ("lut4",)
    extra = 0 if board.device.family == "ice40" else 2 * cells[""]["carry"] + 6 * cells[""].get("lut_ram", 0)
    assert sum(found.values()) == sum(cells[""][kind] for kind in kinds) + extra
    assert sum(array_luts(board.config, board.link, board.device.family).values()) == pytest.approx(
        PLACED[board.device.family] * sum(found.values()), rel=TOLERANCE)


@pytest.fixture
def call():
    return lambda *arguments: CliRunner().invoke(app, ["estimate", *arguments])


def test_estimate_prints_json(call):
    result = call("--board", "ulx3s-85f", "--layers", "256,64,64", "--batch", "8", "--trigger", "0.3", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["block_ram"] == 206 and found["block_ram_available"] == 208
    assert 0 < found["lut4"] < found["lut4_available"]
    assert found["lut4"] == pytest.approx(sum(found["lut4_by_block"].values()), abs=len(BLOCKS))
    for name in ("train", "infer"):
        work = found[name]
        assert work["distance"] == pytest.approx(work["cycles_per_sample"] / work["bounds"]["roofline"])
        assert work["distance"] > 1
        assert sum(work["causes"].values()) == pytest.approx(work["cycles_per_sample"])
    assert found["train"]["cycles_per_sample"] > found["infer"]["cycles_per_sample"]


def test_estimate_prints_tables(call):
    result = call("--board", "icebreaker")
    assert result.exit_code == 0, result.output
    for text in ("popcount lanes", "over the roofline", "waits for updates", "block RAM", "of 5,280"):
        assert text in result.stdout


def test_estimate_of_another_array(call):
    result = call("--board", "ulx3s-85f", "--array", "columns=4,update_lanes=64", "--json")
    found = json.loads(result.stdout)
    assert (found["bit_ops"], found["update_lanes"]) == (4 * 2 * 16 * 16, 64)
    assert found["fits"] and "does not fit" not in call("--board", "ulx3s-85f").output
    small = "--board", "icebreaker", "--array", "columns=16,weight_memory=copied"
    assert not json.loads(call(*small, "--json").stdout)["fits"]
    assert "does not fit: too little look-up tables, block RAM" in " ".join(call(*small).output.split())
    assert "not 'column'" in call("--board", "ulx3s-85f", "--array", "column=8").output
    assert "columns must be a number, not 'all'" in call("--board", "ulx3s-85f", "--array", "columns=all").output


def test_estimate_says_what_is_wrong(call):
    assert "counter_words" in call("--board", "hx8k", "--layers", "200,30").output
    assert "--layers must be numbers separated by commas, not 'wide'" in call(
        "--board", "hx8k", "--layers", "wide").output
    assert call("--board", "nosuch").exit_code == 1
