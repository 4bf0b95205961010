"""The packets of the host link, version 1: one description for the gateware and the host.

Frame: `0x00`-terminated, Consistent Overhead Byte Stuffing around payload and CRC-16 (IBM-3740, big endian). The
host also sends a `0x00` before each frame, to end whatever noise came before.

    request   seq(1)  command(1)        arguments(5)  data(n)
    response  seq(1)  command|0x80 (1)  status(1)     data(n)

Numbers are little endian. Unused argument bytes are zero. All checks come before any effect: a request that is not
answered with `OK` has changed nothing, with one exception named under `TOO_MANY`.

| command       | arguments                                       | data                          | response data     |
| ------------- | ----------------------------------------------- | ----------------------------- | ----------------- |
| IDENTIFY      |                                                 |                               | `Capabilities`    |
| RESET         |                                                 |                               |                   |
| STATISTICS    |                                                 |                               | idle(1), counters |
| RUN           | count(1) learn(1) time(1)                       |                               | a byte a sample   |
| ROW_READ      | layer·2¹² + row (2), words·2¹² + first (3)      |                               | counters          |
| ROW_WRITE     | likewise                                        | counters                      |                   |
| PROGRAM_WRITE |                                                 | items: address(2) word(2)     |                   |
| SAMPLES       |                                                 | input words − 1 (2), input words (2 each), label (2), … | |

A counter takes `ArrayConfig.counter_bytes`, sign-extended. A response byte of RUN is the prediction, and whether
the sample triggered in bit 7. A statistics counter takes as many bytes as `statistic_width` needs. Samples may be
cut anywhere between two words into several packets.

**At most once.** The host sends the next request only after it has the answer to the last, or gave it up. If the
answer does not come or is damaged, it sends the same request again: a request with the seq and the command of the
last one that was answered is answered again from memory, and not executed. Seq 0 is never remembered; IDENTIFY is
answered with seq 0 and makes the link forget the last request, so a host begins with it.

**Damaged requests** are answered by seq 0, command 0x80 and one of `DAMAGE`, and never by anything else; the last
answer stays in memory.

**A break** (line low for at least 5 characters) resets link and core, whatever they wait for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar

from cobs import cobs
from crc import Calculator, Crc16

from ..config import ArrayConfig

__all__ = ["VERSION", "MAGIC", "ARGUMENT_BYTES", "Command", "Status", "DAMAGE", "Capabilities", "FrameError",
           "encode_frame", "decode_frame", "pack_request", "pack_response", "CRC_BYTES", "REQUEST_OVERHEAD",
           "RESPONSE_OVERHEAD"]

VERSION = 1
"""Of the protocol: anything that an older host would misunderstand raises it."""

MAGIC = b"bp"

ARGUMENT_BYTES = 5
CRC_BYTES = 2
REQUEST_OVERHEAD = 2 + ARGUMENT_BYTES + CRC_BYTES
"""Bytes of a decoded request beside its data."""
RESPONSE_OVERHEAD = 3 + CRC_BYTES
"""Bytes of a decoded response beside its data."""

RESPONSE = 0x80
"""Marks the command of a response."""


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

    LINE, TRUNCATED, OVERSIZED, CHECKSUM and BUSY are about a frame: a stop bit was missing; it ended within a block
    or is shorter than any request; it is longer than the buffer; its CRC is wrong; it came while another was being
    worked on.
    UNKNOWN, LENGTH and ARGUMENT are about a request: no such command; not the length that its command and arguments
    ask for; an argument out of range.
    COUNT: RUN for another number of samples than were loaded, or with the last one incomplete.
    TOO_MANY: SAMPLES beyond the largest batch. Those that fit are loaded, the rest is dropped; RESET discards them.
    """

    OK = 0
    LINE = 1
    TRUNCATED = 2
    OVERSIZED = 3
    CHECKSUM = 4
    BUSY = 5
    UNKNOWN = 6
    LENGTH = 7
    ARGUMENT = 8
    COUNT = 9
    TOO_MANY = 10


DAMAGE = (Status.LINE, Status.TRUNCATED, Status.OVERSIZED, Status.CHECKSUM, Status.BUSY)
"""Status codes of frames that were never looked into; sending again helps."""


class FrameError(ValueError):
    """Bytes that are no frame."""


_CRC = Calculator(Crc16.IBM_3740)


def encode_frame(payload: bytes) -> bytes:
    """Payload → CRC → byte stuffing → terminating zero."""
    return cobs.encode(payload + _CRC.checksum(payload).to_bytes(CRC_BYTES, "big")) + b"\0"


def decode_frame(frame: bytes) -> bytes:
    """The payload of a frame, its terminating zero already taken off. Raises FrameError."""
    try:
        content = cobs.decode(frame)
    except cobs.DecodeError as error:
        raise FrameError(f"byte stuffing: {error}") from error
    payload, checksum = content[:-CRC_BYTES], content[-CRC_BYTES:]
    if len(checksum) < CRC_BYTES or _CRC.checksum(payload) != int.from_bytes(checksum, "big"):
        raise FrameError(f"wrong checksum on {len(content)} bytes")
    return payload


def pack_request(seq: int, command: int, arguments: bytes = b"", data: bytes = b"") -> bytes:
    """The payload of a request; `arguments` are padded with zeros."""
    return bytes([seq, command]) + arguments.ljust(ARGUMENT_BYTES, b"\0") + data


def pack_response(seq: int, command: int, status: int, data: bytes = b"") -> bytes:
    """The payload of a response."""
    return bytes([seq, command | RESPONSE, status]) + data


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
            raise FrameError(f"the core speaks version {data[2:3].hex()} of the protocol, this host {VERSION}")
        if len(data) != cls.SIZE:
            raise FrameError(f"capabilities must be {cls.SIZE} bytes, not {len(data)}")
        _, version, *array, clock_hz, request_bytes, response_bytes = cls._FORMAT.unpack(data)
        array = {field.name: _value(field.name, number)
                 for field, number in zip(fields(ArrayConfig), array, strict=True)}
        return cls(version=version, array=ArrayConfig(**array), clock_hz=clock_hz, request_bytes=request_bytes,
                   response_bytes=response_bytes)


_CHOICES = {"counter_memory": ("block", "spram"), "pipelined": (False, True)}
"""Fields of ArrayConfig that are not numbers."""


def _number(name: str, value) -> int:
    return 1 + _CHOICES[name].index(value) if name in _CHOICES else value & 0xFFFF


def _value(name: str, number: int):
    return _CHOICES[name][number - 1] if name in _CHOICES else number or 1 << 16
