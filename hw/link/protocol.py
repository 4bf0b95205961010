"""The packets of the host link: one description for the gateware and the host.

A frame is Consistent Overhead Byte Stuffing around payload and CRC-16 (X.25), ended by `0x00`. The host also sends
a `0x00` before each frame, which ends whatever noise came before. The CRC is one that is inverted at the end: others
do not notice a zero behind them, and a damaged end of frame is just that to the byte stuffing.

    request   seq(1)  command(1)        arguments(4)  data(n)
    response  seq(1)  command|0x80 (1)  status(1)     data(n)

Numbers are little endian. Unused argument bytes are zero.

| command       | arguments            | data of the request                          | of the response   |
| ------------- | -------------------- | -------------------------------------------- | ----------------- |
| IDENTIFY      |                      |                                              | `Capabilities`    |
| RESET         |                      |                                              |                   |
| STATISTICS    |                      |                                              | idle(1), counters |
| RUN           | count, learn, time   |                                              | a byte a sample   |
| ROW_READ      | layer and row (2),   |                                              | counters          |
| ROW_WRITE     | words and first (2)  | counters                                     |                   |
| PROGRAM_WRITE |                      | repeated: address(2), word(2)                |                   |
| SAMPLES       |                      | repeated: m(2), m - 1 input words, label (2) |                   |

Layer and words are the upper four bits of their arguments, and 16 words go as 0. A counter takes
`ArrayConfig.counter_bytes`, sign-extended; a statistics counter the bytes that `statistic_width` needs. A response
byte of RUN is the prediction, and in bit 7 whether the sample triggered.

**Checks come before effects.** A request that is not answered with OK has changed nothing. The one exception is
SAMPLES: whole samples are loaded until one is too many or cut short; then the answer is COUNT, and only RESET
takes the loaded samples back.

**At most once.** The host sends a request after it has the answer to the one before, or gave that up; what comes
while a request is being executed or answered is lost. If an answer does not come or is damaged, the host sends the
same request again. A request with the seq and the command of the last one is answered with the stored answer, and
not executed. Seq 0 is never remembered. IDENTIFY is answered with seq 0, and makes the device forget the last
request: a session begins with it.

**Damaged requests** are answered with seq 0, command 0x80 and one of `DAMAGE`, and leave the stored answer alone.

**A break** (line low for 5 characters or more) resets link and core, whatever they wait for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar

from cobs import cobs
from crc import Calculator, Crc16

from ..config import ArrayConfig

__all__ = ["VERSION", "MAGIC", "ARGUMENT_BYTES", "CRC_BYTES", "REQUEST_HEADER", "RESPONSE_HEADER", "RESPONSE",
           "FRAME_BYTES", "ROW_WORDS", "Command", "Status", "DAMAGE", "Capabilities", "FrameError", "encode_frame",
           "decode_frame", "pack_request", "pack_response", "pack_row"]

VERSION = 2
"""Of the protocol: anything that an older host would misunderstand raises it."""

MAGIC = b"bp"

ARGUMENT_BYTES = 4
CRC_BYTES = 2
REQUEST_HEADER = 2 + ARGUMENT_BYTES
"""Bytes before a request's data."""
RESPONSE_HEADER = 3
"""Bytes before a response's data."""

RESPONSE = 0x80
"""Marks the command of a response."""

FRAME_BYTES = 254
"""Most bytes within a frame that never needs a block without a zero behind it."""

ROW_WORDS = 16
"""Most counter words in one row transfer."""


class Command(IntEnum):
    """What a request asks for."""

    IDENTIFY = 0
    RESET = 1
    STATISTICS = 2
    RUN = 3
    ROW_READ = 4
    ROW_WRITE = 5
    PROGRAM_WRITE = 6
    SAMPLES = 7


class Status(IntEnum):
    """How it went.

    LINE, TRUNCATED, OVERSIZED and CHECKSUM are about a frame: a stop bit was missing; it ended within a block, or
    before a request could; it was too long; its CRC is wrong.
    UNKNOWN: no such command. The response has the command's lower three bits.
    LENGTH: not the length that command and arguments ask for, or an answer that would be too long.
    COUNT: RUN for another number of samples than were loaded; SAMPLES with one too many, or one cut short.
    """

    OK = 0
    LINE = 1
    TRUNCATED = 2
    OVERSIZED = 3
    CHECKSUM = 4
    UNKNOWN = 5
    LENGTH = 6
    COUNT = 7


DAMAGE = (Status.LINE, Status.TRUNCATED, Status.OVERSIZED, Status.CHECKSUM)
"""Status codes of frames that were never looked into; sending again helps."""


class FrameError(ValueError):
    """Bytes that are no frame, or not one that this host understands."""


_CRC = Calculator(Crc16.X25)


def encode_frame(payload: bytes) -> bytes:
    """Payload, CRC, byte stuffing, terminating zero."""
    return cobs.encode(payload + _CRC.checksum(payload).to_bytes(CRC_BYTES, "little")) + b"\0"


def decode_frame(frame: bytes) -> bytes:
    """The payload of a frame, its terminating zero already taken off. Raises FrameError."""
    try:
        content = cobs.decode(frame)
    except cobs.DecodeError as error:
        raise FrameError(f"byte stuffing: {error}") from error
    payload, checksum = content[:-CRC_BYTES], content[-CRC_BYTES:]
    if len(checksum) < CRC_BYTES or _CRC.checksum(payload) != int.from_bytes(checksum, "little"):
        raise FrameError(f"wrong checksum on {len(content)} bytes")
    return payload


def pack_request(seq: int, command: int, arguments: bytes = b"", data: bytes = b"") -> bytes:
    """The payload of a request; `arguments` are padded with zeros."""
    return bytes([seq, command]) + arguments.ljust(ARGUMENT_BYTES, b"\0") + data


def pack_response(seq: int, command: int, status: int, data: bytes = b"") -> bytes:
    """The payload of a response."""
    return bytes([seq, command | RESPONSE, status]) + data


def pack_row(layer: int, row: int, first: int, words: int) -> bytes:
    """The arguments of ROW_READ and ROW_WRITE. Raises ValueError for numbers that they have no room for."""
    limits = {"layer": (layer, 0, 15), "row": (row, 0, 4095), "first": (first, 0, 4095),
              "words": (words, 1, ROW_WORDS)}
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be from {low} to {high}, not {value}")
    return struct.pack("<HH", layer << 12 | row, words % ROW_WORDS << 12 | first)


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What IDENTIFY says.

    version
        Of the protocol.
    array
        The bitstream's `ArrayConfig`.
    clock_hz
        Frequency of the core's clock.
    request_bytes
        Most data bytes in a request.
    response_bytes
        Most data bytes in a response.
    """

    version: int
    array: ArrayConfig
    clock_hz: int
    request_bytes: int
    response_bytes: int

    # 16 bits a field of ArrayConfig, in its order; none is 0, so that 0 can stand for 2^16.
    _FORMAT: ClassVar = struct.Struct(f"<2sB{len(fields(ArrayConfig))}HIHH")
    SIZE: ClassVar = _FORMAT.size
    """Bytes of `pack`."""

    def pack(self) -> bytes:
        """Response data of IDENTIFY."""
        array = [_number(field.name, getattr(self.array, field.name)) for field in fields(ArrayConfig)]
        return self._FORMAT.pack(MAGIC, self.version, *array, self.clock_hz, self.request_bytes,
                                 self.response_bytes)

    @classmethod
    def unpack(cls, data: bytes) -> Capabilities:
        """The inverse of `pack`. Raises FrameError when it is not ours or of another version."""
        if data[:2] != MAGIC:
            raise FrameError(f"not a bitprop core: the answer begins with {data[:2].hex() or 'nothing'}")
        if data[2:3] != bytes([VERSION]):
            raise FrameError(f"the core speaks version {data[2:3].hex()} of the protocol, the host {VERSION}")
        if len(data) != cls.SIZE:
            raise FrameError(f"capabilities must be {cls.SIZE} bytes, not {len(data)}")
        _, version, *array, clock_hz, request_bytes, response_bytes = cls._FORMAT.unpack(data)
        array = {field.name: _value(field.name, number)
                 for field, number in zip(fields(ArrayConfig), array, strict=True)}
        return cls(version=version, array=ArrayConfig(**array), clock_hz=clock_hz,
                   request_bytes=request_bytes, response_bytes=response_bytes)


_CHOICES = {"weight_memory": ("multiplexed", "copied", "double_rate"),
            "counter_memory": ("block", "spram", "spram_with_inputs"), "pipelined": (False, True)}
"""Fields of ArrayConfig that are not numbers."""


def _number(name: str, value) -> int:
    return 1 + _CHOICES[name].index(value) if name in _CHOICES else value & 0xFFFF


def _value(name: str, number: int):
    return _CHOICES[name][number - 1] if name in _CHOICES else number or 1 << 16
