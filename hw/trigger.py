"""Prediction and trigger of a sample, as its logits stream by (Eq. 1)."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import ArrayConfig
from .winners import MEMBER_BITS, VerdictLayout

__all__ = ["Trigger"]


class Trigger(wiring.Component):
    """Margin of the true class over the best other one, and the argmax.

    Members
    -------
    true, other : In(1)
        A logit is here, of the true class or of another.
    first : In(1)
        It is that of class 0.
    logit : In, signed
        `(P a_L)_c`.
    member, label : In
        Its class c; the sample's true class.
    margin : In
        The sample triggers when the true logit leads every other by less than this.
    o : Out(VerdictLayout)
        From two cycles after the last logit on, for one cycle: `member` is the argmax (lowest class on a tie), `up`
        whether the sample triggered, `valid` 1.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__({
            "true": In(1),
            "other": In(1),
            "first": In(1),
            "logit": In(signed(config.sum_width + 1)),
            "member": In(MEMBER_BITS),
            "label": In(MEMBER_BITS),
            "margin": In(config.sum_width + 1),
            "o": Out(VerdictLayout),
        })

    def elaborate(self, platform):
        m = Module()
        shape = self.logit.shape()
        true, other = Signal(shape), Signal(shape)
        other_member = Signal(MEMBER_BITS)
        other_valid = Signal()
        with m.If(self.true):
            m.d.sync += true.eq(self.logit)
            with m.If(self.first):
                m.d.sync += other_valid.eq(0)
        with m.If(self.other):
            m.d.sync += other_valid.eq(1)
        with m.If(self.other & (self.first | ~other_valid | (self.logit > other))):
            m.d.sync += [other.eq(self.logit), other_member.eq(self.member)]
        # The lead is registered; the classes it is between are the same for one more cycle only, so they are too.
        lead = Signal(signed(len(true) + 1))
        ahead, behind = Signal(MEMBER_BITS), Signal(MEMBER_BITS)
        true_is_lower = Signal()
        m.d.sync += [
            lead.eq(true - other),
            ahead.eq(self.label),
            behind.eq(other_member),
            true_is_lower.eq(self.label < other_member),
        ]
        wins = Signal()
        m.d.comb += [
            wins.eq((lead > 0) | ((lead == 0) & true_is_lower)),
            self.o.member.eq(Mux(wins, ahead, behind)),
            self.o.up.eq(lead < self.margin),
            self.o.valid.eq(1),
        ]
        return m
