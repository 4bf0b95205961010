"""What a core does in each cycle, as seen at its ports, and where the array's cycles go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..hw.program import PHASE, Program
from ..hw.timing import Timing
from ..synth.schedule import OVERHEADS, program_phases

__all__ = ["IDLE", "LETTERS", "Trace", "causes"]

LETTERS = {"forward": "f", "backward": "b", "update": "u", "stall": "s"}
"""Of the statistics that share out the core's busy cycles; `IDLE` for the others."""

IDLE = "."

LAG = 2
"""Cycles from what happens to the statistics that count it."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Some batches, from the cycle after the first's run was taken to the cycle in which the next one's is.

    letters
        One of `LETTERS` or `IDLE` for each cycle.
    runs, samples, results, rows
        Cycles in which a run or a word of a sample was taken, a result was given, the update of a row began.
    """

    letters: str
    runs: tuple[int, ...]
    samples: tuple[int, ...]
    results: tuple[int, ...]
    rows: tuple[int, ...]

    @classmethod
    def seen(cls, seen: dict[str, np.ndarray], begin: int, end: int) -> Trace:
        """From `begin` to before `end` of what `compiled.Played` has seen."""
        # What a statistic is, it became by what was `LAG` cycles ago.
        letters = np.full(end - begin, ord(IDLE), dtype=np.uint8)
        for name, letter in LETTERS.items():
            letters[seen[name][begin + LAG:end + LAG]] = ord(letter)
        events = {"runs": ("i_run", 0), "samples": ("i_sample", 0), "results": ("o_result", 0),
                  "rows": ("row_updates", LAG)}
        return cls(letters=letters.tobytes().decode(), **{
            event: tuple(np.flatnonzero(seen[name][begin + lag:end + lag]).tolist())
            for event, (name, lag) in events.items()})

    def last_batch(self) -> Trace:
        """The last of the batches alone."""
        begin = self.runs[-2] + 1 if len(self.runs) > 1 else 0
        return Trace(letters=self.letters[begin:], **{
            name: tuple(place - begin for place in getattr(self, name) if place >= begin)
            for name in ("runs", "samples", "results", "rows")})


def causes(trace: Trace, program: Program, batch: int, *, learn: bool) -> dict[str, float]:
    """Cycles of all the trace's batches by what the array does in them, named as in `schedule.OVERHEADS`.

    Words, starts of jobs and the pace follow from the program, and are not seen at the ports. Of the cycles at work
    what is left over is called drain. The cycles not at work are told by when they come, and by whether rows are
    updated then; reading a record takes as many of them as `Timing` says.
    """
    timing = Timing(array=program.array)
    passes = -(-batch // program.array.samples)
    found = dict.fromkeys(OVERHEADS, 0.0)
    for phase in program_phases(program, learn=learn):
        jobs = (phase["blocks"] + 1) * passes
        words, start = timing.words(phase), timing.job_start(phase)
        pace = timing.job(phase) - words - start
        # There are jobs but one between words; the first begins in a cycle of its own.
        for name, cycles in (("words", jobs * words), ("job", (jobs - 1) * start + 1), ("pace", (jobs - 1) * pace)):
            found[name] += len(trace.runs) * cycles
    at_work = sum(letter in "fb" for letter in trace.letters)
    found["drain"] = at_work - found["words"] - found["job"] - found["pace"]

    first_record = timing.record(PHASE) + timing.phase_start
    next_record = timing.phase_start if program.array.pipelined else first_record
    taken = set(trace.runs)
    # The trace begins just behind a run.
    gap, record = [], first_record
    for cycle, letter in enumerate(trace.letters):
        if letter not in "fb":
            gap.append(letter)
        elif program.array.inputs_apart and set(gap) == {"u"} and len(gap) < record:
            # The updates fetch inputs.
            found["updates"] += len(gap)
            gap = []
        elif gap:
            _share_out(gap, record, found)
            gap, record = [], next_record
        if cycle in taken:
            # Nothing but samples keeps the next run from being taken.
            before = min(len(gap), timing.run)
            found["record"] += before
            found["loading"] += len(gap) - before
            gap, record = [], first_record
    return found


def _share_out(gap: list[str], record: int, found: dict[str, float]) -> None:
    # Within a batch the array waits for updates or, at the classes, for results; a record is read before.
    reading = min(len(gap), record)
    found["record"] += reading
    for letter in gap[reading:]:
        found["updates" if letter == "u" else "results"] += 1
