"""Counting equal bits under a mask, and summing the counts of a row word by word.

    weight, value, mask ─► 16 × masked XNOR ─► 7 + 7 + 1 + 1 bits ─► count of 15, 1 bit ─► + ─► total ─┐
                                  (register)           register               register    ▲ register │
                                                                                          └──────────┘

The shape follows the cells. A full adder of single bits costs two LUTs, but a carry chain adds a bit for one:
so the tree stops at two counts of seven, one carry chain adds these and a fifteenth bit, and the last bit is
the carry-in of the sum. The sum restarts through the registers' reset, not a multiplexer before the adder.
"""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .memory import registered

__all__ = ["DotAccumulator"]


class DotAccumulator(wiring.Component):
    """Equal bits under a mask, summed over the words of a row.

    `total = Σ popcount(mask & ~(weight ^ value))`. A 1 bit of `weight` and `value` is +1, a 0 bit -1, so
    `2·total - Σ popcount(mask)` is the sum of the products under the mask (Eq. 2–7).

    Takes a word a cycle; nothing stalls it. Between two sums there is a cycle without a word, in which `total` is taken
    and `clear` given.

    Parameters
    ----------
    width
        Bits of a word, 1 to 16.
    sum_width
        Bits of the sum, which wraps.
    pipelined
        With a register behind the XNOR too.
    late
        Where pipelined: that register is behind the count instead, which has fewer bits where there is no XNOR.

    Members
    -------
    weight, value, mask : In(width)
        The word.
    compute : In(1)
        Two cycles behind the word, or three: it counts.
    clear : In(1)
        Begin another sum; not together with `compute`.
    total : Out(sum_width)
        The sum, from three cycles behind its last word until `clear`, or four if pipelined.
    """

    def __init__(self, *, width: int = 16, sum_width: int, pipelined: bool = False, late: bool = False):
        if not 1 <= width <= 16:
            raise ValueError(f"width must be an integer from 1 to 16, not {width!r}")
        if not sum_width >= 1:
            raise ValueError(f"sum_width must be a positive integer, not {sum_width!r}")
        self.width = width
        self.sum_width = sum_width
        self.pipelined = pipelined
        self.late = late
        super().__init__({
            "weight": In(width),
            "value": In(width),
            "mask": In(width),
            "compute": In(1),
            "clear": In(1),
            "total": Out(sum_width),
        })

    def elaborate(self, platform):
        m = Module()
        equal = Signal(16, reset_less=True)
        m.d["sync" if self.pipelined and not self.late else "comb"] += equal.eq(self.mask & ~(self.weight ^ self.value))

        low, high, single, spare = (Signal(width, reset_less=True) for width in (3, 3, 1, 1))
        m.d.sync += [
            low.eq(_count_of_seven(m, equal[0:7], "low")),
            high.eq(_count_of_seven(m, equal[7:14], "high")),
            single.eq(equal[14]),
            spare.eq(equal[15]),
        ]

        # The lowest position of each adder turns a bit into the carry-in: x + x.
        count, carry = Signal(4, reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            count.eq((Cat(single, low) + Cat(single, high)) >> 1),
            carry.eq(spare),
        ]
        if self.pipelined and self.late:
            count, carry = registered(m, count), registered(m, carry)
        with m.If(self.compute):
            m.d.sync += self.total.eq((Cat(carry, self.total) + Cat(carry, count)) >> 1)
        # Not nested, so that it is a reset in the same breath as the domain's and not logic in front of the register.
        with m.If(self.clear):
            m.d.sync += self.total.eq(0)
        return m


def _count_of_seven(m: Module, bits, name: str):
    # Named signals, or synthesis is given each expression many times over.
    def full_adder(a, b, c, level):
        total, carry = Signal(name=f"{name}_sum_{level}"), Signal(name=f"{name}_carry_{level}")
        m.d.comb += [total.eq(a ^ b ^ c), carry.eq((a & b) | (a & c) | (b & c))]
        return total, carry

    sum_0, carry_0 = full_adder(*bits[0:3], 0)
    sum_1, carry_1 = full_adder(*bits[3:6], 1)
    ones, carry_2 = full_adder(sum_0, sum_1, bits[6], 2)
    twos, fours = full_adder(carry_0, carry_1, carry_2, 3)
    return Cat(ones, twos, fours)
