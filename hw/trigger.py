"""Prediction and trigger of a sample, as its logits stream by (Eq. 1)."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import MEMBER_BITS, ArrayConfig
from .memory import registered
from .winners import VerdictLayout

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
        other_valid, leads = Signal(), Signal()
        with m.If(self.true):
            m.d.sync += true.eq(self.logit)
            with m.If(self.first):
                m.d.sync += other_valid.eq(0)
        with m.If(self.other):
            m.d.sync += other_valid.eq(1)
        # With their sign bits turned they compare as unsigned, by one carry chain.
        lower, upper = (Cat(value[:-1], ~value[-1]) for value in (other, self.logit))
        m.d.comb += leads.eq(self.other & (self.first | ~other_valid | (lower < upper)))
        with m.If(leads):
            m.d.sync += other.eq(self.logit)
        # Its class follows a cycle later; if it is above the true one, it came after it.
        other_member, true_is_lower = Signal(MEMBER_BITS), Signal()
        member, is_above = registered(m, self.member), registered(m, self.label < self.member)
        with m.If(registered(m, leads)):
            m.d.sync += [other_member.eq(member), true_is_lower.eq(is_above)]
        # The lead is registered, and so comes with the label of the cycle before and which class leads the others.
        lead = Signal(signed(len(true) + 1))
        ahead = Signal(MEMBER_BITS)
        m.d.sync += [lead.eq(true - other), ahead.eq(self.label)]
        wins = Signal()
        m.d.comb += [
            wins.eq((lead > 0) | ((lead == 0) & true_is_lower)),
            self.o.member.eq(Mux(wins, ahead, other_member)),
            self.o.up.eq(lead[-1] | (lead[:-1] < self.margin)),
            self.o.valid.eq(1),
        ]
        return m
