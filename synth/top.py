"""The design on a board: clock, reset and pins around the system.

    clock pin ─► PLL ─► sync clock, and of twice the frequency where the array has one
                  └─ locked ─► settling time ─► sync reset
    uart pins ◄──────────────► System
"""

from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Module, Signal
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from ..hw.system import System
from .boards import Board

__all__ = ["Clocking", "Top"]

SETTLING_SECONDS = 15e-6
"""Block RAM of the iCE40 reads zeros for up to 3 µs after configuration; five times that."""


class Clocking(Elaboratable):
    """The board's clock through its PLL.

    Attributes
    ----------
    clock, double : Signal()
        The design's clock; one that rises with each of its edges, if the array is of the double rate.
    unsettled : Signal()
        High until the PLL has locked and the block RAMs have settled.
    """

    def __init__(self, board: Board):
        self.board = board
        self.clock = Signal()
        self.double = Signal()
        self.unsettled = Signal(init=1)

    def elaborate(self, platform):
        m = Module()
        pin = platform.request(platform.default_clk, dir="-")
        pll = self.board.pll
        if getattr(pll, "pad", False):
            reference = pin.io
        else:
            m.submodules.buffer = buffer = io.Buffer("i", pin)
            reference = buffer.i

        locked = Signal()
        m.submodules.pll = pll.instance(reference=reference, output=self.clock, locked=locked, double=self.double)

        # Counts in a domain of its own, which the reset that follows from it does not stop.
        m.domains.settling = ClockDomain(local=True)
        m.d.comb += ClockSignal("settling").eq(self.clock)
        m.submodules.locked_sync = ResetSynchronizer(~locked, domain="settling")
        cycles = round(SETTLING_SECONDS * pll.output_hz)
        elapsed = Signal(range(cycles))
        with m.If(elapsed == cycles - 1):
            m.d.settling += self.unsettled.eq(0)
        with m.Else():
            m.d.settling += elapsed.eq(elapsed + 1)
        return m


class Top(Elaboratable):
    """The system on `board`, on the pins of its UART.

    Parameters
    ----------
    board
        Where.
    system
        A component with `rx : In(1)` and `tx : Out(1)` in the `sync` domain; if None, the board's own.
    """

    def __init__(self, board: Board, system=None):
        self.board = board
        self.system = system

    def elaborate(self, platform):
        m = Module()
        board = self.board
        system = self.system
        if system is None:
            system = System(board.config, board.link)
        uart = platform.request("uart", dir="-")
        m.submodules.clocking = clocking = Clocking(board)
        m.domains.sync = ClockDomain()
        m.d.comb += ClockSignal().eq(clocking.clock)
        if board.config.double_rate:
            m.domains.double = ClockDomain(reset_less=True)
            m.d.comb += ClockSignal("double").eq(clocking.double)
        m.submodules.reset_sync = ResetSynchronizer(clocking.unsettled)
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.submodules.system = system
        m.d.comb += [system.rx.eq(rx.i), tx.o.eq(system.tx)]
        return m
