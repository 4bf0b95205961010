"""The program memory and the readers of its records."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .config import ArrayConfig
from .program import Field, positions, record_words

__all__ = ["ProgramMemory", "ProgramPort", "RecordReader"]


class ProgramPort(wiring.Signature):
    """Access to the program memory, seen from a client.

    Members
    -------
    request, address : Out
        Asks for the word at `address`.
    grant : In(1)
        The word comes in `data` with the next cycle.
    data : In(16)
        Word of the last grant; shared by all clients.
    """

    def __init__(self, config: ArrayConfig):
        super().__init__({
            "request": Out(1),
            "address": Out(range(config.program_words)),
            "grant": In(1),
            "data": In(16),
        })


class ProgramMemory(wiring.Component):
    """16-bit words, written by the host and read by `clients`, of which the first that asks is served.

    Members
    -------
    port_0 … : In(ProgramPort)
    write, address, data : In
        Write `data` to `address`.
    """

    def __init__(self, config: ArrayConfig, clients: int):
        self.config = config
        self.clients = clients
        super().__init__({
            **{f"port_{number}": In(ProgramPort(config)) for number in range(clients)},
            "write": In(1),
            "address": In(range(config.program_words)),
            "data": In(16),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=16, depth=self.config.program_words, init=[], attrs={"no_rw_check": 1})
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [write.en.eq(self.write), write.addr.eq(self.address), write.data.eq(self.data)]
        ports = [getattr(self, f"port_{number}") for number in range(self.clients)]
        free = 1
        address = ports[-1].address
        for port in reversed(ports[:-1]):
            address = Mux(port.request, port.address, address)
        m.d.comb += read.addr.eq(address)
        for port in ports:
            m.d.comb += [port.grant.eq(port.request & free), port.data.eq(read.data)]
            free = free & ~port.request
        return m


class RecordReader(wiring.Component):
    """Reads a record into registers.

    Members
    -------
    program : Out(ProgramPort)
    start, base : In
        Read the record at `base`, as it is a cycle later.
    parity : In(1)
        On an odd batch, add to the fields marked buffered.
    steps : In
        What to add for each buffer but "one".
    busy : Out(1)
        From the cycle after `start` until all fields are there.
    o : Out
        The fields.
    """

    def __init__(self, config: ArrayConfig, layout: dict[str, Field], shapes: dict | None = None):
        self.config = config
        self.layout = layout
        widths = {name: field.width for name, field in layout.items()} | (shapes or {})
        self.fields = data.StructLayout(widths)
        self.buffers = sorted({field.buffer for field in layout.values()} - {"", "one"})
        super().__init__({
            "program": Out(ProgramPort(config)),
            "start": In(1),
            "base": In(range(config.program_words)),
            "parity": In(1),
            "steps": In(data.StructLayout({name: 15 for name in self.buffers})),
            "busy": Out(1),
            "o": Out(self.fields),
        })

    def elaborate(self, platform):
        m = Module()
        words = record_words(self.layout)
        address = Signal(range(self.config.program_words))
        asked = Signal(range(words))
        arrived = Signal(range(words))
        arrives = Signal()
        # Who starts is known late in the cycle.
        begin = Signal()
        m.d.sync += begin.eq(self.start)
        m.d.comb += self.program.address.eq(address)
        granted, word = self.program.grant, self.program.data
        if self.config.pipelined:
            # Block RAM and an adder in one cycle would set the clock.
            granted, word = Signal(), Signal.like(word)
            m.d.sync += [granted.eq(self.program.grant), word.eq(self.program.data)]
        m.d.sync += arrives.eq(granted)
        with m.If(self.program.grant):
            m.d.sync += [
                address.eq(address + 1), asked.eq(asked + 1), self.program.request.eq(asked != words - 1)]
        with m.If(arrives):
            m.d.sync += arrived.eq(arrived + 1)
            with m.If(arrived == words - 1):
                m.d.sync += self.busy.eq(0)
        with m.If(self.start):
            m.d.sync += self.busy.eq(1)
        with m.If(begin):
            m.d.sync += [self.program.request.eq(1), address.eq(self.base), asked.eq(0), arrived.eq(0)]

        flagged = Signal()
        m.d.comb += flagged.eq(word[15] & self.parity)
        # One adder for all buffered fields of the same step.
        sums = {}
        for field in self.layout.values():
            if field.buffer and field.buffer not in sums:
                step = 1 if field.buffer == "one" else self.steps[field.buffer]
                sums[field.buffer] = moved = Signal(15, name=f"plus_{field.buffer}")
                m.d.comb += moved.eq(word[:15] + Mux(flagged, step, 0))
        places = positions(self.layout)
        with m.If(arrives):
            with m.Switch(arrived):
                for number in range(words):
                    with m.Case(number):
                        for name, (place, bit) in places.items():
                            if place == number:
                                buffer = self.layout[name].buffer
                                source = sums[buffer] if buffer else word[bit:]
                                m.d.sync += self.o[name].eq(source[:len(self.o[name])])
        return m
