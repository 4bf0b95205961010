"""The streams between the core and whatever drives it (the link, or a bench)."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .config import TILE, ArrayConfig

__all__ = ["PHASES", "STATISTICS", "CoreSignature", "ResultLayout", "RunLayout", "SampleWordLayout", "TransferLayout"]

PHASES = ("forward", "backward", "update", "stall")
"""What every busy cycle is one of: the array works forward (logits included), backward, stands still while counters are
updated, or waits for anything else."""

STATISTICS = (*PHASES, "samples", "triggered", "row_updates", "saturations")
"""Names of the statistics counters, in order: cycles by phase, then what happened."""

TransferLayout = data.StructLayout({"layer": 4, "row": 12, "first": 12, "words": 12, "write": 1})
"""An item of `CoreSignature.i_row`."""

RunLayout = data.StructLayout({"count": 6, "learn": 1, "time": 8})
"""An item of `CoreSignature.i_run`."""

ResultLayout = data.StructLayout({"prediction": 7, "triggered": 1})
"""An item of `CoreSignature.o_result`."""


def SampleWordLayout(config: ArrayConfig) -> data.StructLayout:
    """An item of `CoreSignature.i_sample`."""
    return data.StructLayout({"data": TILE * config.load_words, "last": 1})


class CoreSignature(wiring.Signature):
    """Host side of the core.

    Members
    -------
    i_program : In(stream)
        Program memory write: `data` (16 bits) to `address` (10 bits). Taken only while idle.
    i_row : In(stream)
        Row transfer: `words` counter words from word `first` of row `row` of the layer whose record is in slot
        `layer` (see `program.Program.slots`), to the core if `write`, else from it. Taken only while idle.
    i_counter : In(stream)
        Counters of a row being written, signed B bits, ascending; U of them a word.
    o_counter : Out(stream)
        Counters of a row being read, likewise.
    i_sample : In(stream)
        Samples of the next batch: the inputs (`config.load_words` words of 16 bits at once, bit 0 the first input,
        padding 0), then the label with `last`. Loads beside the batch in work. Where inputs lie apart, they are looked
        at in mid cycle, and have to be there.
    i_run : In(stream)
        Run the `count` samples loaded (1 … 32); `learn` updates the counters, `time` is the number of samples
        trained before, modulo 256.
    o_result : Out(stream)
        One item a sample, in order: `prediction`, and whether it `triggered`.
    idle : Out(1)
        No batch or row transfer in work and every counter and weight is up to date.
    statistics : Out
        The counters named by `STATISTICS`.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__({
            "i_program": In(stream.Signature(data.StructLayout({"address": 10, "data": 16}))),
            "i_row": In(stream.Signature(TransferLayout)),
            "i_counter": In(stream.Signature(signed(config.counter_bits))),
            "o_counter": Out(stream.Signature(signed(config.counter_bits))),
            "i_sample": In(stream.Signature(SampleWordLayout(config))),
            "i_run": In(stream.Signature(RunLayout)),
            "o_result": Out(stream.Signature(ResultLayout)),
            "idle": Out(1),
            "statistics": Out(data.ArrayLayout(unsigned(config.statistic_width), len(STATISTICS))),
        })
