"""When an array does what: the phases of a batch walked through on paper, as the gateware walks through them.

The program that the array would run is read phase by phase and job by job; the rows that win are those expected on
random sums. No gateware is simulated: all durations are `hw/timing.py`'s. What the batches share, and wait for one
another for, is walked through for some batches, one after the other, until they repeat:

    loader   load 1 │ load 2 ···············│ load 3
    array           │ forward 1 │ votes 1   │ forward 2 (behind the updates of layer 1) │ votes 2
    updater                     · updates 1 ···········│                                · updates 2
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from ..hw.config import ArrayConfig
from ..hw.inputs import FETCH_LEAD
from ..hw.program import BUFFERED, LAYER, LOADER, PHASE, SLOT, Field, Program, compile_network, positions
from ..hw.timing import Timing
from ..model.config import MAX_BATCH, RANK_BITS, NetworkConfig

__all__ = ["OVERHEADS", "Schedule", "Span", "compile_blank", "input_fetches", "plan_batches", "program_layers",
           "program_phases", "row_chances", "row_samples"]

BATCHES = 6
"""Walked through; the last but one is what counts."""

OVERHEADS = ("words", "job", "pace", "drain", "updates", "loading", "results", "record")
"""What the array's cycles go to: words of the network; starting a job and reading what goes with it; the pace that
sums leave at; the last sums of a phase; waiting for the updates of the last batch, for samples, for results to be read;
reading records."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something that takes a unit from `begin` to before `end`, in cycles.

    unit
        "array", "updater", "loader" or "results".
    name
        What it does, as people say it.
    batch
        Number of the batch.
    """

    unit: str
    name: str
    begin: float
    end: float
    batch: int


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A batch among others like it.

    cycles
        From its run's beginning to the next's.
    phases
        Its cycles as the core's statistics count them: forward, backward, update, stall.
    causes
        The same cycles by what the array does in them: see `OVERHEADS`.
    jobs
        Cycles of the array by phase of the program, its waits included.
    updater, loader
        Cycles that the updater and the loader are busy with a batch.
    rows
        Rows expected to be updated.
    spans
        What happens from this batch's beginning to the next's.
    """

    cycles: float
    phases: dict[str, float]
    causes: dict[str, float]
    jobs: dict[str, float]
    updater: float
    loader: float
    rows: float
    spans: tuple[Span, ...] = field(repr=False)


def compile_blank(network: NetworkConfig, array: ArrayConfig) -> Program:
    """The network's program with a classifier of ones. Raises CapacityError as `compile_network`."""
    return compile_network(network, np.ones((network.classes, network.layers[-1]), dtype=np.int8), array)


def plan_batches(program: Program, *, batch: int = MAX_BATCH, trigger: float = 1.0, learn: bool = True) -> Schedule:
    """The schedule of batches of `batch` samples, a part `trigger` of which updates, fed as fast as they are taken."""
    return _Walk(program, batch, round(trigger * batch), learn).schedule()


def row_chances(network: NetworkConfig, layer: int) -> list[float]:
    """For each row of `layer` (from 0): the chance that its neuron wins for a sample that triggers.

    Of random sums, half of which are wrong. The lowest place wins where ranks are equal, so the first wins more often;
    a last group of fewer rows wins as often with these as a whole one.
    """
    rows, size = network.layers[layer + 1], network.groups[layer]
    whole, rest = divmod(rows, size)
    chances = _place_chances(network, layer, size) * whole
    return chances + (_place_chances(network, layer, rest) if rest else [])


def _place_chances(network: NetworkConfig, layer: int, size: int) -> list[float]:
    """The same for each place in a group of `size`."""
    fan_in, shift = network.layers[layer], network.rank_shifts[layer]
    top, deviation = (1 << RANK_BITS) - 1, math.sqrt(fan_in)
    below = [math.erf((rank << shift) / (deviation * math.sqrt(2))) for rank in range(top + 1)] + [1.0]
    chances = [0.0] * size
    for rank in range(top + 1):
        here, later, lower = ((below[rank + 1] - below[rank]) / 2, 1 - below[rank] / 2, 1 - below[rank + 1] / 2)
        for place in range(size):
            chances[place] += here * lower ** place * later ** (size - 1 - place)
    return chances


def row_samples(network: NetworkConfig, layer: int, triggered: int) -> list[int]:
    """For each row of `layer` (from 0), how many of `triggered` samples may update it: the distribution as expected, in
    an order without meaning."""
    chances, golden = row_chances(network, layer), (math.sqrt(5) - 1) / 2
    tables = {chance: np.cumsum([
        math.comb(triggered, count) * chance ** count * (1 - chance) ** (triggered - count)
        for count in range(triggered + 1)]) for chance in set(chances)}
    return [min(triggered, int(np.searchsorted(tables[chance], (row + 1) * golden % 1)))
            for row, chance in enumerate(chances)]


def input_fetches(network: NetworkConfig, array: ArrayConfig, triggered: int) -> int:
    """Pairs of input words that the updates of a batch fetch, where inputs lie apart."""
    words = -(-network.layers[0] // array.update_lanes)
    return sum(row_samples(network, 0, triggered)) * (1 + -(-words // FETCH_LEAD))


def program_phases(program: Program, *, learn: bool) -> list[dict[str, int]]:
    """The records of a batch's phases, in order; buffered fields without their flag."""
    phases, address = [], _record(LOADER, program.words, 0)["first_phase"]
    while not (phases and (phases[-1]["end"] or (phases[-1]["end_infer"] and not learn))):
        phases.append(_record(PHASE, program.words, address))
        address = phases[-1]["next"]
    return phases


def program_layers(program: Program) -> list[dict[str, int]]:
    """The records of the layers that are trained."""
    return [_record(LAYER, program.words, SLOT * slot) for slot in program.slots[:-1]]


def _record(layout: dict[str, Field], words: np.ndarray, address: int) -> dict[str, int]:
    found = {}
    for name, (word, bit) in positions(layout).items():
        value = int(words[address + word])
        kind = layout[name]
        found[name] = value & ~BUFFERED if kind.buffer else value >> bit & (1 << kind.width) - 1
    return found


@dataclass(kw_only=True)
class _Run:
    """A batch in the array: where in time it is, and what its cycles went to.

    swap
        When what drains is the next phase's.
    writing
        From when to when what part of the cycles is lost to the loader, for inputs and for targets.
    """

    begin: float
    now: float
    swap: float
    causes: dict[str, float] = field(default_factory=lambda: dict.fromkeys(OVERHEADS, 0.0))
    jobs: dict[str, float] = field(default_factory=dict)
    writing: list[tuple[float, float, dict[str, float]]] = field(default_factory=list)


class _Walk:
    """The state of a walk: when each unit of the batches so far began and ended what."""

    def __init__(self, program: Program, batch: int, triggered: int, learn: bool):
        self.program, self.network, self.array = program, program.network, program.array
        self.timing = Timing(array=self.array)
        self.batch, self.triggered, self.learn = batch, triggered, learn
        self.passes = -(-batch // self.array.samples)
        self.header = _record(LOADER, program.words, 0)
        self.phase_records = program_phases(program, learn=learn)
        self.layers = program_layers(program)
        self.layer_samples = [row_samples(self.network, layer, triggered) for layer in range(self.network.depth)]
        self.spans: list[Span] = []
        # Cycles, first and beyond the last, in which a statistics counter's condition holds.
        self.busy: dict[str, list[tuple[float, float]]] = defaultdict(list)
        # Of the batch last walked through: when its updates leave a block of a layer, when all are over.
        self.block_free: list[list[float]] = []
        self.update_begin = self.update_end = 0.0
        self.results_end = 0.0
        self.voted: dict[int, float] = {}
        # Part of the cycles of the first layer's updates in which they fetch inputs.
        self.fetching = 0.0

    def schedule(self) -> Schedule:
        runs, loads, updates, free = [], [], [], 0.0
        loaded = self._load(0, 0.0, [])
        for number in range(BATCHES):
            begin = max(loaded, free)
            if runs:
                runs[-1].causes["loading"] += begin - free
            inputs_free = self.block_free[0][-1] if self.block_free and not self.array.inputs_apart else 0.0
            run, free = self._run(number, begin)
            runs.append(run)
            updates.append(self.update_end - self.update_begin)
            # The next batch's samples come in beside this one, but not over what the last one's updates still read.
            start = max(begin + 1, inputs_free) if self.header["double"] else free
            loaded = self._load(number + 1, start, run.writing)
            loads.append(loaded - start)
        counted = BATCHES - 2
        begin, end = runs[counted].begin, runs[counted + 1].begin
        return Schedule(
            cycles=end - begin, phases=self._statistics(begin, end), causes=runs[counted].causes,
            jobs=runs[counted].jobs, updater=updates[counted], loader=loads[counted],
            rows=sum(sum(1 for count in counts if count) for counts in self.layer_samples) if self.learn else 0,
            spans=tuple(
                dataclasses.replace(span, begin=span.begin - begin, end=span.end - begin, batch=span.batch - counted)
                for span in self.spans if span.end > begin and span.begin < end))

    def _statistics(self, begin: float, end: float) -> dict[str, float]:
        """What the core's counters count between two cycles."""
        length = round(end - begin)

        def during(*kinds: str):
            mask = np.zeros(length, dtype=bool)
            for kind in kinds:
                for start, stop in self.busy[kind]:
                    mask[max(0, round(start - begin)):max(0, round(stop - begin))] = True
            return mask

        forward, backward, update = (during(kind) for kind in ("forward", "backward", "update"))
        others = ~(forward | backward)
        stall = others & ~update & during("running", "results")
        return {"forward": float(forward.sum()), "backward": float(backward.sum()),
                "update": float((others & update).sum()), "stall": float(stall.sum())}

    def _run(self, number: int, begin: float) -> tuple[_Run, float]:
        """The array's phases of a batch that is taken at `begin`, and when the next can be."""
        timing = self.timing
        run = _Run(begin=begin, now=begin + timing.record(PHASE) + timing.phase_start, swap=begin)
        run.causes["record"] += run.now - begin
        self.voted = {}
        classified = at_work = begin
        for place, phase in enumerate(self.phase_records):
            started, swapped = run.now, (run.swap, at_work)
            if phase["classify"] and self.results_end > run.now:
                run.causes["results"] += self.results_end - run.now
                run.now = self.results_end
            kind, name = "backward" if phase["backward"] else "forward", self._name(place)
            self.busy[kind].append(swapped)
            self._jobs(run, phase, kind)
            jobs_end = run.now
            at_work = self._leave(run, phase)
            self.busy[kind].append((jobs_end, min(at_work, run.swap)))
            if phase["classify"]:
                classified = run.swap + 1
                self._results(number, classified)
            self.spans.append(Span(unit="array", name=name, begin=started, end=at_work, batch=number))
            run.jobs[name] = run.now - started
        self.busy["running"].append((begin, run.now))
        run.causes["record"] += timing.run
        if self.learn and self.triggered:
            self._update(number, classified, run.now)
        else:
            self.block_free, self.update_begin, self.update_end = [], run.now, run.now
        return run, run.now + timing.run

    def _jobs(self, run: _Run, phase: dict[str, int], kind: str) -> None:
        """All jobs of a phase."""
        timing, array = self.timing, self.array
        words, start, length = timing.words(phase), timing.job_start(phase), timing.job(phase)
        blocks = list(range(phase["blocks"] + 1))
        parts = [blocks[first:first + phase["part"] + 1] for first in blocks[::phase["part"] + 1]]
        if self._down(phase):
            parts.reverse()
        begin = work_begin = run.now
        run.now += 1  # before the first words
        run.causes["job"] += 1
        for part in parts:
            for block in part * self.passes:
                free = self._free(phase, block, run.now)
                free += self._share(phase, words, free)
                if free > run.now:
                    run.causes["updates"] += free - run.now
                    self.busy[kind].append((work_begin, run.now))
                    run.now = work_begin = free
                run.now += length
                run.causes["words"] += words
                run.causes["job"] += start
                run.causes["pace"] += length - start - words
            if phase["end"]:
                self.voted |= dict.fromkeys(part, run.now + timing.sums + phase["pace"] + 2 + timing.votes)
        # Behind the last words the phase ends.
        run.now -= length - words
        run.causes["job"] -= start
        run.causes["pace"] -= length - start - words
        self.busy[kind].append((work_begin, run.now))
        # Signs, gates and verdicts take the port that the loader writes by; signs on their way to the replay memory
        # take its.
        verdicts = phase["classify"] + (phase["select"] and max(1, array.rows // (phase["group"] + 1)))
        writes = phase["write_value"] + phase["write_gate"] + verdicts
        copies = array.columns * min(2, array.lanes) if array.columns > 1 else array.lanes
        signs = copies - 1 if phase["replay"] else 0
        inputs = (writes + signs) / length
        if array.inputs_apart:
            # Roughly: fetches are left out, and the cycle between two jobs counts as lost to the loader.
            inputs = len(blocks) * self.passes * (words + 1) / (run.now - begin) if phase["follows"] == 1 else 0
        run.writing.append((begin, run.now, {
            "inputs": min(0.98 if array.inputs_apart else 0.9, inputs), "targets": min(0.9, writes / length)}))

    def _free(self, phase: dict[str, int], block: int, now: float) -> float:
        """When the last batch's updates let the phase begin with a block, from `now` on."""
        if self.update_end <= now or not phase["follows"]:
            return now
        blocks = self.block_free[phase["follows"] - 1]
        return max(now, max(blocks) if self.array.descending and not self._down(phase) else blocks[block])

    def _down(self, phase: dict[str, int]) -> bool:
        """Whether the phase goes from its last block to its first."""
        return self.array.descending and phase["follows"] == 1 and not phase["select"]

    def _share(self, phase: dict[str, int], words: int, now: float) -> float:
        """Cycles that a job takes longer at `now` where it shares the port of the inputs with updates."""
        if not (self.array.inputs_apart and phase["follows"] == 1 and self.block_free):
            return 0.0
        return self.fetching * min(words / (1 - self.fetching), max(0.0, max(self.block_free[0]) - now))

    def _leave(self, run: _Run, phase: dict[str, int]) -> float:
        """From a phase's last word to the next phase's first; returns when the array is no longer at work in it."""
        timing, jobs_end = self.timing, run.now
        empty = jobs_end + timing.flush
        if phase["end"] or (phase["end_infer"] and not self.learn):
            run.now = run.swap = empty
            run.causes["drain"] += empty - jobs_end
            return empty
        if not self.array.pipelined:
            run.swap = empty
            run.now = empty + timing.record(PHASE) + timing.phase_start
            run.causes["drain"] += empty - jobs_end
            run.causes["record"] += run.now - empty
            return empty
        # The next record is read while the last sums come out; a single pass's must all be there.
        sums = jobs_end + timing.handover if self.passes > 1 else empty
        aux = phase["keep_value"] + phase["keep_gate"]
        end = max(sums, jobs_end + aux + timing.record(PHASE))
        run.swap = empty - timing.settling
        run.now = end + timing.phase_start
        run.causes["drain"] += sums - jobs_end
        run.causes["record"] += run.now - sums
        return end

    def _name(self, place: int) -> str:
        depth = self.network.depth
        if place < depth:
            return f"layer {place + 1}"
        return "classes" if place == depth else f"votes {2 * depth - place}"

    def _results(self, number: int, classified: float) -> None:
        timing, array = self.timing, self.array
        asks = -(-self.batch // array.lanes)
        start = classified + 1 + (0 if array.chained else array.passes)
        self.results_end = start + asks * timing.ask + self.batch + 1
        if array.chained:
            self.results_end += MAX_BATCH - self.batch
        self.busy["results"].append((classified, self.results_end))
        self.spans.append(Span(unit="results", name="results", begin=classified, end=self.results_end, batch=number))

    def _update(self, number: int, classified: float, array_end: float) -> None:
        """The updates of a batch whose logits are there at `classified`, and whose votes end at `array_end`."""
        timing, array = self.timing, self.array
        known = self.results_end if array.chained else classified + timing.triggers
        now = max(known, self.update_end)
        self.update_begin = classified
        self.block_free = []
        for layer, (record, counts) in enumerate(zip(self.layers, self.layer_samples, strict=True)):
            begin, blocks = now, []
            now += timing.record(LAYER) + timing.layer_start
            words, copied = record["words"] + 1, array.copied and record["copy"] != 0
            search = (_GroupSearch if array.chained else _RowSearch)(self, layer, now, array_end)
            free, take, written = now, now, now
            height, lead = array.rows, FETCH_LEAD if array.inputs_apart else 0
            rows = list(enumerate(counts))
            # Those beyond the end of the layer are gone through as well where these are the first.
            last = -(-len(counts) // self.network.groups[layer]) * self.network.groups[layer]
            if array.descending:
                rows = [(row, 0) for row in range(last - 1, len(counts) - 1, -1)] + rows[::-1]
            for row, samples in rows:
                ready = search.ready(row, samples)
                if not samples:
                    continue
                word = timing.word(samples, copied=copied)
                before, take = take, max(ready, free)
                search.taken(take, before)
                over = take + lead * samples + words * word
                free, written = max(over + timing.row_gap, take + timing.row_least), over + timing.row_end
                # With its first word, the blocks on the way to its own are known to be complete.
                behind = (len(counts) - 1) // height - row // height if array.descending else row // height
                blocks += [take + lead * samples + word + timing.row_end + 1] * (behind - len(blocks))
            now = max(written, search.over)
            blocks += [now] * (len(counts) // height + 1 - len(blocks))
            self.block_free.append(blocks[(len(counts) - 1) // height::-1] if array.descending else blocks)
            if array.inputs_apart and not layer:
                self.fetching = input_fetches(self.network, array, self.triggered) / max(1, now - begin)
            name = f"update {len(self.block_free)}"
            self.spans.append(Span(unit="updater", name=name, begin=begin, end=now, batch=number))
        self.update_end = now
        self.busy["update"].append((classified, now))

    def when_voted(self, row: int, now: float, array_end: float) -> float:
        """When the updates may ask for a row, from `now` on, of a batch whose votes end at `array_end`."""
        return max(now, self.voted.get(row // self.array.rows, array_end)) if now < array_end else now

    def _load(self, number: int, begin: float, writing: list) -> float:
        """When all samples are in that begin to be loaded at `begin`, while the array writes as `writing` says."""
        timing = self.timing
        now = begin + timing.load_start + timing.record(LOADER)
        inputs, targets = self.program.sample_beats, self.header["target_words"] + 1
        for _ in range(self.batch):
            if self.array.inputs_apart:
                # The array leaves so little of the port in the first phase that a sample waits for its end.
                now = _beside(writing, "inputs", now, inputs)
                now = _beside(writing, "targets", now, targets) + timing.load_sample
                continue
            taken = next((shares for start, stop, shares in writing if start <= now < stop), None)
            if taken is None:
                now += inputs + targets + timing.load_sample
            else:
                now += (inputs / (1 - taken["inputs"]) + targets / (1 - taken["targets"]) + timing.load_sample)
        self.spans.append(Span(unit="loader", name="load", begin=begin, end=now, batch=number))
        return now


def _beside(writing: list[tuple[float, float, dict[str, float]]], kind: str, now: float, amount: float) -> float:
    """When as much has been written, from `now` on, of what is lost in part as `writing` says, in ascending order."""
    for start, stop, shares in writing:
        if stop <= now:
            continue
        free = max(0.0, start - now)
        if amount <= free:
            break
        amount, now = amount - free, now + free
        rate = 1 - shares[kind]
        if amount <= (stop - now) * rate:
            return now + amount / rate
        amount, now = amount - (stop - now) * rate, stop
    return now + amount


class _RowSearch:
    """The search for rows to update, row by row, from `now` on; `over` when it is known that there are no more."""

    def __init__(self, walk: _Walk, layer: int, now: float, array_end: float):
        self.walk, self.array_end = walk, array_end
        self.over = self.asked = now
        # When the rows that are under way leave the search.
        self.leaving: list[float] = []

    def ready(self, row: int, samples: int) -> float:
        """When the row is known; to be asked in order."""
        array, timing = self.walk.array, self.walk.timing
        start = self.asked
        if len(self.leaving) >= array.scan_ahead:
            start = max(start, heapq.heappop(self.leaving) + 1)
        start = self.walk.when_voted(row, start, self.array_end)
        self.asked = start + array.passes
        self.over = self.asked - 1 + timing.dropped
        self.known = self.asked - 1 + timing.found
        if not samples:
            heapq.heappush(self.leaving, self.over)
        return self.known

    def taken(self, take: float, before: float) -> None:
        """The row asked for last is taken, and the one before that was."""
        waiting = self.walk.timing.waiting
        heapq.heappush(self.leaving, max(self.known - 1, before + 1) if waiting else take)


class _GroupSearch:
    """The same, group by group."""

    def __init__(self, walk: _Walk, layer: int, now: float, array_end: float):
        self.walk, self.array_end, self.group = walk, array_end, walk.network.groups[layer]
        self.over = now

    def ready(self, row: int, samples: int) -> float:
        array, timing = self.walk.array, self.walk.timing
        last, self.over = self.over, self.over + timing.visit
        if (row + 1 if array.descending else row) % self.group == 0:
            begin = self.walk.when_voted(row, last, self.array_end)
            self.over = begin + array.passes + timing.gather
        return self.over

    def taken(self, take: float, before: float) -> None:
        self.over = take
