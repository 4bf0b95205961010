"""Clock synthesis: the dividers that make a frequency, and the primitive that uses them."""

from dataclasses import dataclass

from amaranth.hdl import Const, Instance, Signal

__all__ = ["Ecp5Pll", "Ice40Pll"]

TOLERANCE = 0.001
"""Relative deviation from the wanted frequency that is still called the same."""


@dataclass(frozen=True, kw_only=True)
class Ice40Pll:
    """SB_PLL40 with simple feedback: `output_hz = input_hz · (divf + 1) / ((divr + 1) · 2^divq)`.

    Parameters
    ----------
    input_hz
        Reference.
    divr, divf, divq
        Dividers of the reference, of the feedback, and of the oscillator.
    pad
        Whether the reference is the PLL's own pin.
    double
        Whether it makes a clock of twice the frequency too, which rises with each edge of the other.
    """

    input_hz: float
    divr: int
    divf: int
    divq: int
    pad: bool
    double: bool = False

    @classmethod
    def for_frequency(cls, input_hz: float, output_hz: float, *, pad: bool, double: bool = False) -> "Ice40Pll":
        """The dividers that come nearest.

        Raises
        ------
        ValueError
            None makes `output_hz` within a thousandth.
        """
        options = [
            cls(input_hz=input_hz, divr=divr, divf=divf, divq=divq, pad=pad, double=double)
            for divr in range(16) if 10e6 <= input_hz / (divr + 1) <= 133e6
            for divf in range(128) if 533e6 <= input_hz / (divr + 1) * (divf + 1) <= 1066e6
            for divq in range(1 + double, 7)
        ]
        return _nearest(options, output_hz)

    @property
    def output_hz(self) -> float:
        """The frequency made."""
        return self.input_hz * (self.divf + 1) / ((self.divr + 1) << self.divq)

    @property
    def filter_range(self) -> int:
        """Loop filter for the frequency that the phases are compared at."""
        return sum(self.input_hz / (self.divr + 1) >= limit for limit in (0, 17e6, 26e6, 44e6, 66e6, 101e6))

    def instance(self, *, reference, output: Signal, locked: Signal, double: Signal | None = None) -> Instance:
        """The primitive. `reference` is the pin itself if `pad`, else a signal; `output` and `double` are on global
        nets."""
        kind, outputs = "", {"o_PLLOUTGLOBAL": output}
        if self.double:
            # The oscillator's divider makes the faster one, and another the half of it.
            kind, outputs = "2F_", {"p_PLLOUT_SELECT_PORTA": "GENCLK", "o_PLLOUTGLOBALA": double,
                                    "p_PLLOUT_SELECT_PORTB": "GENCLK_HALF", "o_PLLOUTGLOBALB": output}
        return Instance(
            f"SB_PLL40_{kind}{'PAD' if self.pad else 'CORE'}",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(self.divr, 4),
            p_DIVF=Const(self.divf, 7),
            p_DIVQ=Const(self.divq - self.double, 3),
            p_FILTER_RANGE=Const(self.filter_range, 3),
            **{"i_PACKAGEPIN" if self.pad else "i_REFERENCECLK": reference},
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            **outputs,
            o_LOCK=locked,
        )


@dataclass(frozen=True, kw_only=True)
class Ecp5Pll:
    """EHXPLLL with feedback from its first output: `output_hz = input_hz · clkfb_div / clki_div`.

    Parameters
    ----------
    input_hz
        Reference.
    clki_div, clkfb_div, clkop_div
        Dividers of the reference, of the feedback, and of the oscillator.
    """

    input_hz: float
    clki_div: int
    clkfb_div: int
    clkop_div: int

    @classmethod
    def for_frequency(cls, input_hz: float, output_hz: float) -> "Ecp5Pll":
        """The dividers that come nearest, with the oscillator near 600 MHz.

        Raises
        ------
        ValueError
            None makes `output_hz` within a thousandth.
        """
        options = [
            cls(input_hz=input_hz, clki_div=clki_div, clkfb_div=clkfb_div,
                clkop_div=max(1, round(600e6 * clki_div / (input_hz * clkfb_div))))
            for clki_div in range(1, 129) if 3.125e6 <= input_hz / clki_div <= 400e6
            for clkfb_div in range(1, 81)
        ]
        return _nearest([pll for pll in options if 400e6 <= pll.output_hz * pll.clkop_div <= 800e6
                         and pll.clkop_div <= 128], output_hz)

    @property
    def output_hz(self) -> float:
        """The frequency made."""
        return self.input_hz * self.clkfb_div / self.clki_div

    def instance(self, *, reference, output: Signal, locked: Signal, double: Signal | None = None) -> Instance:
        """The primitive; there is no `double`."""
        return Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{self.input_hz / 1e6:g}",
            a_FREQUENCY_PIN_CLKOP=f"{self.output_hz / 1e6:g}",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_FEEDBK_PATH="CLKOP",
            p_CLKI_DIV=self.clki_div,
            p_CLKFB_DIV=self.clkfb_div,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=self.clkop_div,
            p_CLKOP_CPHASE=self.clkop_div // 2,
            p_CLKOP_FPHASE=0,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_CLKI=reference,
            i_CLKFB=output,
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1),
            i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            o_CLKOP=output,
            o_LOCK=locked,
        )


def _nearest(options: list, output_hz: float):
    if not options:
        raise ValueError("the reference is too slow or too fast for the PLL")
    best = min(options, key=lambda pll: abs(pll.output_hz - output_hz))
    if abs(best.output_hz / output_hz - 1) > TOLERANCE:
        raise ValueError(f"the PLL cannot make {output_hz / 1e6:g} MHz; the nearest is {best.output_hz / 1e6:g} MHz")
    return best
