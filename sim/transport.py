"""The host link's line inside a simulation, for the very driver that talks to boards.

    @cocotb.test()
    async def trains(dut):
        line = SimulatedTransport(dut.rx, dut.tx, bit_time=divisor * period)

        @bridge
        def session():
            device = Device(line)
            ...

        await session()

The driver blocks in a thread of its own while the simulation runs, and the simulation waits while the driver thinks.
"""

import cocotb
from cocotb.queue import Queue
from cocotb.task import resume
from cocotb.triggers import FallingEdge, SimTimeoutError, Timer, with_timeout

__all__ = ["SimulatedTransport"]


class SimulatedTransport:
    """A `Transport` over two pins of a design, 8N1. To be made in a coroutine, used within `bridge`.

    Python is awake once or twice a bit, whatever the number of clock cycles in one.

    Parameters
    ----------
    rx, tx
        Handles of the design's pins: its input and its output.
    bit_time
        Nanoseconds a bit; with a whole number of clock periods the bits stay clear of clock edges.
    timeout
        Simulated seconds that an answer may take.

    Members
    -------
    sent, received : int
        Characters so far.
    """

    def __init__(self, rx, tx, *, bit_time: float, timeout: float = 0.02):
        self.timeout = timeout
        self.sent = self.received = 0
        self._rx, self._tx, self._bit_time = rx, tx, bit_time
        self._frames = Queue()
        self._rx.value = 1
        self._task = cocotb.start_soon(self._listen())

    def send(self, frame: bytes) -> None:
        resume(self.drive)(frame)

    def receive(self) -> bytes | None:
        return resume(self.next_frame)()

    def send_break(self) -> None:
        resume(self.drive_break)()

    async def drive(self, characters: bytes) -> None:
        """Send characters; returns at the end of the last stop bit."""
        for character in characters:
            await self.drive_bits(f"{1:b}{character:08b}{0:b}"[::-1])
        self.sent += len(characters)

    async def drive_bits(self, levels: str) -> None:
        """Drive one level a bit time, `"0"` or `"1"`, for frames that no good host sends."""
        while levels:
            run = len(levels) - len(levels.lstrip(levels[0]))
            self._rx.value = int(levels[0])
            await Timer(run * self._bit_time, "ns", round_mode="round")
            levels = levels[run:]

    async def drive_break(self, characters: float = 8) -> None:
        """Hold the line low for so many characters, then let it rest for two."""
        await self.drive_bits("0" * round(10 * characters) + "1" * 20)
        while not self._frames.empty():
            self._frames.get_nowait()

    async def next_frame(self) -> bytes | None:
        """The next frame without its terminating zero; None if none comes within the timeout."""
        if not self._frames.empty():
            return self._frames.get_nowait()
        try:
            return await with_timeout(self._frames.get(), round(self.timeout * 1e9), "ns")
        except SimTimeoutError:
            return None

    async def _listen(self) -> None:
        frame = bytearray()
        while True:
            await FallingEdge(self._tx)
            await Timer(1.5 * self._bit_time, "ns", round_mode="round")
            character = 0
            for index in range(8):
                character |= int(self._tx.value) << index
                await Timer(self._bit_time, "ns", round_mode="round")
            assert self._tx.value, "the design sent a character without a stop bit"
            self.received += 1
            if character:
                frame.append(character)
            else:
                self._frames.put_nowait(bytes(frame))
                frame.clear()
