"""The units of the accelerator, each alone, at odd sizes; see `sim/bench_units.py`."""

import pytest
from bitprop.hw.config import ArrayConfig
from bitprop.hw.counters import CounterStep
from bitprop.hw.element import ProcessingElement
from bitprop.hw.group_scan import GroupScan
from bitprop.hw.program import LAYER, LOADER, PHASE, CapacityError, compile_network
from bitprop.hw.records import ProgramMemory, RecordReader
from bitprop.hw.replay import ReplayMemory
from bitprop.hw.results import Results
from bitprop.hw.samples import Samples
from bitprop.hw.scan import RowScan
from bitprop.hw.trigger import Trigger
from bitprop.hw.weights import WeightMemory
from bitprop.hw.winners import WinnerSelect
from bitprop.model.config import NetworkConfig
from bitprop.model.initial import initial_state
from bitprop.sim.runner import array_cells, run_bench

BENCH = "bitprop.sim.bench_units"


def run(unit, testcase: str, array: dict, **parameters) -> None:
    """Run one test of the bench on `unit`."""
    run_bench(unit, BENCH, testcase=testcase, tests=1, timeout=120, sources=array_cells(ArrayConfig(**array)),
              parameters={"array": array, **parameters})


@pytest.mark.parametrize("fields", [
    {"rows": 12}, {"columns": 2, "lanes": 3}, {"update_lanes": 24}, {"weight_memory": "copied", "update_lanes": 16},
    {"counter_memory": "spram", "update_lanes": 16}, {"counter_memory": "spram", "pipelined": True},
    {"counter_memory": "spram_with_inputs", "lanes": 1}, {"counter_memory": "spram_with_inputs", "counter_bits": 6},
    {"counter_memory": "spram_with_inputs", "lanes": 1, "counter_bits": 6, "weight_memory": "double_rate",
     "fan_in": 1024},
    {"weight_memory": "double_rate", "lanes": 2}, {"weight_memory": "double_rate", "lanes": 1, "tiles": 257},
    {"weight_memory": "twice"}, {"counter_memory": "ram"},
    {"lanes": 1, "scan_ahead": 2}, {"replay_words": 8193}], ids=str)
def test_config_is_refused_by_the_name_of_its_field(fields):
    with pytest.raises(ValueError, match=f"^({'|'.join(fields)}) .*, not "):
        ArrayConfig(**fields)


@pytest.mark.parametrize("fan_in, fields, message", [
    (255, {"layers": (4,) * 16, "classes": 2}, "layers = 15, and this array has 14"),
    (255, {"layers": (20, 16), "classes": 65}, "classes = 65, and this array has 64"),
    (31, {"layers": (20, 16), "classes": 40}, "classes = 40, and this array has 31"),
    (31, {"layers": (32, 16), "classes": 4}, "fan_in = 32, and this array has 31"),
    (255, {"layers": (20, 80), "classes": 4, "groups": (65,)}, "groups = 65, and this array has 64")], ids=str)
def test_network_beyond_the_array_is_refused(fan_in, fields, message):
    network = NetworkConfig(**fields)
    with pytest.raises(CapacityError, match=f"^the network needs {message}$"):
        compile_network(network, initial_state(network).classifier, ArrayConfig(lanes=1, fan_in=fan_in))


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize("bits", [5, 8])
def test_counter_step(bits, pipelined):
    array = {"counter_bits": bits, "pipelined": pipelined}
    run(CounterStep(ArrayConfig(**array)), "counter_step", array)


@pytest.mark.parametrize("array", [{"lanes": 1, "fan_in": 255}, {"lanes": 3, "fan_in": 2047, "rows": 8}],
                         ids=str)
def test_element(array):
    run(ProcessingElement(ArrayConfig(**array)), "element", array)


@pytest.mark.parametrize(("rows", "tiles"), [(8, 128), (16, 300)])
def test_copied_weights(rows, tiles):
    array = {"tiles": tiles, "update_lanes": 8, "rows": rows, "weight_memory": "copied"}
    run(WeightMemory(ArrayConfig(**array)), "weights", array)


@pytest.mark.parametrize(("lanes", "pipelined", "rows"), [
    (8, False, 16), (16, False, 8), (32, True, 16), (64, False, 16), (128, True, 8), (256, True, 16)])
def test_weights(lanes, pipelined, rows):
    array = {"tiles": 32, "update_lanes": lanes, "pipelined": pipelined, "rows": rows}
    run(WeightMemory(ArrayConfig(**array)), "weights", array)


def test_winner():
    run(WinnerSelect(ArrayConfig()), "winner", {})


def test_trigger():
    array = {"fan_in": 200}
    run(Trigger(ArrayConfig(**array)), "triggers", array)


def test_program_memory():
    run(ProgramMemory(ArrayConfig(), clients=3), "program_memory", {})


@pytest.mark.parametrize("record", ["loader", "layer", "phase"])
def test_records(record):
    layout = {"loader": LOADER, "layer": LAYER, "phase": PHASE}[record]
    for array in ({}, {"pipelined": True}):
        run(RecordReader(ArrayConfig(**array), layout), "records", array, record=record)


@pytest.mark.parametrize("array", [
    {"lanes": 1, "update_lanes": 8}, {"lanes": 3, "update_lanes": 32}, {"columns": 3, "lanes": 2, "update_lanes": 64},
], ids=str)
def test_replay(array):
    array = {**array, "replay_words": 5 * 32}
    run(ReplayMemory(ArrayConfig(**array)), "replay", array)


@pytest.mark.parametrize("array", [{"lanes": 1}, {"lanes": 3}, {"columns": 3, "lanes": 2}], ids=str)
def test_results(array):
    run(Results(ArrayConfig(**array)), "results", array)


@pytest.mark.parametrize("array", [{"lanes": 1}, {"lanes": 2}], ids=str)
def test_samples(array):
    run(Samples(ArrayConfig(**array)), "samples", array)


@pytest.mark.parametrize("array", [{"fan_in": 255}, {"rows": 8}], ids=str)
def test_group_scan(array):
    array = {"lanes": 1, "winner_words": 4096, **array}
    run(GroupScan(ArrayConfig(**array)), "scan", array)


@pytest.mark.parametrize("array", [
    {"lanes": 2}, {"lanes": 3, "scan_ahead": 2}, {"columns": 3, "lanes": 2, "scan_ahead": 4}], ids=str)
def test_scan(array):
    array = {"winner_words": 4096, **array}
    run(RowScan(ArrayConfig(**array)), "scan", array)
