"""The driver over a serial port, with a device made of Python at the other end of a pseudo-terminal."""

import os
import threading

import pytest
import serial
from bitprop.hw.config import ArrayConfig
from bitprop.hw.link.config import LinkConfig
from bitprop.hw.link.protocol import Command, Status, decode_frame, encode_frame, pack_response
from bitprop.hw.ports import STATISTICS
from bitprop.synth.driver import Device, DeviceError, LinkError, SerialTransport

CONFIG = ArrayConfig(statistic_width=16)
LINK = LinkConfig(clock_hz=12_000_000)


class FakeDevice:
    """Answers frames that come over file descriptor `line` by `answer(seq, command, data)`."""

    def __init__(self, line: int, answer):
        # Its own descriptor: the number of one that the test has closed may be the next test's.
        self._line, self._answer = os.dup(line), answer
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        heard = b""
        while True:
            try:
                heard += os.read(self._line, 1000)
            except OSError:
                os.close(self._line)
                return
            *frames, heard = heard.split(b"\0")
            for frame in filter(None, frames):
                payload = decode_frame(frame)
                for answer in self._answer(payload[0], payload[1], payload[6:]):
                    os.write(self._line, answer)


@pytest.fixture
def port():
    near, far = os.openpty()
    yield near, os.ttyname(far)
    os.close(near)
    os.close(far)


def good_answer(seq, command, data):
    content = {Command.IDENTIFY: LINK.capabilities(CONFIG).pack(),
               Command.STATISTICS: b"\1" + bytes(2 * len(STATISTICS))}.get(command, b"")
    yield encode_frame(pack_response(seq, command, Status.OK, content))


def test_session(port):
    FakeDevice(port[0], good_answer)
    with SerialTransport(port[1], 115200, timeout=5) as line:
        device = Device(line)
        assert device.config == CONFIG
        for _ in range(300):
            device.reset()
        assert device.repeats == 0


def test_adapter_is_asked_to_hold_nothing_back(port, monkeypatch):
    """USB adapters keep short answers for a while, unless told not to."""
    asked = []
    monkeypatch.setattr(serial.Serial, "set_low_latency_mode", lambda line, on: asked.append((line.port, on)))
    with SerialTransport(port[1], 115200):
        assert asked == [(port[1], True)]


def test_late_and_damaged_answers(port):
    """An answer to an earlier attempt is passed over; a damaged one makes the driver ask again."""
    asked = []

    def answer(seq, command, data):
        if command != Command.RESET:
            yield from good_answer(seq, command, data)
            return
        asked.append(seq)
        yield encode_frame(pack_response(seq - 1, Command.STATISTICS, Status.OK, b"late"))
        if len(asked) == 1:
            yield b"\7damage\0"
        elif len(asked) == 2:
            yield encode_frame(pack_response(0, 0, Status.CHECKSUM))
        else:
            yield encode_frame(pack_response(seq, command, Status.OK))

    FakeDevice(port[0], answer)
    with SerialTransport(port[1], 115200, timeout=5) as line:
        device = Device(line)
        device.reset()
        assert len(set(asked)) == 1 and len(asked) == 3
        assert device.repeats == 2


def test_lost_answers(port):
    """After a request whose answers were all lost, the next of the same kind is executed too."""
    executed, last = [], None

    def answer(seq, command, data):
        nonlocal last
        if command == Command.PROGRAM_WRITE:
            if seq != last:
                executed.append(data)
            last = seq
            if len(executed) == 1:
                return
        yield from good_answer(seq, command, data)

    FakeDevice(port[0], answer)
    with SerialTransport(port[1], 115200, timeout=0.2) as line:
        device = Device(line)
        with pytest.raises(LinkError, match="PROGRAM_WRITE failed 4 times, at last with: no answer within 0.2 s"):
            device.write_program([1, 2])
        device.write_program([3, 4])
    assert len(executed) == 2 and executed[0] != executed[1]


def test_unplugged():
    near, far = os.openpty()
    with SerialTransport(os.ttyname(far), 115200, timeout=5) as line:
        os.close(near)
        os.close(far)
        for use in (lambda: line.send(b"x"), line.receive, line.send_break):
            with pytest.raises(LinkError, match="is gone .*: is the board still plugged in"):
                use()


def test_refusal(port):
    def answer(seq, command, data):
        if command == Command.RESET:
            yield encode_frame(pack_response(seq, command, Status.LENGTH))
        else:
            yield from good_answer(seq, command, data)

    FakeDevice(port[0], answer)
    with SerialTransport(port[1], 115200, timeout=5) as line:
        device = Device(line)
        with pytest.raises(DeviceError, match="RESET was refused: LENGTH") as refused:
            device.reset()
        assert refused.value.status is Status.LENGTH


def test_silence(port):
    with SerialTransport(port[1], 115200, timeout=0.05) as line, pytest.raises(LinkError, match="no answer"):
        Device(line, attempts=2)


def test_foreign_device(port):
    FakeDevice(port[0], lambda seq, command, data: [encode_frame(pack_response(seq, command, Status.OK, b"hello"))])
    with SerialTransport(port[1], 115200, timeout=5) as line, pytest.raises(LinkError, match="not a bitprop core"):
        Device(line)


def test_no_port():
    with pytest.raises(LinkError, match="cannot open /dev/nothing-like-this: there is no such port; serial ports "):
        SerialTransport("/dev/nothing-like-this")
    with pytest.raises(LinkError, match="cannot open /dev/null: it is not a serial port"):
        SerialTransport("/dev/null")
