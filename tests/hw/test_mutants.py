"""Faults put into the gateware one at a time: every one must be caught by the benches that pass without it.

A mutant is a replacement in the source of one module; the classes of the changed source lend their methods to the real
ones for the time of a test.
"""

import importlib.util
import inspect
import re
import sys
from typing import NamedTuple

import pytest
from amaranth.lib import wiring
from bitprop.hw.config import ArrayConfig
from bitprop.hw.core import Core
from bitprop.hw.counters import CounterStep
from bitprop.hw.element import ProcessingElement
from bitprop.hw.group_scan import GroupScan
from bitprop.hw.program import LOADER
from bitprop.hw.records import RecordReader
from bitprop.hw.replay import ReplayMemory
from bitprop.hw.results import Results
from bitprop.hw.samples import Samples
from bitprop.hw.scan import RowScan
from bitprop.hw.trigger import Trigger
from bitprop.hw.weights import WeightMemory
from bitprop.hw.winners import WinnerSelect
from bitprop.model.config import NetworkConfig
from bitprop.sim.runner import BenchError, array_cells, run_bench

CORE = {"lanes": 1, "update_lanes": 8, "counter_bits": 5, "tiles": 32, "operand_words": 1024, "replay_words": 640,
        "rank_words": 2048, "winner_words": 1024, "counter_words": 512, "fan_in": 127, "statistic_width": 16}
WIDE = CORE | {"columns": 2, "lanes": 2, "update_lanes": 64, "load_words": 2, "scan_ahead": 2, "pipelined": True}
"""Two groups of update lanes, and samples loaded two words at a time."""
SHORT = CORE | {"rows": 8, "tiles": 48, "weight_memory": "copied", "counter_memory": "spram"}
"""Rows leave by pairs, weights lie there twice, and the counters' memory has one port."""
APART = SHORT | {"tiles": 144, "weight_memory": "double_rate", "counter_memory": "spram_with_inputs"}
"""Elements have a clock of twice the frequency, and read the half of a word of weights; inputs lie beside counters."""
CORES = {"core": CORE, "wide": WIDE, "short": SHORT, "apart": APART}
NETWORKS = [
    NetworkConfig(layers=(40, 35, 21), classes=5, counter_bits=5, margin=30, gates=(0, 9), groups=(16, 7),
                  rank_shifts=(0, 0), reinforcement=4, seed=1),
    NetworkConfig(layers=(18, 17, 16, 9), classes=3, counter_bits=5, margin=12, gates=(0, 4, 6), groups=(17, 1, 9),
                  rank_shifts=(0, 1, 0), reinforcement=16, seed=2),
    NetworkConfig(layers=(20, 49, 37), classes=4, counter_bits=5, margin=20, gates=(0, 11), groups=(32, 16),
                  rank_shifts=(1, 0), reinforcement=8, seed=3),
]
"""Odd widths, groups that are parts and others, narrow gates, even sums that are often zero, ranks that saturate."""

UNITS = {
    "element": (ProcessingElement, {"lanes": 1, "fan_in": 255}, "element"),
    "winner": (WinnerSelect, {}, "winner"),
    "trigger": (Trigger, {"fan_in": 200}, "triggers"),
    "counter": (CounterStep, {"counter_bits": 5}, "counter_step"),
    "weights": (WeightMemory, {"tiles": 32, "update_lanes": 64}, "weights"),
    "copied": (WeightMemory, {"tiles": 128, "update_lanes": 8, "rows": 8, "weight_memory": "copied"}, "weights"),
    "results": (Results, {"lanes": 3}, "results"),
    "samples": (Samples, {"lanes": 1}, "samples"),
    "scan": (RowScan, {"lanes": 3, "scan_ahead": 2, "winner_words": 4096}, "scan"),
    "group_scan": (GroupScan, {"lanes": 1, "winner_words": 4096}, "scan"),
    "record": (lambda config: RecordReader(config, LOADER), {}, "records"),
    "replay": (ReplayMemory, {"lanes": 3, "update_lanes": 32, "replay_words": 160}, "replay"),
}
"""By name: the unit, its array and the test of `sim/bench_units.py`."""


class Mutant(NamedTuple):
    """`old`, which occurs once in the source of `module`, becomes `new`; the bench `caught_by` must see it."""

    module: str
    old: str
    new: str
    caught_by: str


MUTANTS = {
    "flipped XNOR": Mutant(
        "popcount", "self.mask & ~(self.weight ^ self.value)", "self.mask & (self.weight ^ self.value)", "element"),
    "mask ignored": Mutant("popcount", "self.mask & ~(self.weight", "~(self.weight", "element"),
    "carry lost": Mutant("popcount", "(a & b) | (a & c) | (b & c)", "(a & b) | (a & c)", "element"),
    "dropped last": Mutant("element", "self.compute & self.last", "self.compute", "element"),
    "tie to the highest index": Mutant("winners", "self.rank < best_rank", "self.rank <= best_rank", "winner"),
    "right neuron wins": Mutant("winners", "self.wrong & (open_group", "(open_group", "winner"),
    "winner of the group before": Mutant("winners", "best.valid & ~self.first", "best.valid", "winner"),
    "trigger at the margin": Mutant("trigger", "lead[:-1] < self.margin", "lead[:-1] <= self.margin", "trigger"),
    "tie to the true class": Mutant("trigger", "(lead == 0) & true_is_lower", "(lead == 0)", "trigger"),
    "counter wraps": Mutant(
        "counters", "self.o.eq(Mux(self.lost, ", "self.o.eq(Mux(0, ", "counter"),
    "lost on the way inward": Mutant("counters", "~inward & (total[-1]", "(total[-1]", "counter"),
    "reinforced by the old sign": Mutant("counters", "at_zero & self.pick & inward & ~self.hold", "0",
                                         "counter"),
    "no transpose": Mutant("weights", "Mux(transpose, natural[column][row]", "Mux(transpose, natural[row][column]",
                           "weights"),
    "words of a write not rotated": Mutant("weights", "(high - row_high) % words", "high % words", "weights"),
    "trigger beyond the batch": Mutant("results", " & (C(sample) < places)", "", "results"),
    "off-by-one group": Mutant("scan", "member == self.group", "member == self.group + 1", "scan"),
    "untriggered samples update": Mutant("scan", "mask & self.triggered", "mask", "scan"),
    "winners looked for before the votes": Mutant(
        "scan", "(~self.voting | (row[in_block:] < self.voted))", "1", "scan"),
    "winners of blocks in one place": Mutant("sequencer", "draining.verdict + job.part", "draining.verdict", "core"),
    "always the first buffer": Mutant("records", "word[15] & self.parity", "0", "record"),
    "samples beyond the batch kept": Mutant("replay", "~place.sample[5]", "1", "replay"),
    "gate ignored": Mutant("lane", "aux_gate[row] & opinion", "opinion", "core"),
    "gate at less, not at most": Mutant("lane", "phase.gate < magnitude", "magnitude >= phase.gate", "core"),
    "zero vote as +1": Mutant("lane", "~(phase.backward & zero)", "1", "core"),
    "rank not saturated": Mutant("lane", "Mux(shifted >= rank_top, rank_top - 1, shifted)", "shifted", "core"),
    "reinforcement turns the other way": Mutant("samples", "self.phase - link.sample", "self.phase + link.sample",
                                                "samples"),
    "chain not begun again": Mutant("samples", "begins.eq(link.last)", "begins.eq(0)", "samples"),
    "samples of the row before": Mutant("samples", "Cat(link.sample, row.half)", "Cat(link.sample, ~row.half)", "core"),
    "samples chained untriggered": Mutant("group_scan", "winner.valid & self.triggered", "winner.valid", "group_scan"),
    "head read while it is written": Mutant(
        "group_scan", "registered(m, wins & (place == winner.member))", "0", "group_scan"),
    "chains of the row in work written over": Mutant("group_scan", "half ^ (used | taken)", "half", "core"),
    "triggers not in turn": Mutant("results", "triggered.rotate_left(1)", "triggered", "core"),
    "second of a pair never wins": Mutant("lane", "(~wrongs[0] | (ranks[1] < ranks[0]))", "0", "short"),
    "tie to the second of a pair": Mutant("lane", "ranks[1] < ranks[0]", "ranks[1] <= ranks[0]", "short"),
    "winner by the place of its pair": Mutant("lane", "| (second & stage[2].counts[0])", "", "short"),
    "pairs of two groups": Mutant("sequencer", "(~draining.select | draining.group[0])", "1", "short"),
    "row beyond the layer": Mutant("sequencer", "~(last_pair & ~draining.last_rows[0])", "1", "short"),
    "block written to the whole word": Mutant("column", "write.host | (write.block == block)", "1", "short"),
    "mask of another network": Mutant("column", "(control.phase.tail | ~tail.replicate(TILE))", "0xFFFF", "short"),
    "word read ahead stepped": Mutant("counters", "self.hosted | self.load", "self.hosted", "short"),
    "signs of the next word copied": Mutant("weights", "Cat(held, held)", "Cat(self.signs, self.signs)", "copied"),
    "updates read what the array asked for": Mutant("sequencer", "inputs & self.fetch", "0", "apart"),
    "pair fetched too late": Mutant("updater", "word[:pair_bits] == 0", "word[:pair_bits] == 2", "apart"),
    "pair fetched again": Mutant("inputs", "self.fetched.pair + 1", "self.fetched.pair", "apart"),
    "steps before the row's first word": Mutant("updater", "active & (word >= 0)", "active", "apart"),
    "block still updated": Mutant("sequencer", "block > self.update_block", "block >= self.update_block", "apart"),
    "padding of the first block": Mutant("sequencer", "issued.last.eq(last_block)", "issued.last.eq(final_block)",
                                         "apart"),
    "last member of the last group": Mutant("group_scan", "(-1, self.group)", "(-1, 0)", "apart"),
    "inputs of the next batch": Mutant("core", "update_batch.eq(batch)", "update_batch.eq(loader.batch)", "apart"),
    "inputs loaded at another's address": Mutant("inputs", "self.write & ~busy", "self.write", "apart"),
    "sums on the heels of those kept out": Mutant(
        "sequencer", "pause.eq(pause)", "pause.eq(pause - ~paced)", "apart"),
    "second word in both halves": Mutant(
        "column", "Mux(self.second_half, issue.odd, odd | double)", "odd | double", "apart"),
    "tail of the first word": Mutant("column", "tail & (self.second_half | ~double)", "tail", "apart"),
    "auxiliary operands half a cycle early": Mutant("column", "keep_value & self.second_half", "keep_value", "apart"),
    "single word counted twice": Mutant(
        "element", "self.second_half | registered(m, self.double)", "1", "apart"),
    "half a pair counted whole": Mutant("sequencer", "~last_word | phase.words[0]", "1", "apart"),
    "place of the next job's signs": Mutant("sequencer", "2 if config.double_rate else 1", "1", "apart"),
    "first tile in both halves": Mutant(
        "weights", "Mux(registered(m, self.i_double), self.second_half, read_address[0])", "read_address[0]", "apart"),
    "input written over the second read": Mutant(
        "inputs", "access.eq(busy | self.first_half), writing.eq(self.write & ~busy & self.first_half)",
        "access.eq(1), writing.eq(self.write & ~busy)", "apart"),
    "activations of the next sample": Mutant("updater", "registered(m, ~stall)", "1", "apart"),
    "place of the next row": Mutant("updater", "~(active | chosen.valid)", "~active", "short"),
    "place of the next word": Mutant("updater", "moves.eq(moved & ~stall)", "moves.eq(moved)", "short"),
    "block RAM's halves in sequence": Mutant("weights", "bits[bit % 2 * 8 + bit // 2]", "bits[bit]", "apart"),
    "padding counted as saturated": Mutant("counters", "lane < self.tail", "lane <= self.tail", "core"),
    "array does not wait for the updater": Mutant(
        "sequencer", "free | (follows & (left if config.copied else block < self.update_block))", "1", "core"),
    "a block's leave is the next one's": Mutant(
        "sequencer", "phase.part[0] | ~last_of_part | last_pass", "0", "short"),
    "array follows the updater a layer too soon": Mutant(
        "sequencer", "phase.follows < self.update_slot", "phase.follows <= self.update_slot", "core"),
    "next inputs over those in use": Mutant("loader", "header.double & ~self.overtaken", "header.double", "core"),
    "blocks of a part are their own": Mutant("sequencer", "block & ~phase.part", "block", "core"),
    "winners of half a part": Mutant("sequencer", "last_pass & last_of_part", "last_pass", "wide"),
    "one block given free too many": Mutant(
        "updater", "self.block.eq(stage_place[final].row[ceil_log2(config.rows):]",
        "self.block.eq(1 + stage_place[final].row[ceil_log2(config.rows):]", "wide"),
    "groups of update lanes at once": Mutant(
        "counters", "registered(m, signal) for signal in (read_address", "signal for signal in (read_address", "wide"),
    "first word of a pair twice": Mutant("column", "write.data[TILE:]", "write.data[:TILE]", "wide"),
    "first word of a pair replayed twice": Mutant("replay", "Mux(pair, value[-TILE:], half)", "half", "wide"),
    "buffers not in turn": Mutant("loader", "self.parity.eq(~self.parity)", "self.parity.eq(self.parity)", "core"),
}


def run(bench: str, name: str) -> None:
    if bench in CORES:
        config = ArrayConfig(**(array := CORES[bench]))
        sources = array_cells(config)
        run_bench(Core(config), "bitprop.sim.bench_core", tests=1, name=name, sources=sources, timeout=120, parameters={
            "array": array, "networks": [network.to_dict() for network in NETWORKS], "batches": [32, 9, 32, 5, 32],
            "spread": 16, "check_every": 5})
        return
    unit, array, testcase = UNITS[bench]
    config = ArrayConfig(**array)
    run_bench(unit(config), "bitprop.sim.bench_units", tests=1, name=name, testcase=testcase, timeout=120,
              sources=array_cells(config), parameters={"array": array, "record": "loader"})


def mutate(monkeypatch, mutant: Mutant) -> None:
    """Give the module's components the methods of the changed source, until the test ends."""
    original = importlib.import_module(f"bitprop.hw.{mutant.module}")
    source = inspect.getsource(original)
    count = source.count(mutant.old)
    assert count == 1, f"{mutant.old!r} must occur once in hw/{mutant.module}.py, not {count} times"
    source = source.replace(mutant.old, mutant.new)
    spec = importlib.util.spec_from_loader(f"bitprop.hw.mutant_{mutant.module}", loader=None)
    changed = importlib.util.module_from_spec(spec)
    changed.__package__ = "bitprop.hw"
    monkeypatch.setitem(sys.modules, spec.name, changed)
    exec(compile(source, f"mutant of {mutant.module}", "exec"), vars(changed))
    for name, part in vars(changed).items():
        if isinstance(part, type) and issubclass(part, wiring.Component) and part.__module__ == spec.name:
            for method, body in vars(part).items():
                if inspect.isfunction(body) and method != "__init__":
                    monkeypatch.setattr(getattr(original, name), method, body)


@pytest.mark.parametrize("bench", sorted({mutant.caught_by for mutant in MUTANTS.values()}))
def test_passes_without_fault(bench):
    run(bench, "unchanged")


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name, monkeypatch):
    mutant = MUTANTS[name]
    mutate(monkeypatch, mutant)
    with pytest.raises(BenchError, match="tests passed where") as caught:
        run(mutant.caught_by, name)
    assert re.search("AssertionError|Timeout", str(caught.value)), f"not a comparison that failed: {caught.value}"
