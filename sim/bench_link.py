"""The host link at its pins, with a core made of Python behind it."""

import random

import cocotb
import numpy as np
from cocotb.task import bridge
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

from ..hw.config import ArrayConfig
from ..hw.link.config import LinkConfig
from ..hw.link.protocol import (
    CRC_BYTES,
    DAMAGE,
    REQUEST_HEADER,
    ROW_WORDS,
    Command,
    FrameError,
    Status,
    decode_frame,
    encode_frame,
    pack_request,
    pack_response,
    pack_row,
)
from ..hw.ports import STATISTICS, CoreSignature
from ..model.config import MAX_BATCH
from ..synth.driver import Device, DeviceError, LinkError
from .runner import bench_parameters
from .streams import PATTERNS, StreamSink, StreamSource, flatten, reset, start_clock
from .transport import SimulatedTransport

PARAMETERS = bench_parameters()
CONFIG = ArrayConfig(**PARAMETERS["array"])
LINK = LinkConfig(**PARAMETERS["link"])
PERIOD = 10  # ns
WIDTH = CONFIG.statistic_width
WORD_BYTES = CONFIG.update_lanes * CONFIG.counter_bytes
PAIRS = CONFIG.load_words == 2


class Core:
    """Takes and gives what a core does, and writes everything down in `log`.

    A sample's prediction is the sum of its words modulo 128; it triggers when that is odd.
    """

    def __init__(self, dut, stalls: str = "never"):
        self.dut, self.log, self.deaf = dut, [], False
        self.rows, self.statistics = {}, [0] * len(STATISTICS)
        self.resets = 0
        members = CoreSignature(CONFIG).members

        def make(kind, name):
            shape = members[name].signature.members["payload"].shape
            return kind(dut, f"core__{name}", shape, stall=PATTERNS[stalls]())

        self.program, self.row, self.counter_in = (make(StreamSink, n) for n in ("i_program", "i_row", "i_counter"))
        self.sample, self.go = make(StreamSink, "i_sample"), make(StreamSink, "i_run")
        self.counter_out, self.result = make(StreamSource, "o_counter"), make(StreamSource, "o_result")
        dut.core__idle.value = 1
        self.show_statistics()
        for task in (self._rows(), self._runs(), self._resets()):
            cocotb.start_soon(task)

    def show_statistics(self):
        shape = CoreSignature(CONFIG).members["statistics"].shape
        self.dut.core__statistics.value = flatten(shape, [value % (1 << WIDTH) for value in self.statistics])

    async def _rows(self):
        while True:
            (row,) = await self.row.receive(1)
            assert self.dut.core__idle.value
            await FallingEdge(self.dut.clk)
            self.dut.core__idle.value = 0
            self.log.append(row)
            stored = self.rows.setdefault((row["layer"], row["row"]), {})
            places = range(row["first"] * CONFIG.update_lanes, (row["first"] + row["words"]) * CONFIG.update_lanes)
            if row["write"]:
                stored.update(zip(places, await self.counter_in.receive(len(places)), strict=True))
            else:
                await self.counter_out.send([stored.get(place, 0) for place in places])
            await ClockCycles(self.dut.clk, 20)
            await FallingEdge(self.dut.clk)
            self.dut.core__idle.value = 1

    async def _runs(self):
        while True:
            (run,) = await self.go.receive(1)
            self.log.append(run)
            await FallingEdge(self.dut.clk)
            self.dut.core__idle.value = 0
            samples, words = [], []
            for item in self.sample.items:
                words.append(item["data"] & 0xFFFF)
                if PAIRS and not item["last"]:
                    words.append(item["data"] >> 16)
                if item["last"]:
                    samples.append(sum(words) % 128)
                    words = []
            assert len(samples) == run["count"] and not words
            self.sample.items.clear()
            if self.deaf:
                continue
            await ClockCycles(self.dut.clk, 50)
            for prediction in samples:
                await self.result.send([{"prediction": prediction, "triggered": prediction & 1}])
            await ClockCycles(self.dut.clk, 3000)
            await FallingEdge(self.dut.clk)
            self.statistics = [value + (index + 1) * run["count"] for index, value in enumerate(self.statistics)]
            self.show_statistics()
            self.dut.core__idle.value = 1

    async def _resets(self):
        while True:
            await RisingEdge(self.dut.reset)
            self.log.append("reset")
            self.resets += 1
            await FallingEdge(self.dut.clk)
            assert self.dut.reset.value
            self.dut.core__idle.value = 1
            self.statistics = [0] * len(STATISTICS)
            self.show_statistics()
            self.sample.items.clear()
            await FallingEdge(self.dut.clk)
            assert not self.dut.reset.value, "reset must be one cycle"

    def check_untouched(self, log_length: int):
        """Nothing has reached the core since its log had `log_length` entries and its streams were read."""
        assert len(self.log) == log_length, self.log[log_length:]
        for sink in (self.program, self.row, self.counter_in, self.sample, self.go):
            sink.check_empty()


async def start(dut, stalls="never", timeout=0.002):
    start_clock(dut, PERIOD)
    line = SimulatedTransport(dut.rx, dut.tx, bit_time=LINK.divisor * PERIOD, timeout=timeout)
    core = Core(dut, stalls)
    await reset(dut)
    return line, core


async def ask(line, payload: bytes) -> bytes | None:
    """Send one good frame; the payload of the answer."""
    await line.drive(b"\0" + encode_frame(payload))
    frame = await line.next_frame()
    return None if frame is None else decode_frame(frame)


def check_samples(core: Core, samples):
    """The core has got these input words, or pairs of them, each time with a label behind."""
    expected = []
    for *inputs, label in samples:
        if PAIRS:
            inputs = [low | high << 16 for low, high in zip(inputs[::2], inputs[1::2], strict=True)]
        expected += [(int(data), 0) for data in inputs] + [(int(label), 1)]
    assert [(item["data"] & 0xFFFF if item["last"] else item["data"], item["last"])
            for item in core.sample.items] == expected


def pack_words(*words: int) -> bytes:
    return b"".join(word.to_bytes(2, "little") for word in words)


def raises(call, kind) -> Exception:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} should have been raised")


@cocotb.test(timeout_time=200, timeout_unit="ms")
@cocotb.parametrize(stalls=["never", "half", "bursts"])
async def session(dut, stalls):
    """Every command, by the driver: what it says is what the core gets, and the other way round."""
    line, core = await start(dut, stalls)
    rng = np.random.default_rng(1)

    @bridge
    def drive():
        device = Device(line, attempts=1)
        assert device.config == CONFIG
        assert device.capabilities == LINK.capabilities(CONFIG)

        program = rng.integers(0, 1 << 16, 150)
        device.write_program(program, address=3)
        assert core.program.items == [{"address": 3 + i, "data": int(w)} for i, w in enumerate(program)]
        core.program.items.clear()

        limit = 1 << CONFIG.counter_bits - 1
        for layer, (rows, width) in enumerate([(3, 5 * CONFIG.update_lanes - 3), (2, 1), (1, 260)]):
            counters = rng.integers(-limit, limit, (rows, width))
            device.write_rows(layer, counters, first_row=7)
            assert (device.read_rows(layer, rows, width, first_row=7) == counters).all()
            assert not device.read_rows(layer, 1, width, first_row=90).any()
        device.write_rows(15, [[-limit, limit - 1]], first_row=4095)
        assert core.rows[15, 4095][0] == -limit and core.rows[15, 4095][1] == limit - 1
        raises(lambda: device.write_rows(0, [[limit]]), ValueError)
        core.log.clear()

        total = np.zeros(len(STATISTICS), int)
        longest = min(255, LINK.request_bytes // 2 - 1)
        longest -= PAIRS and longest % 2 == 0
        for batch, (count, words) in enumerate([(1, 2), (32, 18), (5, 66), (3, longest), (32, 3)]):
            samples = rng.integers(0, 1 << 16, (count, words + (PAIRS and words % 2 == 0)))
            device.load_samples(samples)
            check_samples(core, samples)
            predictions, triggered = device.run(count, learn=batch % 2 == 0, time=300 + batch)
            assert (predictions == samples.sum(axis=1) % 128).all()
            assert (triggered == (predictions % 2 == 1)).all()
            assert core.log.pop() == {"count": count, "learn": int(batch % 2 == 0), "time": 44 + batch}
            total += count * np.arange(1, len(STATISTICS) + 1)
            assert device.statistics() == dict(zip(STATISTICS, total.tolist(), strict=True))
        core.statistics = [value + (1 << WIDTH) - 5 for value in core.statistics]
        core.show_statistics()
        assert list(device.statistics().values()) == (total + (1 << WIDTH) - 5).tolist()

        device.load_samples([[1, 2, 3]])
        device.reset()
        assert core.resets == 1
        assert not any(device.statistics().values())
        assert raises(lambda: device.run(1, True, 0), DeviceError).status is Status.COUNT
        assert device.repeats == 0

    await drive()
    for sink in (core.program, core.counter_in, core.sample):
        sink.check_empty()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def refusals(dut):
    """Well-framed requests that ask for what cannot be: the right status, the seq and command, and no effect."""
    line, core = await start(dut)
    words = LINK.row_words(CONFIG)
    one = bytes(WORD_BYTES)

    def request(command, arguments=b"", data=b""):
        return pack_request(1, command, arguments, data)

    wrong = [
        (Status.LENGTH, request(Command.IDENTIFY, data=b"x")),
        (Status.LENGTH, request(Command.RESET, data=b"x")),
        (Status.LENGTH, request(Command.STATISTICS, data=b"xyz")),
        (Status.LENGTH, request(Command.RUN, b"\1\1\0", b"x")),
        (Status.COUNT, request(Command.RUN, b"\0\1\0")),
        (Status.COUNT, request(Command.RUN, b"\1\1\0")),
        (Status.LENGTH, request(Command.ROW_READ, pack_row(0, 0, 0, 1), b"x")),
        *((Status.LENGTH, request(Command.ROW_READ, pack_row(0, 0, 0, n))) for n in range(words + 1, ROW_WORDS + 1)),
        (Status.LENGTH, request(Command.ROW_WRITE, pack_row(0, 0, 0, 1))),
        (Status.LENGTH, request(Command.ROW_WRITE, pack_row(0, 0, 0, 1), one[1:])),
        (Status.LENGTH, request(Command.ROW_WRITE, pack_row(0, 0, 0, 1), one + b"x")),
        *((Status.LENGTH, request(Command.ROW_WRITE, pack_row(0, 0, 0, n), one)) for n in range(2, ROW_WORDS + 1)),
        *((Status.LENGTH, request(Command.PROGRAM_WRITE, data=bytes(n))) for n in (1, 2, 3, 5, 6, 242)),
        *((Status.LENGTH, request(Command.SAMPLES, data=bytes(n))) for n in (1, 3, 245)),
        *((Status.UNKNOWN, request(code)) for code in (8, 0x40, 0x7F, 0x80, 0xFF)),
    ]
    for seq, (status, payload) in enumerate(wrong, 1):
        answer = await ask(line, bytes([seq]) + payload[1:])
        assert answer == bytes([seq, payload[1] & 7 | 0x80, status]), (status.name, payload.hex(), answer)
    core.check_untouched(0)
    # Seq 0 is executed each time, and boot begins with it.
    for _ in range(2):
        assert await ask(line, pack_request(0, Command.RESET)) == pack_response(0, Command.RESET, Status.OK)
    assert core.resets == 2


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def sample_counts(dut):
    """RUN for another number than was loaded; more than a batch; a sample cut short."""
    line, core = await start(dut)
    samples = Command.SAMPLES
    assert (await ask(line, pack_request(1, samples)))[2] == Status.OK
    assert (await ask(line, pack_request(2, samples, data=pack_words(3, 10, 11, 5))))[2] == Status.OK
    assert (await ask(line, pack_request(3, samples, data=pack_words(5, 2, 3, 4, 3, 6, 3, 1, 2, 4))))[2] == Status.OK
    check_samples(core, [(10, 11, 5), (2, 3, 4, 3, 6), (1, 2, 4)])
    for count in (0, 1, 2, 4, 35, 67, 131):
        assert (await ask(line, pack_request(5 + count, Command.RUN, bytes([count]))))[2] == Status.COUNT
    assert core.log == []
    answer = await ask(line, pack_request(203, Command.RUN, b"\3\1\7"))
    assert answer == pack_response(203, Command.RUN, Status.OK, bytes([26, 18, 7 | 0x80]))
    assert core.log == [{"count": 3, "learn": 1, "time": 7}]
    for seq, count, status in ((220, 20, Status.OK), (204, MAX_BATCH + 1 - 20, Status.COUNT)):
        assert (await ask(line, pack_request(seq, samples, data=pack_words(*[3, 1, 1, 1] * count))))[2] == status
    assert (await ask(line, pack_request(205, samples, data=pack_words(3, 1, 1, 1))))[2] == Status.COUNT
    check_samples(core, [(1, 1, 1)] * MAX_BATCH)
    assert (await ask(line, pack_request(206, Command.RUN, b"\x20")))[2] == Status.OK
    assert (await ask(line, pack_request(207, samples, data=pack_words(3, 1, 1, 1, 3, 1))))[2] == Status.COUNT
    for count in (1, 2):
        assert (await ask(line, pack_request(208 + count, Command.RUN, bytes([count]))))[2] == Status.COUNT
    assert (await ask(line, pack_request(211, Command.RESET)))[2] == Status.OK
    assert (await ask(line, pack_request(212, samples, data=pack_words(3, 1, 1, 1))))[2] == Status.OK
    assert (await ask(line, pack_request(213, Command.RUN, b"\1")))[3:] == b"\x83"


def verdict(characters: bytes) -> Status | None:
    """What the link must say to a frame's characters before the zero; None: nothing, OK: an execution."""
    if not characters:
        return None
    decoded, left, full, first = 0, 1, False, True
    for character in characters:
        emit = True
        if left == 1:
            emit, left, full = not first and not full, character, character == 255
        else:
            left -= 1
        first = False
        decoded += emit
        if decoded > LINK.request_bytes + REQUEST_HEADER + CRC_BYTES:
            return Status.OVERSIZED
    if left != 1 or decoded < REQUEST_HEADER + CRC_BYTES:
        return Status.TRUNCATED
    try:
        decode_frame(characters)
    except FrameError:
        return Status.CHECKSUM
    return Status.OK


def damages(rng: random.Random):
    """Endless requests, most of them damaged, as the characters before the terminating zero."""
    while True:
        length = rng.choice([0, 0, 1, 2, 8, 50, LINK.request_bytes - 1, LINK.request_bytes, LINK.request_bytes + 1])
        data = bytes(rng.choices([0, 1, 255, rng.randrange(256)], k=length))
        frame = bytearray(encode_frame(pack_request(rng.randrange(1, 256), rng.randrange(8), rng.randbytes(5),
                                                    data))[:-1])
        match rng.randrange(7):
            case 0:  # flipped bits
                for _ in range(rng.randint(1, 4)):
                    frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
            case 1:  # cut short
                del frame[rng.randrange(len(frame)):]
            case 2:  # a character lost
                del frame[rng.randrange(len(frame))]
            case 3:  # a character too many
                frame.insert(rng.randrange(len(frame) + 1), rng.randrange(1, 256))
            case 4:  # much too long
                frame = bytearray(rng.choices(range(1, 256), k=rng.randint(2, 2 * LINK.buffer_bytes)))
            case 5:  # zeros too many: an end of frame that became a one
                frame += b"\1" * rng.randint(1, 3)
            case 6:  # noise
                frame = bytearray(rng.choices(range(1, 256), k=rng.randint(1, 12)))
        yield bytes(frame)


@cocotb.test(timeout_time=2000, timeout_unit="ms")
async def damaged(dut):
    """Damaged frames get the verdict that they must get, change nothing, and hide no good one."""
    line, core = await start(dut)
    rng = random.Random(cocotb.RANDOM_SEED)
    fuzz = damages(rng)
    seen = set()
    for index in range(PARAMETERS["frames"]):
        characters = next(fuzz)
        for piece in characters.split(b"\0"):
            expected = verdict(piece)
            if expected is Status.OK:
                continue
            await line.drive(piece + b"\0")
            if expected is not None:
                seen.add(expected)
                frame = await line.next_frame()
                assert frame is not None, (piece.hex(), expected)
                assert decode_frame(frame) == pack_response(0, 0, expected), (piece.hex(), expected, frame.hex())
        core.check_untouched(0)
        if index % 16 == 0:
            answer = await ask(line, pack_request(1, Command.STATISTICS))
            assert answer[:3] == pack_response(1, Command.STATISTICS, Status.OK)
    assert seen == {Status.TRUNCATED, Status.OVERSIZED, Status.CHECKSUM}, seen
    assert await line.next_frame() is None


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def damaged_line(dut):
    """Characters without a stop bit, glitches, and zeros for nothing."""
    line, core = await start(dut, timeout=0.0002)
    good = b"\0" + encode_frame(pack_request(1, Command.RESET))
    for place in (1, 5, len(good) - 1):
        for index, character in enumerate(good):
            levels = f"1{character:08b}0"[::-1]
            if index == place:
                levels = levels[:-1] + "0" + "1" * 10
            await line.drive_bits(levels)
        frame = await line.next_frame()
        assert decode_frame(frame) == pack_response(0, 0, Status.LINE)
    core.check_untouched(0)
    await line.drive(b"\0" * 20)
    assert await line.next_frame() is None
    # A break that is too short is no more than a damaged character.
    await line.drive_bits("0" * 25 + "1" * 20)
    await line.drive(b"\0")
    assert decode_frame(await line.next_frame()) == pack_response(0, 0, Status.TRUNCATED)
    core.check_untouched(0)
    assert await ask(line, pack_request(1, Command.RESET)) == pack_response(1, Command.RESET, Status.OK)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def repetitions(dut):
    """A request is executed once however often it comes, and each time answered alike."""
    line, core = await start(dut)
    await ask(line, pack_request(9, Command.SAMPLES, data=pack_words(3, 70, 7, 1, 3, 78, 0, 2)))
    run = pack_request(10, Command.RUN, b"\2\1\5")
    first = await ask(line, run)
    assert first == pack_response(10, Command.RUN, Status.OK, bytes([78, 80]))
    for noise in (b"", b"\3", b"\5abc", bytes(range(1, 256)) * 3):
        # Damage between the repetitions leaves the stored answer alone.
        if noise:
            await line.drive(noise + b"\0")
            assert decode_frame(await line.next_frame())[2] in DAMAGE
        assert await ask(line, run) == first
    assert len(core.log) == 1 and core.statistics[0] in (0, 2)
    # The same seq with another command, or another seq, is a new request.
    assert (await ask(line, pack_request(10, Command.STATISTICS)))[:3] == pack_response(10, 2, Status.OK)
    assert (await ask(line, pack_request(11, Command.RUN, b"\2\1\5")))[2] == Status.COUNT
    assert await ask(line, pack_request(12, Command.RESET)) == pack_response(12, Command.RESET, Status.OK)
    assert await ask(line, pack_request(12, Command.RESET)) == pack_response(12, Command.RESET, Status.OK)
    assert core.resets == 1
    # IDENTIFY makes the link forget; a refusal does too.
    for between in (pack_request(0, Command.IDENTIFY), pack_request(3, 99)):
        await ask(line, between)
        assert await ask(line, pack_request(12, Command.RESET)) == pack_response(12, Command.RESET, Status.OK)
    assert core.resets == 3


class Noisy:
    """A transport that loses and damages frames both ways."""

    def __init__(self, line: SimulatedTransport, rng: random.Random):
        self._line, self._rng, self.timeout = line, rng, line.timeout

    def _damage(self, frame: bytes) -> bytes:
        frame = bytearray(frame)
        match self._rng.randrange(8):
            case 0:
                frame[self._rng.randrange(len(frame))] ^= 1 << self._rng.randrange(8)
            case 1:
                del frame[self._rng.randrange(len(frame)):]
            case 2:
                frame.clear()
            case 3:
                frame += self._rng.randbytes(self._rng.randint(1, 10))
        return bytes(frame)

    def send(self, frame: bytes) -> None:
        self._line.send(self._damage(frame))

    def receive(self) -> bytes | None:
        frame = self._line.receive()
        return self._damage(frame) or None if frame else frame

    def send_break(self) -> None:
        self._line.send_break()


@cocotb.test(timeout_time=2000, timeout_unit="ms")
async def noisy_line(dut):
    """Over a line that damages half of the frames, every batch is still run exactly once."""
    line, core = await start(dut, timeout=0.0003)
    rng = random.Random(cocotb.RANDOM_SEED)

    @bridge
    def drive():
        device = Device(Noisy(line, rng), attempts=60)
        for batch in range(PARAMETERS["batches"]):
            samples = np.array([[rng.randrange(1 << 16) for _ in range(5)] for _ in range(3)])
            device.load_samples(samples)
            predictions, _ = device.run(3, learn=True, time=batch)
            assert (predictions == samples.sum(axis=1) % 128).all()
            assert core.log.pop() == {"count": 3, "learn": 1, "time": batch % 256} and not core.log
        assert device.repeats > PARAMETERS["batches"]
        assert device.statistics()["forward"] == 3 * PARAMETERS["batches"]

    await drive()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def broken(dut):
    """A core that never answers hangs the link, and a break frees both."""
    line, core = await start(dut)
    core.deaf = True

    @bridge
    def drive():
        device = Device(line, attempts=2)
        device.load_samples([[1, 2, 3]])
        assert "no answer" in str(raises(lambda: device.run(1, True, 0), LinkError))
        assert core.resets == 0
        device.recover()
        assert core.resets >= 2
        assert raises(lambda: device.run(1, True, 0), DeviceError).status is Status.COUNT
        core.deaf = False
        device.load_samples([[1, 2, 3]])
        assert device.run(1, True, 0)[0].tolist() == [6]

    await drive()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def busy(dut):
    """Frames that come, or begin, while a request is being executed or answered are lost, and change nothing."""
    line, core = await start(dut, timeout=0.0001)
    await ask(line, pack_request(1, Command.SAMPLES, data=pack_words(2, 3, 4)))
    core.deaf = True
    again = encode_frame(pack_request(3, Command.RESET))
    await line.drive(b"\0" + encode_frame(pack_request(2, Command.RUN, b"\1")) + again + again[:4])
    await core.result.send([{"prediction": 7, "triggered": 0}])
    assert decode_frame(await line.next_frame()) == pack_response(2, Command.RUN, Status.OK, b"\7")
    await line.drive(again[4:])
    assert await line.next_frame() is None
    assert core.resets == 0
    await line.drive(again + again[:3])
    assert decode_frame(await line.next_frame()) == pack_response(3, Command.RESET, Status.OK)
    await line.drive(again[3:] + b"\0")
    assert await line.next_frame() is None
    assert core.resets == 1
    assert await ask(line, pack_request(4, Command.RESET)) == pack_response(4, Command.RESET, Status.OK)
