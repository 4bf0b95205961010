"""Serial line: 8 data bits, least significant first, no parity, 1 stop bit."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["BREAK_CHARACTERS", "Receiver", "Transmitter"]

BREAK_CHARACTERS = 4
"""Characters of nothing but low that make a break: more than a damaged one or two."""


class Receiver(wiring.Component):
    """Characters from a line.

    Parameters
    ----------
    divisor
        Clock cycles a bit, at least 4.

    Members
    -------
    pin : In(1)
        The line, asynchronous; 1 when idle.
    o : Out(stream), always ready
        `data` (8 bits), `blank` if they are zero, and `error` if the stop bit was low. One item in the middle of
        each stop bit.
    broken : Out(1)
        High for one cycle once the line was low for `BREAK_CHARACTERS` characters, and once more after as many
        again.
    """

    def __init__(self, divisor: int):
        self._divisor = divisor
        super().__init__({
            "pin": In(1, init=1),
            "o": Out(stream.Signature(data.StructLayout({"data": 8, "blank": 1, "error": 1}), always_ready=True)),
            "broken": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules += FFSynchronizer(self.pin, line, init=1)
        timer = Signal(range(self._divisor))
        busy = Signal()
        # A one walks down before the bits and is last in line when the stop bit is sampled.
        bits = Signal(10)
        empties = Signal(range(BREAK_CHARACTERS))
        m.d.sync += [self.o.valid.eq(0), self.broken.eq(0)]
        m.d.comb += self.o.payload.data.eq(bits[1:9])
        with m.If(~busy):
            m.d.sync += [
                busy.eq(~line),
                timer.eq(self._divisor // 2 - 1),
                bits.eq(1 << 9),
            ]
        with m.Elif(timer == 0):
            m.d.sync += [
                timer.eq(self._divisor - 1),
                bits.eq(Cat(bits[1:], line)),
                self.o.payload.blank.eq(bits[2:] == 0),
                self.o.payload.error.eq(~line),
            ]
            with m.If(bits[0]):
                m.d.sync += [
                    busy.eq(0),
                    # A high start bit was a glitch, and no character.
                    self.o.valid.eq(~bits[1]),
                ]
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
        with m.If(self.o.valid):
            m.d.sync += empties.eq(empties + 1)
            with m.If(~self.o.payload.error | ~self.o.payload.blank):
                m.d.sync += empties.eq(0)
            with m.Else():
                m.d.sync += self.broken.eq(empties == BREAK_CHARACTERS - 1)
        return m


class Transmitter(wiring.Component):
    """Characters to a line.

    Parameters
    ----------
    divisor
        Clock cycles a bit.

    Members
    -------
    i : In(stream)
        Bytes; one every ten bits.
    pin : Out(1)
        The line, registered.
    """

    def __init__(self, divisor: int):
        self._divisor = divisor
        super().__init__({
            "i": In(stream.Signature(8)),
            "pin": Out(1, init=1),
        })

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self._divisor))
        # The stop bit is the last one left; nothing left is idle.
        bits = Signal(10)
        m.d.comb += self.i.ready.eq(bits == 0)
        m.d.sync += self.pin.eq(bits[0] | self.i.ready)
        with m.If(self.i.ready):
            m.d.sync += timer.eq(self._divisor - 1)
            with m.If(self.i.valid):
                m.d.sync += bits.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1)))
        with m.Elif(timer == 0):
            m.d.sync += [timer.eq(self._divisor - 1), bits.eq(bits[1:])]
        with m.Else():
            m.d.sync += timer.eq(timer - 1)
        return m
