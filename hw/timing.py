"""Cycles that the gateware takes beside its work: every constant of the schedule, for whoever foretells it.

Each is what the unit named does; a change of a unit's states or stages is a change of one number here.
"""

from dataclasses import dataclass

from .config import ArrayConfig
from .program import Field, record_words

__all__ = ["Timing"]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Timing of the units of an array."""

    array: ArrayConfig

    # records.RecordReader

    def record(self, layout: dict[str, Field]) -> int:
        """From the cycle of `start` to the first in which the record is there and `busy` is low."""
        return record_words(layout) + (4 if self.array.pipelined else 3)

    # sequencer.Sequencer

    def job_start(self, phase: dict[str, int]) -> int:
        """Between the words of two jobs: the auxiliary operands of the first are read, or nothing is done."""
        return max(1, phase["keep_value"] + phase["keep_gate"])

    def words(self, phase: dict[str, int]) -> int:
        """Cycles in which a job's words are read."""
        return (phase["words"] >> 1 if self.array.double_rate else phase["words"]) + 1

    def job(self, phase: dict[str, int]) -> int:
        """From a job's first word to the next's."""
        return max(self.words(phase) + self.job_start(phase), phase["pace"] + 2)

    phase_start = 1
    """From the first cycle in which the record is there to the first job."""

    @property
    def sums(self) -> int:
        """From a job's last word to its first sum."""
        return self.array.read_latency + self.array.element_latency + 1

    @property
    def settling(self) -> int:
        """From the first column's last write to the last column's."""
        return 2 * self.array.columns + self.array.lanes + self.array.bus_delay

    @property
    def flush(self) -> int:
        """From a phase's last word to the cycle in which the array is empty."""
        return self.sums + self.array.rows + 6 + self.settling + 1

    @property
    def handover(self) -> int:
        """From a phase's last word to the earliest end of its wait for the sums, where the next phase's record is read
        meanwhile and the batch has more than one pass."""
        return self.array.rows + 8

    votes = 4
    """From a block's last sum to the cycle in which its winners count as complete."""

    run = 1
    """From the end of a batch to the cycle in which the next can be taken."""

    # results.Results

    @property
    def triggers(self) -> int:
        """From the array's last logits to the cycle in which all triggers are known, where samples are not chained."""
        return self.array.passes + self.array.reply_latency + 3

    @property
    def ask(self) -> int:
        """Asking a column for its results."""
        return self.array.reply_latency + 1

    # updater.Updater, scan.RowScan and group_scan.GroupScan

    @property
    def layer_start(self) -> int:
        """Of the updates of a layer, beside reading its record."""
        return 4 if self.array.pipelined else 5

    @property
    def gather(self) -> int:
        """From the start of a layer, or a group's last row, to the first row of the next group, beside asking."""
        return self.array.reply_latency + 4

    visit = 2
    """From row to row of a group."""

    @property
    def found(self) -> int:
        """From the last query of a row to the cycle in which the updater can take it."""
        registers = self.array.pipelined
        queue = 0 if self.array.scan_ahead == 1 else 1 + registers
        return self.array.reply_latency + 2 + queue + registers

    @property
    def waiting(self) -> int:
        """Rows that wait in the updater, where the search no longer counts them."""
        return 1 if self.array.pipelined else 0

    @property
    def dropped(self) -> int:
        """From the last query of a row that nobody won to the cycle in which it makes room for another."""
        return self.array.reply_latency + (2 if self.array.pipelined else 1)

    @property
    def row_gap(self) -> int:
        """Between two rows that are ready."""
        return 0 if self.array.pipelined else 2

    @property
    def row_least(self) -> int:
        """From one row that is ready to the next, at least."""
        return 2

    @property
    def row_end(self) -> int:
        """From a row's last step to the cycle in which its last word is written, as from that of any of its words."""
        return 1 + (1 if self.array.pipelined else 0) + self.array.step_latency + self.array.update_groups

    def word(self, samples: int, *, copied: bool) -> int:
        """A counter word that `samples` samples update; `copied` where its signs are written twice."""
        if copied:
            return samples + 1
        return max(2, samples) if self.array.single_port else samples

    # loader.Loader

    load_start = 1
    """Of a batch, beside reading the record."""

    load_sample = 1
    """Of a sample, beside its words, its label and its target's words."""
