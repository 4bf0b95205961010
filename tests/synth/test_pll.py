"""Dividers against the vendors' equations, and what cannot be made."""

import pytest
from amaranth.hdl import Signal
from bitprop.synth.boards import BOARDS
from bitprop.synth.pll import Ecp5Pll, Ice40Pll


@pytest.mark.parametrize("megahertz, dividers, filter_range", [
    (36, (0, 47, 4), 1),
    (48, (0, 63, 4), 1),
    (90, (0, 59, 3), 1),
])
def test_ice40_dividers(megahertz, dividers, filter_range):
    pll = Ice40Pll.for_frequency(12e6, megahertz * 1e6, pad=True)
    assert (pll.divr, pll.divf, pll.divq) == dividers
    assert pll.filter_range == filter_range
    assert pll.output_hz == megahertz * 1e6


@pytest.mark.parametrize("megahertz, dividers", [(100, (1, 4, 6)), (125, (1, 5, 5)), (140, (5, 28, 4))])
def test_ecp5_dividers(megahertz, dividers):
    pll = Ecp5Pll.for_frequency(25e6, megahertz * 1e6)
    assert (pll.clki_div, pll.clkfb_div, pll.clkop_div) == dividers
    assert pll.output_hz == megahertz * 1e6


def test_frequencies_that_cannot_be_made():
    with pytest.raises(ValueError, match=r"cannot make 0.1 MHz; the nearest is"):
        Ice40Pll.for_frequency(12e6, 0.1e6, pad=True)
    with pytest.raises(ValueError, match=r"cannot make 900 MHz"):
        Ecp5Pll.for_frequency(25e6, 900e6)
    with pytest.raises(ValueError, match="too slow"):
        Ice40Pll.for_frequency(1e6, 36e6, pad=True)


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_has_its_clock(name):
    board = BOARDS[name]
    assert board.pll.output_hz == pytest.approx(board.clock_hz, rel=1e-3)
    assert abs(board.clock_hz / board.link.divisor / board.baud - 1) <= 0.02


def test_double_rate_comes_of_the_same_oscillator():
    single, double = (Ice40Pll.for_frequency(12e6, 36e6, pad=True, double=rate) for rate in (False, True))
    assert (double.divr, double.divf, double.divq, double.output_hz) == (
        single.divr, single.divf, single.divq, single.output_hz)
    instance = double.instance(reference=Signal(), output=Signal(), locked=Signal(), double=Signal())
    assert instance.type == "SB_PLL40_2F_PAD"
    # The divider's output is the faster clock, the half of that the other.
    assert instance.parameters["DIVQ"].value == single.divq - 1
    assert (instance.parameters["PLLOUT_SELECT_PORTA"], instance.parameters["PLLOUT_SELECT_PORTB"]) == (
        "GENCLK", "GENCLK_HALF")
