"""The size and speed of the host link."""

from dataclasses import dataclass

from ..config import TILE, ArrayConfig
from .protocol import (
    CRC_BYTES,
    DAMAGE,
    FRAME_BYTES,
    REQUEST_HEADER,
    RESPONSE_HEADER,
    ROW_WORDS,
    VERSION,
    Capabilities,
    Command,
    Status,
    encode_frame,
    pack_response,
)

__all__ = ["BAUD", "DAMAGE_SLOT", "LinkConfig"]

DAMAGE_SLOT = 8
"""Bytes that the constant answer to a damaged frame takes."""

BAUD = 3_000_000
"""Bits per second: the most that the USB adapters of all boards take."""

_SHORT_BUFFER = 256
"""With a buffer up to this, no request has a block of more than `FRAME_BYTES`."""


@dataclass(frozen=True, kw_only=True)
class LinkConfig:
    """Speed of the UART and size of the packet memory.

    Parameters
    ----------
    clock_hz
        Frequency of the clock that the link and the core run on.
    baud
        Bits per second on the line, 8N1. The divided clock must meet it within 2 %.
    buffer_bytes
        Half of the packet memory, a power of two from 256: one half for a request; the other for the answer, which
        is never longer than 254 bytes, and the constant answers. 256 fills one block RAM of an iCE40.

    Raises
    ------
    ValueError
        A field is out of range.
    """

    clock_hz: int
    baud: int = BAUD
    buffer_bytes: int = 256

    def __post_init__(self):
        size = self.buffer_bytes
        if not (isinstance(size, int) and 256 <= size <= 4096 and size & (size - 1) == 0):
            raise ValueError(f"buffer_bytes must be a power of two from 256 to 4096, not {size!r}")
        if self.baud < 1 or self.divisor < 4:
            raise ValueError(f"baud must be from 1 to a quarter of clock_hz {self.clock_hz}, not {self.baud!r}")
        error = abs(self.clock_hz / self.divisor / self.baud - 1)
        if error > 0.02:
            raise ValueError(f"baud {self.baud} is {error:.1%} off when {self.clock_hz} Hz are divided by "
                             f"{self.divisor}; it must be within 2 %")

    @property
    def divisor(self) -> int:
        """Clock cycles a bit."""
        return round(self.clock_hz / self.baud)

    @property
    def long_blocks(self) -> bool:
        """Whether requests can be so long that byte stuffing needs blocks without a zero behind them."""
        return self.buffer_bytes > _SHORT_BUFFER

    @property
    def request_bytes(self) -> int:
        """Most data bytes in a request."""
        longest = self.response_address if self.long_blocks else FRAME_BYTES - REQUEST_HEADER
        return longest - CRC_BYTES

    @property
    def request_address(self) -> int:
        """Where a request begins: such that its data are from address 0."""
        return 2 * self.buffer_bytes - REQUEST_HEADER

    @property
    def response_address(self) -> int:
        """Where the encoded answer begins: such that its data, behind code and header, are from `buffer_bytes`."""
        return self.buffer_bytes - RESPONSE_HEADER - 1

    @property
    def response_bytes(self) -> int:
        """Most data bytes in a response."""
        space = self.identify_address - self.buffer_bytes - CRC_BYTES - 1
        return min(space, FRAME_BYTES - RESPONSE_HEADER - CRC_BYTES)

    @property
    def identify_address(self) -> int:
        """Where the constant answer to IDENTIFY begins; it ends where the first answer to damage begins."""
        size = 1 + RESPONSE_HEADER + Capabilities.SIZE + CRC_BYTES + 1
        return self.damage_address + DAMAGE_SLOT - size

    @property
    def damage_address(self) -> int:
        """The constant answer to damage e is at this plus e times `DAMAGE_SLOT`."""
        return 2 * self.buffer_bytes - 8 * DAMAGE_SLOT

    def memory_image(self, array: ArrayConfig) -> list[int]:
        """What the packet memory holds at first: the constant answers."""
        image = bytearray(2 * self.buffer_bytes)
        payloads = {self.identify_address: pack_response(
            0, Command.IDENTIFY, Status.OK, self.capabilities(array).pack())}
        for status in DAMAGE:
            payloads[self.damage_address + status * DAMAGE_SLOT] = pack_response(0, 0, status)
        for address, payload in payloads.items():
            frame = encode_frame(payload)
            image[address:address + len(frame)] = frame
        return list(image)

    def capabilities(self, array: ArrayConfig) -> Capabilities:
        """What IDENTIFY answers for the core `array`."""
        return Capabilities(version=VERSION, array=array, clock_hz=self.clock_hz,
                            request_bytes=self.request_bytes, response_bytes=self.response_bytes)

    def row_words(self, array: ArrayConfig) -> int:
        """Most counter words in an answer."""
        return min(ROW_WORDS, self.response_bytes // (array.update_lanes * array.counter_bytes))

    def check(self, array: ArrayConfig) -> None:
        """Raise ValueError unless the packets have room for this core's counter words and samples."""
        word = array.update_lanes * array.counter_bytes
        if word > min(self.request_bytes, self.response_bytes):
            raise ValueError(f"update_lanes must be smaller than {array.update_lanes}: a counter word has {word} "
                             f"bytes, a packet {min(self.request_bytes, self.response_bytes)}")
        words = -(-array.fan_in // (TILE * array.load_words)) * array.load_words + 1
        if words > 255 or 2 * words + 2 > self.request_bytes:
            raise ValueError(f"fan_in must be smaller than {array.fan_in}: a sample has {words} words, a packet "
                             f"{self.request_bytes} bytes, buffer_bytes is {self.buffer_bytes}")
