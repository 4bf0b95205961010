"""Winner takes update: the easiest wrong neuron of each group, as its neurons stream by (Eq. 8)."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .config import MEMBER_BITS, ArrayConfig

__all__ = ["VerdictLayout", "WinnerSelect"]

VerdictLayout = data.StructLayout({"member": MEMBER_BITS, "up": 1, "valid": 1})
"""What is kept of a group and sample: which member wins, whether its sum must go up, and whether any wins. A sample's
result has the same form: the predicted class, whether it triggered, and 1."""


class WinnerSelect(wiring.Component):
    """Streaming argmin of the rank over a group's wrong neurons.

    Members
    -------
    valid, first, last : In(1)
        A neuron is here; it is the first, the last of its group.
    wrong, up, rank, member : In
        It is misclassified; its desired activation is +1; how hard it is to correct; its place in the group.
    o : Out(VerdictLayout)
        With `last`: the winner, combinationally. On equal ranks the lowest place wins.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__({
            "valid": In(1),
            "first": In(1),
            "last": In(1),
            "wrong": In(1),
            "up": In(1),
            "rank": In(config.rank_bits),
            "member": In(MEMBER_BITS),
            "o": Out(VerdictLayout),
        })

    def elaborate(self, platform):
        m = Module()
        best = Signal(VerdictLayout)
        best_rank = Signal(self.rank.shape())
        open_group = Signal()
        m.d.comb += open_group.eq(self.first | ~best.valid)
        better = Signal()
        m.d.comb += [
            better.eq(self.wrong & (open_group | (self.rank < best_rank))),
            self.o.member.eq(Mux(better, self.member, best.member)),
            self.o.up.eq(Mux(better, self.up, best.up)),
            self.o.valid.eq(better | (best.valid & ~self.first)),
        ]
        with m.If(self.valid):
            m.d.sync += best.eq(self.o)
            with m.If(better):
                m.d.sync += best_rank.eq(self.rank)
        return m
