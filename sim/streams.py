"""Drivers for streams in cocotb benches: a source and a sink for every port, with stalls on either side.

    clock = start_clock(dut)
    await reset(dut)
    source = StreamSource(dut, "i_sample", layout, stall=randomly(0.5))
    sink = StreamSink(dut, "o_result", result_layout, stall=PATTERNS["bursts"]())
    await source.send([{"data": 3, "last": 0}, {"data": 4, "last": 1}])
    results = await sink.receive(2)
    sink.check_empty()

All drivers change their signals at the falling edge and read what came of it while the clock is low: what is
valid and ready then is transferred by the next rising edge. That holds in any simulator, and with
combinational paths from inputs to outputs. A bench that drives other ports by itself should do so at the
falling edge too.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import cocotb
from amaranth.hdl import Shape
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import Event, FallingEdge, ReadOnly, RisingEdge

__all__ = ["PATTERNS", "StreamSource", "StreamSink", "flatten", "unflatten", "never", "randomly", "repeating",
           "start_clock", "reset"]


def flatten(shape, value) -> int:
    """The bits, as a non-negative integer, of `value`: an integer, or a dict or list of them for a layout."""
    if not isinstance(shape, data.Layout):
        return int(value) & (1 << Shape.cast(shape).width) - 1
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    bits = 0
    for key in keys:
        field = shape[key]
        bits |= flatten(field.shape, value[key]) << field.offset
    return bits


def unflatten(shape, bits: int):
    """The inverse of `flatten`: an integer with its sign, a dict for a struct, a list for an array."""
    if isinstance(shape, data.ArrayLayout):
        return [unflatten(field.shape, bits >> field.offset) for _, field in shape]
    if isinstance(shape, data.Layout):
        return {key: unflatten(field.shape, bits >> field.offset) for key, field in shape}
    shape = Shape.cast(shape)
    bits &= (1 << shape.width) - 1
    return bits - (1 << shape.width) if shape.signed and bits >> (shape.width - 1) else bits


def never() -> Iterator[bool]:
    """No stalls."""
    while True:
        yield False


def randomly(probability: float, seed: int | None = None) -> Iterator[bool]:
    """Each cycle stalled with `probability`; the bench's seed unless another is given."""
    source = random.Random(random.getrandbits(32) if seed is None else seed)
    while True:
        yield source.random() < probability


def repeating(pattern: str) -> Iterator[bool]:
    """Stalled where `pattern`, over and over, has a `1`: `repeating("110")` moves every third cycle."""
    if "0" not in pattern:
        raise ValueError(f"pattern must have a 0, else nothing ever moves, not {pattern!r}")
    while True:
        for character in pattern:
            yield character == "1"


def _bursts() -> Iterator[bool]:
    while True:
        for stalled in (False, True):
            for _ in range(random.randint(1, 12)):
                yield stalled


PATTERNS: dict[str, Callable[[], Iterator[bool]]] = {
    "never": never,
    "half": lambda: randomly(0.5),
    "mostly": lambda: randomly(0.9),
    "rarely": lambda: randomly(0.1),
    "alternate": lambda: repeating("10"),
    "bursts": _bursts,
}
"""Stall patterns by name, to parametrise tests over idle × back-pressure."""


def start_clock(dut, period: int = 10, unit: str = "ns") -> Clock:
    """Start `dut.clk`, and one of twice its frequency where there is a domain `double`; they run for the rest of the
    test without waking Python. `clk` falls early: what is driven then is there by the edge of the other in mid cycle.
    """
    if hasattr(dut, "double_clk"):
        Clock(dut.double_clk, period / 2, unit).start()
    clock = Clock(dut.clk, period, unit, period_high=period / 4)
    clock.start()
    return clock


async def reset(dut, cycles: int = 2) -> None:
    """Hold `dut.rst` for `cycles`, then leave it just after a falling edge."""
    dut.rst.value = 1
    for _ in range(cycles):
        await FallingEdge(dut.clk)
    dut.rst.value = 0
    await FallingEdge(dut.clk)


class StreamSource:
    """Drives stream input `name` of `dut`.

    Once `valid` it stays so, with its payload, until taken; stalls come before. Nothing is driven before the
    first item but `valid` low.

    Parameters
    ----------
    shape
        Of the payload; items are flattened by it. None: items are bits already.
    stall
        An iterator of booleans; each true one holds the next item back for a cycle.
    """

    def __init__(self, dut, name: str, shape=None, *, stall: Iterable[bool] | None = None):
        self._clock = dut.clk
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload")
        self._shape = shape
        self.stall = iter(never() if stall is None else stall)
        self._queue = deque()
        self._filled, self._drained = Event(), Event()
        self._drained.set()
        self._valid.value = 0
        self._task = cocotb.start_soon(self._run())

    def put(self, items: Iterable) -> None:
        """Queue `items` behind those before, without waiting."""
        self._queue.extend(item if self._shape is None else flatten(self._shape, item) for item in items)
        if self._queue:
            self._drained.clear()
            self._filled.set()

    async def send(self, items: Iterable) -> None:
        """Queue `items` and wait until the last is taken."""
        self.put(items)
        await self.drained()

    async def drained(self) -> None:
        """Wait until everything queued is taken. Returns while the clock is high after the last transfer."""
        await self._drained.wait()

    @property
    def waiting(self) -> int:
        """Items not taken yet."""
        return len(self._queue)

    def stop(self) -> None:
        """Forget what is queued and release the stream (for tests of a reset in mid-transfer)."""
        self._task.cancel()
        self._queue.clear()
        self._drained.set()
        self._valid.value = 0
        self._filled.clear()
        self._task = cocotb.start_soon(self._run())

    async def _run(self):
        while True:
            await self._filled.wait()
            await FallingEdge(self._clock)
            while self._queue:
                while next(self.stall):
                    await FallingEdge(self._clock)
                self._payload.value = self._queue[0]
                self._valid.value = 1
                await ReadOnly()
                while not self._ready.value:
                    await FallingEdge(self._clock)
                    await ReadOnly()
                await RisingEdge(self._clock)
                self._queue.popleft()
                if not self._queue:
                    self._filled.clear()
                    self._drained.set()
                await FallingEdge(self._clock)
                self._valid.value = 0


class StreamSink:
    """Takes everything from stream output `name` of `dut`; checks that what is valid stays so until taken.

    Members
    -------
    items : list
        What came and was not yet fetched by `receive`, unflattened by `shape` unless that is None.
    total : int
        Items ever taken.
    """

    def __init__(self, dut, name: str, shape=None, *, stall: Iterable[bool] | None = None):
        self._name, self._clock = name, dut.clk
        self._valid, self._ready = getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload")
        self._shape = shape
        self.stall = iter(never() if stall is None else stall)
        self.items, self.total = [], 0
        self._arrived = Event()
        self._ready.value = 0
        self._task = cocotb.start_soon(self._run())

    async def receive(self, count: int) -> list:
        """Wait for `count` items and return them, oldest first."""
        while len(self.items) < count:
            self._arrived.clear()
            await self._arrived.wait()
        taken, self.items[:count] = self.items[:count], []
        return taken

    def check_empty(self) -> None:
        """Raise AssertionError if an item came that nobody asked for."""
        assert not self.items, f"{self._name}: {len(self.items)} items too many, first {self.items[0]}"

    async def _run(self):
        held = None
        await FallingEdge(self._clock)
        while True:
            self._ready.value = ready = not next(self.stall)
            await ReadOnly()
            valid = bool(self._valid.value)
            if not valid:
                assert held is None, f"{self._name}: valid fell before the transfer"
                # Python sleeps through idle times. If valid rises in the clock's low half, this is the cycle.
                await RisingEdge(self._valid)
                if not self._clock.value:
                    await ReadOnly()
                    valid = bool(self._valid.value)
            if valid:
                bits = int(self._payload.value)
                assert held is None or held == bits, f"{self._name}: payload changed before the transfer"
                held = None if ready else bits
                if ready:
                    await RisingEdge(self._clock)
                    self.items.append(bits if self._shape is None else unflatten(self._shape, bits))
                    self.total += 1
                    self._arrived.set()
            await FallingEdge(self._clock)
