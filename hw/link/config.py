"""The size and speed of the host link."""

from dataclasses import dataclass

from ..config import ArrayConfig
from .protocol import (
    DAMAGE,
    REQUEST_OVERHEAD,
    RESPONSE_OVERHEAD,
    VERSION,
    Capabilities,
    Command,
    Status,
    encode_frame,
    pack_response,
)

__all__ = ["DAMAGE_SLOT", "LinkConfig"]

DAMAGE_SLOT = 8
"""Bytes that the constant answer to a damaged frame takes."""


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
        Half of the packet memory, a power of two from 256: requests go to one half; answers, and the constant
        frames, to the other. 256 fills one block RAM of an iCE40.

    Raises
    ------
    ValueError
        A field is out of range.
    """

    clock_hz: int
    baud: int = 1_000_000
    buffer_bytes: int = 256

    def __post_init__(self):
        if not (isinstance(self.buffer_bytes, int) and 256 <= self.buffer_bytes <= 4096
                and self.buffer_bytes & (self.buffer_bytes - 1) == 0):
            raise ValueError(f"buffer_bytes must be a power of two from 256 to 4096, not {self.buffer_bytes!r}")
        if self.baud < 1 or self.divisor < 4:
            raise ValueError(f"baud must be at most a quarter of clock_hz ({self.clock_hz}), not {self.baud!r}")
        error = abs(self.clock_hz / self.divisor / self.baud - 1)
        if error > 0.02:
            raise ValueError(f"baud {self.baud} is {error:.1%} off when {self.clock_hz} Hz are divided by "
                             f"{self.divisor}; it must be within 2%")

    @property
    def divisor(self) -> int:
        """Clock cycles a bit."""
        return round(self.clock_hz / self.baud)

    @property
    def request_address(self) -> int:
        """Where a request's seq is written: so far below 0 that the write address behind the request is the number
        of its data bytes.
        """
        return 2 * self.buffer_bytes - REQUEST_OVERHEAD

    @property
    def request_bytes(self) -> int:
        """Most data bytes in a request."""
        return self.buffer_bytes - 1

    @property
    def response_address(self) -> int:
        """Where the encoded answer begins."""
        return self.buffer_bytes

    @property
    def response_bytes(self) -> int:
        """Most data bytes in a response: what the constant frames and the framing leave."""
        space = self.identify_address - self.response_address
        stuffing = 1 + -(-space // 254)  # the terminating zero, and a code every 254 bytes
        return space - stuffing - RESPONSE_OVERHEAD

    @property
    def identify_address(self) -> int:
        """Where the constant answer to IDENTIFY begins; it ends where the first answer to damage begins."""
        return self.damage_address + DAMAGE_SLOT - (Capabilities.SIZE + RESPONSE_OVERHEAD + 2)

    @property
    def damage_address(self) -> int:
        """The constant answer to damage e is at this plus e times `DAMAGE_SLOT`."""
        return 2 * self.buffer_bytes - 8 * DAMAGE_SLOT

    def memory_image(self, array: ArrayConfig) -> list[int]:
        """What the packet memory holds at first: the constant answers."""
        image = bytearray(2 * self.buffer_bytes)
        frames = {self.identify_address: pack_response(
            0, Command.IDENTIFY, Status.OK, self.capabilities(array).pack())}
        for status in DAMAGE:
            frames[self.damage_address + status * DAMAGE_SLOT] = pack_response(0, 0, status)
        for address, payload in frames.items():
            frame = encode_frame(payload)
            image[address:address + len(frame)] = frame
        return list(image)

    def capabilities(self, array: ArrayConfig) -> Capabilities:
        """What IDENTIFY answers for the core `array`."""
        return Capabilities(version=VERSION, array=array, clock_hz=self.clock_hz,
                            request_bytes=self.request_bytes, response_bytes=self.response_bytes)
