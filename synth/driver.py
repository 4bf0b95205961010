"""Drives an accelerator over the host link: the same code for a board and for the simulation.

    with SerialTransport("/dev/ttyUSB1") as line:
        device = Device(line)
        device.write_program(words)
        device.write_rows(0, counters)
        device.load_samples(packed)
        predictions, triggered = device.run(count=32, learn=True, time=0)

The packets are described in `bitprop.hw.link.protocol`.
"""

from __future__ import annotations

import errno
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Protocol

import numpy as np
import serial
from serial.tools import list_ports

from ..hw.config import ArrayConfig
from ..hw.link.config import BAUD
from ..hw.link.protocol import (
    DAMAGE,
    RESPONSE,
    ROW_WORDS,
    Capabilities,
    Command,
    FrameError,
    Status,
    decode_frame,
    encode_frame,
    pack_request,
    pack_row,
)
from ..hw.ports import STATISTICS

__all__ = ["LinkError", "DeviceError", "Transport", "SerialTransport", "Device"]


class LinkError(ConnectionError):
    """The device does not answer, or not in a way that this host understands."""


class DeviceError(RuntimeError):
    """The device refused a request, and changed nothing (but see `protocol` about SAMPLES).

    Members
    -------
    command : Command
    status : Status
    """

    def __init__(self, command: Command, status: int):
        self.command = command
        self.status = Status(status) if status in Status.__members__.values() else status
        super().__init__(f"{command.name} was refused: {getattr(self.status, 'name', status)}")


class Transport(Protocol):
    """A line to a device.

    Members
    -------
    timeout : float
        Seconds, on the device's own clock, that an answer may take.
    """

    timeout: float

    def send(self, frame: bytes) -> None:
        """Send bytes."""

    def receive(self) -> bytes | None:
        """The next frame without its terminating zero, or None when none came within `timeout`."""

    def send_break(self) -> None:
        """Hold the line low for much longer than a character."""


class SerialTransport:
    """A serial port, 8N1.

    Parameters
    ----------
    port
        Name of the device, or a URL as pyserial knows them.
    baud
        As the bitstream was built for.
    timeout
        Seconds that an answer may take: the longest batch, and the time to transfer the answer.

    Raises LinkError when the port cannot be opened, and later when it is gone.
    """

    def __init__(self, port: str, baud: int = BAUD, timeout: float = 1.0):
        self.port, self.timeout = port, timeout
        try:
            self._serial = serial.serial_for_url(port, baudrate=baud, timeout=timeout)
        except (OSError, ValueError) as error:
            raise LinkError(f"cannot open {port}: {_explain(error)}") from error
        # Adapters hold short answers back, FTDI's for 16 ms, unless asked not to. Not every port can be asked.
        with suppress(AttributeError, NotImplementedError, OSError, ValueError):
            self._serial.set_low_latency_mode(True)

    def send(self, frame: bytes) -> None:
        with self._at_work():
            self._serial.write(frame)
            self._serial.flush()

    def receive(self) -> bytes | None:
        with self._at_work():
            frame = self._serial.read_until(b"\0")
        return frame[:-1] if frame.endswith(b"\0") else None

    def send_break(self) -> None:
        with self._at_work():
            self._serial.send_break(duration=0.01)
            time.sleep(0.01)
            self._serial.reset_input_buffer()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        try:
            yield
        except (OSError, termios.error) as error:
            raise LinkError(f"{self.port} is gone ({error}): is the board still plugged in?") from error

    def close(self) -> None:
        """Give the port back."""
        self._serial.close()

    def __enter__(self) -> SerialTransport:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _explain(error: Exception) -> str:
    """Why a port cannot be opened, in fewer words than pyserial's, and what could be."""
    match getattr(error, "errno", None):
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            reason = "there is no such port"
        case errno.EACCES | errno.EPERM:
            reason = "you may not use it (on many systems, users in the group dialout may)"
        case errno.EBUSY:
            reason = "another program uses it"
        case errno.ENOTTY:
            reason = "it is not a serial port"
        case _:
            reason = "it is not a serial port" if "Inappropriate ioctl" in str(error) else str(error)
    ports = [found.device for found in list_ports.comports()]
    return f"{reason}; serial ports here: {', '.join(ports) or 'none'}"


class Device:
    """The commands of the link, with a request repeated until it is answered, and executed once.

    Parameters
    ----------
    transport
        The line. Nobody else may use it meanwhile.
    attempts
        How often a request is sent before LinkError.

    Members
    -------
    capabilities : Capabilities
        What the device is.
    config : ArrayConfig
        Its shape, out of the capabilities.
    repeats : int
        Requests sent again so far, because no good answer came.

    All methods raise LinkError when no good answer comes, and DeviceError when the device refuses.
    """

    capabilities: Capabilities
    config: ArrayConfig

    def __init__(self, transport: Transport, attempts: int = 4):
        if attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {attempts}")
        self.transport, self.attempts, self.repeats = transport, attempts, 0
        self._sequence = 0
        self._raw_statistics = self._statistics = (0,) * len(STATISTICS)
        self.identify()
        self._raw_statistics = self._read_statistics()

    def identify(self) -> Capabilities:
        """Begin a session: ask what the device is, and make it forget the last request of an earlier session."""
        self._sequence = 0
        try:
            self.capabilities = Capabilities.unpack(self._request(Command.IDENTIFY))
        except FrameError as error:
            raise LinkError(str(error)) from error
        except LinkError as error:
            raise LinkError(f"no accelerator answers ({error}): is its bitstream loaded (bitprop program), and are "
                            "port and baud rate right?") from error
        self.config = self.capabilities.array
        return self.capabilities

    def reset(self) -> None:
        """Reset the core: whatever it does ends, loaded samples and statistics are gone.

        What its memories hold must be loaded again.
        """
        self._request(Command.RESET)
        self._raw_statistics = self._statistics = (0,) * len(STATISTICS)

    def recover(self) -> None:
        """Reset a device that does not answer any more, by a break on the line, and begin a new session."""
        self.transport.send_break()
        self.identify()
        self.reset()

    def write_program(self, words, address: int = 0) -> None:
        """Write 16-bit `words` to program memory from `address` on."""
        words = np.asarray(words)
        items = np.stack([np.arange(address, address + len(words)), words], axis=1).astype("<u2")
        step = self.capabilities.request_bytes // 4
        for start in range(0, len(items), step):
            self._request(Command.PROGRAM_WRITE, data=items[start:start + step].tobytes())

    def write_rows(self, layer: int, rows, first_row: int = 0) -> None:
        """Write integer `rows` (n, width) of counters to layer slot `layer`, from row `first_row` on.

        A row is filled up with zeros to whole counter words. Raises ValueError for counters that do not fit.
        """
        config, rows = self.config, np.asarray(rows)
        limit = 1 << (config.counter_bits - 1)
        if rows.ndim != 2 or (rows.size and (rows.min() < -limit or rows.max() >= limit)):
            raise ValueError(f"rows must be (n, width), each from {-limit} to {limit - 1}")
        words = -(-rows.shape[1] // config.update_lanes)
        padded = np.zeros((len(rows), words * config.update_lanes), self._counter_type)
        padded[:, :rows.shape[1]] = rows
        for row, counters in enumerate(padded, first_row):
            for first, count in self._word_ranges(words, self.capabilities.request_bytes):
                part = counters[first * config.update_lanes:(first + count) * config.update_lanes]
                self._request(Command.ROW_WRITE, pack_row(layer, row, first, count), part.tobytes())

    def read_rows(self, layer: int, rows: int, width: int, first_row: int = 0) -> np.ndarray:
        """Counters int16 (rows, width) of layer slot `layer`, from row `first_row` on."""
        config = self.config
        words = -(-width // config.update_lanes)
        counters = np.zeros((rows, words * config.update_lanes), np.int16)
        for row in range(rows):
            for first, count in self._word_ranges(words, self.capabilities.response_bytes):
                data = self._request(Command.ROW_READ, pack_row(layer, first_row + row, first, count))
                part = np.frombuffer(data, self._counter_type)
                if len(part) != count * config.update_lanes:
                    raise LinkError(f"{len(part)} counters came where {count * config.update_lanes} should")
                counters[row, first * config.update_lanes:][:len(part)] = part
        return counters[:, :width]

    def load_samples(self, samples) -> None:
        """Load samples (n, words) of 16 bits: input words, then the label. They add up until the next `run`."""
        samples = np.asarray(samples)
        most = min(255, self.capabilities.request_bytes // 2 - 1)
        if samples.ndim != 2 or not 2 <= samples.shape[1] <= most:
            raise ValueError(f"samples must be (n, 2 to {most}), not {samples.shape}")
        head = np.full((len(samples), 1), samples.shape[1])
        packed = np.concatenate([head, samples], axis=1).astype("<u2")
        step = self.capabilities.request_bytes // (2 * packed.shape[1])
        for start in range(0, len(packed), step):
            self._request(Command.SAMPLES, data=packed[start:start + step].tobytes())

    def run(self, count: int, learn: bool, time: int) -> tuple[np.ndarray, np.ndarray]:
        """Run the `count` samples loaded, and train on them if `learn`.

        time
            Samples trained before.

        Returns predictions, int64 (count,), and whether each sample triggered, bool (count,).
        """
        data = self._request(Command.RUN, bytes([count, bool(learn), time % 256]))
        results = np.frombuffer(data, np.uint8)
        if len(results) != count:
            raise LinkError(f"{len(results)} results came where {count} should")
        return (results & 0x7F).astype(np.int64), results >> 7 == 1

    def statistics(self) -> dict[str, int]:
        """Totals since the session began or the last reset, by the names in `STATISTICS`.

        The device's counters wrap; a total is right if this was asked at least once in every turn of them.
        """
        raw = self._read_statistics()
        mask = (1 << self.config.statistic_width) - 1
        self._statistics = tuple(total + (new - old & mask) for total, new, old in zip(
            self._statistics, raw, self._raw_statistics, strict=True))
        self._raw_statistics = raw
        return dict(zip(STATISTICS, self._statistics, strict=True))

    def _read_statistics(self) -> tuple[int, ...]:
        """The device's counters, read while they stood still."""
        size = -(-self.config.statistic_width // 8)
        for _ in range(1000):
            data = self._request(Command.STATISTICS)
            if len(data) != 1 + size * len(STATISTICS):
                raise LinkError(f"{len(data)} bytes of statistics came where {1 + size * len(STATISTICS)} should")
            if data[0] & 1:
                return tuple(int.from_bytes(data[1 + size * index:][:size], "little")
                             for index in range(len(STATISTICS)))
        raise LinkError("the core is not idle after 1000 looks")

    @property
    def _counter_type(self) -> str:
        return "i1" if self.config.counter_bytes == 1 else "<i2"

    def _word_ranges(self, words: int, space: int):
        """`(first, count)` of counter words that cover a row, as many at once as a packet carries."""
        step = min(ROW_WORDS, space // (self.config.update_lanes * self.config.counter_bytes))
        for first in range(0, words, step):
            yield first, min(step, words - first)

    def _request(self, command: Command, arguments: bytes = b"", data: bytes = b"") -> bytes:
        """Send one request until it is answered; the answer's data."""
        # Another number for every request: to one with that of a request whose answers were all lost, the device
        # would repeat the old answer.
        sequence, self._sequence = self._sequence, self._sequence % 255 + 1
        # The leading zero ends whatever noise was on the line.
        frame = b"\0" + encode_frame(pack_request(sequence, command, arguments, data))
        reason = ""
        for attempt in range(self.attempts):
            self.repeats += attempt > 0
            self.transport.send(frame)
            while True:
                answer = self.transport.receive()
                if answer is None:
                    reason = f"no answer within {self.transport.timeout:g} s"
                    break
                if not answer:
                    continue
                try:
                    payload = decode_frame(answer)
                except FrameError as error:
                    reason = f"damaged answer: {error}"
                    break
                if len(payload) == 3 and payload[:2] == bytes([0, RESPONSE]) and payload[2] in DAMAGE:
                    reason = f"damaged request: {Status(payload[2]).name}"
                    break
                # Anything else is the late answer to an earlier attempt.
                if len(payload) >= 3 and payload[:2] == bytes([sequence, command | RESPONSE]):
                    if payload[2] != Status.OK:
                        raise DeviceError(command, payload[2])
                    return payload[3:]
        raise LinkError(f"{command.name} failed {self.attempts} times, at last with: {reason}")

