"""The boards, and what is built for each."""

from collections.abc import Callable
from dataclasses import dataclass, field

from amaranth.build import Platform
from amaranth_boards.ice40_hx8k_b_evn import ICE40HX8KBEVNPlatform
from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.ulx3s import ULX3S_25F_Platform, ULX3S_85F_Platform

from ..hw.config import ArrayConfig
from ..hw.link.config import BAUD, LinkConfig
from .pll import Ecp5Pll, Ice40Pll

__all__ = ["BOARDS", "ECP5_25F", "ECP5_85F", "HX8K", "UP5K", "Board", "Device", "find_board"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a chip has.

    Parameters
    ----------
    name
        What people call it.
    family
        "ice40" or "ecp5".
    lut4
        Four-input look-up tables; on iCE40 a logic cell has one, with its flip-flop and carry.
    block_ram
        Blocks: 4 kbit on iCE40, 18 kbit on ECP5.
    synthesis
        Options of Yosys.
    mapping
        Commands of ABC for the LUTs, instead of Yosys' own; "" for these.
    nextpnr
        Options that choose it, with its package and speed grade.
    routers
        More options, that are tried in turn where a router comes to no end.
    spram
        Single-ported blocks of 256 kbit.
    """

    name: str
    family: str
    synthesis: str
    nextpnr: tuple[str, ...]
    lut4: int
    block_ram: int
    routers: tuple[tuple[str, ...], ...] = ((), ("--router", "router2"))
    spram: int = 0
    mapping: str = ""


# More restructuring than in Yosys' own script, and time for a fifth more levels of LUTs, which a full UP5K is faster
# with: its wires are shorter.
SMALL = "&scorr; &sweep; &dc2; &dc2; &syn3; &synch2 -r; &if {W} {D} -R 20 -v; &mfs -e -W 20 -L 20"

# Yosys' `-dff` takes twenty times as long on iCE40, for nothing. On ECP5, wide multiplexers (left to itself, Yosys
# uses them) cost adders of single bits twice the LUTs; there are no multipliers to be inferred, and none may be.
UP5K = Device(name="iCE40 UP5K", family="ice40", synthesis="-device u",
              nextpnr=("--up5k", "--package", "sg48"), lut4=5280, block_ram=30, spram=4, mapping=SMALL)
# Timing weighs more than usual in the placement of two devices: else some seeds of the HX8K miss the clock, and the
# wide array on the 85F is spread over the chip.
HX8K = Device(name="iCE40 HX8K", family="ice40", synthesis="-device hx",
              nextpnr=("--hx8k", "--package", "ct256", "--placer-heap-timingweight", "20"), lut4=7680, block_ram=32)
ECP5_25F = Device(name="ECP5-25F", family="ecp5", synthesis="-nowidelut -nodsp",
                  nextpnr=("--25k", "--package", "CABGA381", "--speed", "6"), lut4=24288, block_ram=56)
ECP5_85F = Device(name="ECP5-85F", family="ecp5", synthesis="-nowidelut -nodsp",
                  nextpnr=("--85k", "--package", "CABGA381", "--speed", "6", "--placer-heap-timingweight", "60"),
                  lut4=83640, block_ram=208)


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board and the design for it.

    Parameters
    ----------
    name
        For the command line.
    title
        For people.
    device
        The chip.
    platform
        Makes the board's Amaranth platform.
    config
        The array that is built.
    clock_hz
        Frequency of the design: the target for place and route.
    baud
        Of the UART.
    buffer_bytes
        Of the host link: the more, the more samples come with one request, and these wait for one another's answers.
    loader_board
        The board's name in openFPGALoader.
    pll_pad
        Whether the clock comes in at the PLL's own pin.
    """

    name: str
    title: str
    device: Device
    platform: Callable[[], Platform]
    config: ArrayConfig = field(default_factory=ArrayConfig)
    clock_hz: int
    baud: int = BAUD
    buffer_bytes: int = 256
    loader_board: str
    pll_pad: bool = False

    @property
    def link(self) -> LinkConfig:
        """The host link."""
        return LinkConfig(clock_hz=self.clock_hz, baud=self.baud, buffer_bytes=self.buffer_bytes)

    @property
    def pll(self) -> Ice40Pll | Ecp5Pll:
        """Makes `clock_hz` from the board's clock.

        Raises
        ------
        ValueError
            That cannot be.
        """
        platform = self.platform()
        input_hz = float(platform.default_clk_frequency)
        if self.device.family == "ice40":
            return Ice40Pll.for_frequency(
                input_hz, self.clock_hz, pad=self.pll_pad, double=self.config.double_rate)
        return Ecp5Pll.for_frequency(input_hz, self.clock_hz)


BOARDS = {board.name: board for board in (
    Board(
        name="icebreaker",
        title="iCEBreaker",
        device=UP5K,
        platform=ICEBreakerPlatform,
        config=ArrayConfig(columns=1, lanes=1, rows=8, update_lanes=8, counter_memory="spram", operand_words=1024,
                           rank_words=2048, winner_words=512, counter_words=8192, fan_in=511, statistic_width=16,
                           tiles=128, weight_memory="double_rate"),
        clock_hz=36_000_000,
        buffer_bytes=512,
        loader_board="ice40_generic",
        pll_pad=True,
    ),
    Board(
        name="icebreaker-wide",
        title="iCEBreaker, for up to 1,000 inputs",
        device=UP5K,
        platform=ICEBreakerPlatform,
        # Block RAM is for the weights; counters of 6 bits leave a single-ported RAM for the inputs.
        config=ArrayConfig(columns=1, lanes=1, rows=8, update_lanes=8, counter_bits=6,
                           counter_memory="spram_with_inputs", operand_words=512, replay_words=256, rank_words=2048,
                           winner_words=256, counter_words=8192, fan_in=1023, statistic_width=16, tiles=256,
                           weight_memory="double_rate"),
        clock_hz=36_000_000,
        buffer_bytes=512,
        loader_board="ice40_generic",
        pll_pad=True,
    ),
    Board(
        name="hx8k",
        title="iCE40-HX8K-B-EVN",
        device=HX8K,
        platform=ICE40HX8KBEVNPlatform,
        # With 16 rows the weights would take 16 block RAMs of 32, and leave no room for samples of 64 inputs.
        config=ArrayConfig(columns=1, lanes=1, rows=8, update_lanes=8, weight_memory="copied", tiles=128,
                           operand_words=512, replay_words=1024, rank_words=1024, winner_words=256, counter_words=512,
                           fan_in=255, statistic_width=24),
        clock_hz=90_000_000,
        buffer_bytes=512,
        loader_board="ice40_generic",
    ),
    Board(
        name="ulx3s-25f",
        title="ULX3S with LFE5U-25F",
        device=ECP5_25F,
        platform=ULX3S_25F_Platform,
        config=ArrayConfig(columns=4, lanes=2, update_lanes=64, load_words=2, operand_words=512, replay_words=1088,
                           rank_words=256, winner_words=64, counter_words=1024, scan_ahead=4, pipelined=True,
                           statistic_width=24),
        clock_hz=100_000_000,
        buffer_bytes=1024,
        loader_board="ulx3s",
    ),
    Board(
        name="ulx3s-85f",
        title="ULX3S with LFE5U-85F",
        device=ECP5_85F,
        platform=ULX3S_85F_Platform,
        config=ArrayConfig(columns=8, lanes=2, update_lanes=128, load_words=2, tiles=1168, operand_words=512,
                           replay_words=1024, rank_words=512, winner_words=64, counter_words=2336, program_words=512,
                           scan_ahead=8, pipelined=True),
        clock_hz=100_000_000,
        buffer_bytes=1024,
        loader_board="ulx3s",
    ),
    Board(
        name="ulx3s-85f-small",
        title="ULX3S with LFE5U-85F, half the array",
        device=ECP5_85F,
        platform=ULX3S_85F_Platform,
        config=ArrayConfig(columns=4, lanes=2, update_lanes=128, load_words=2, tiles=512, operand_words=512,
                           replay_words=1024, rank_words=512, winner_words=64, counter_words=512, scan_ahead=8,
                           pipelined=True),
        clock_hz=100_000_000,
        buffer_bytes=1024,
        loader_board="ulx3s",
    ),
)}


def find_board(name: str) -> Board:
    """The board of that name.

    Raises
    ------
    ValueError
        There is none.
    """
    if name not in BOARDS:
        raise ValueError(f"board must be one of {', '.join(BOARDS)}, not {name!r}")
    return BOARDS[name]
