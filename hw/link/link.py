"""The host link: packets from a serial line to the core and back."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out, connect

from ...model.config import MAX_BATCH
from ..config import TILE, ArrayConfig
from ..ports import STATISTICS, CoreSignature
from .config import DAMAGE_SLOT, LinkConfig
from .framing import Decoder, Encoder
from .protocol import ARGUMENT_BYTES, RESPONSE, Command, Status
from .uart import Receiver, Transmitter

__all__ = ["Link"]


class Link(wiring.Component):
    """Executes the requests of a host, one at a time, as `protocol` describes.

    ```
    rx → Receiver → Decoder ──┬→ CRC ←┬── Encoder ← executor ← core
                              └→ packet memory ──→ executor → core
                                              └──→ Transmitter → tx
    ```

    A request is looked at only once it is in memory as a whole and its CRC is right. The packet memory is one block
    RAM of two halves, with one read and one write port.

    Requests that read or write rows or the program wait until the core is idle. STATISTICS does not wait, and says
    whether the core was idle: if not, the counters were moving while they were read. What comes over the line
    while a request is being executed is lost; while its answer is being sent, the next request may come.

    Parameters
    ----------
    config
        The core.
    link
        Speed of the line and size of the memory.

    Raises
    ------
    ValueError
        The packet memory is too small for a counter word of this core.

    Members
    -------
    core
        Everything of the core's host side.
    rx : In(1)
        Line from the host, asynchronous.
    tx : Out(1)
        Line to the host.
    reset : Out(1)
        High for one cycle: reset the core.
    """

    def __init__(self, config: ArrayConfig, link: LinkConfig):
        self._config, self._link = config, link
        word = config.update_lanes * config.counter_bytes
        if min(link.request_bytes, link.response_bytes) < word:
            raise ValueError(f"buffer_bytes must be larger than {link.buffer_bytes}: packets carry "
                             f"{min(link.request_bytes, link.response_bytes)} bytes, a counter word has {word}")
        super().__init__({
            "core": In(CoreSignature(config)),
            "rx": In(1, init=1),
            "tx": Out(1, init=1),
            "reset": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, link = self._config, self._link
        core = self.core
        depth = 2 * link.buffer_bytes
        width = (depth - 1).bit_length()

        m.submodules.receiver = receiver = Receiver(link.divisor)
        m.submodules.transmitter = transmitter = Transmitter(link.divisor)
        m.submodules.decoder = decoder = Decoder(
            start=link.request_address, stop=link.request_bytes, width=width)
        m.submodules.encoder = encoder = Encoder(
            start=link.response_address, length=link.identify_address - link.response_address, width=width)
        m.submodules.crc = crc = catalog.CRC16_IBM_3740(data_width=8).create()
        # Requests and answers never meet at one address, so no logic is needed for reading what is being written.
        m.submodules.memory = packets = memory.Memory(
            shape=8, depth=depth, init=link.memory_image(config), attrs={"ram_style": "block", "no_rw_check": 1})
        write, read = packets.write_port(), packets.read_port()

        connect(m, receiver.o, decoder.i)
        hold = Signal()  # the request in memory is being worked on
        m.d.comb += [
            receiver.pin.eq(self.rx),
            self.tx.eq(transmitter.pin),
            decoder.hold.eq(hold),
            decoder.match.eq(crc.match_detected),
            write.en.eq(Mux(hold, encoder.valid, decoder.valid)),
            write.addr.eq(Mux(hold, encoder.address, decoder.address)),
            write.data.eq(Mux(hold, encoder.data, decoder.data)),
        ]

        # `byte` follows the memory's output by one cycle, and both only move on with `advance`, so that `pointer`
        # is two ahead of the address of `byte`; thus it equals `decoder.length` when all data have been taken.
        pointer = Signal(width)
        byte = Signal(8)
        advance = Signal()
        m.d.comb += [read.addr.eq(pointer), read.en.eq(advance)]
        with m.If(advance):
            m.d.sync += [pointer.eq(pointer + 1), byte.eq(read.data)]
        at_end = Signal()
        m.d.comb += at_end.eq(pointer == decoder.length)

        put, put_crc = encoder.i, Signal()
        m.d.comb += [
            put_crc.eq(1),
            crc.data.eq(Mux(hold, put.payload, decoder.data)),
            crc.valid.eq(Mux(hold, put.valid & put.ready & put_crc, decoder.valid)),
            crc.start.eq(decoder.restart),
        ]

        command = Signal(Command)
        sequence = Signal(8)
        status = Signal(Status)
        unknown = Signal()
        broken = Signal()

        # The arguments, and later items of data, are shifted in from above.
        arguments = Signal(8 * ARGUMENT_BYTES)
        row = data.View(data.StructLayout({"row": 12, "layer": 4, "first": 12, "words": 12}), arguments)
        run = data.View(data.StructLayout({"count": 8, "learn": 8, "time": 8, "_": 16}), arguments)
        item = arguments[-2 * 8:]
        wide_item = arguments[-4 * 8:]

        loaded = Signal(range(MAX_BATCH + 1))
        in_sample = Signal()
        left = Signal(signed(9))  # input words still to come after this one; -1: this is the label
        step = Signal(3)

        word_shift = (config.update_lanes * config.counter_bytes).bit_length() - 1
        row_bytes = Signal(12 + word_shift)
        most_words = link.response_bytes >> word_shift
        counter_item = item if config.counter_bytes == 2 else item[8:]
        o_counter = Signal(signed(8 * config.counter_bytes))
        statistic_bytes = -(-config.statistic_width // 8)
        statistics = Cat(Cat(core.statistics[index], Const(0, 8 * statistic_bytes - config.statistic_width))
                         for index in range(len(STATISTICS)))
        numbers = Cat(core.idle, Const(0, 7), statistics)
        m.d.comb += [
            row_bytes.eq(row.words << word_shift),
            core.i_row.payload.layer.eq(row.layer),
            core.i_row.payload.row.eq(row.row),
            core.i_row.payload.first.eq(row.first),
            core.i_row.payload.words.eq(row.words),
            core.i_row.payload.write.eq(command == Command.ROW_WRITE),
            core.i_run.payload.count.eq(run.count),
            core.i_run.payload.learn.eq(run.learn),
            core.i_run.payload.time.eq(run.time),
            core.i_program.payload.address.eq(wide_item),
            core.i_program.payload.data.eq(item),
            core.i_sample.payload.data.eq(item),
            core.i_sample.payload.last.eq(left < 0),
            core.i_counter.payload.eq(counter_item),
            o_counter.eq(core.o_counter.payload),
        ]
        assert len(item) == TILE

        def escape():
            """Wait no longer for the core after a break."""
            with m.If(broken):
                m.d.sync += hold.eq(0)
                m.next = "IDLE"

        def respond(address):
            """Send the frame at `address`, and let the next request come in."""
            m.d.sync += [pointer.eq(address), step.eq(0), hold.eq(0)]
            m.d.comb += crc.start.eq(1)
            m.next = "FILL ANSWER"

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [pointer.eq(link.request_address), step.eq(0), broken.eq(0)]
                m.d.comb += encoder.open.eq(1)
                with m.If(hold):
                    with m.If(status == Status.OK):
                        m.next = "FILL REQUEST"
                    with m.Else():
                        respond(link.damage_address + DAMAGE_SLOT * status)
            with m.State("FILL REQUEST"):
                m.d.comb += advance.eq(1)
                m.d.sync += step.eq(1)
                with m.If(step[0]):
                    m.next = "SEQUENCE"
            with m.State("SEQUENCE"):
                with m.If((byte == sequence) & (byte != 0) & (read.data[:len(command)] == command)):
                    respond(link.response_address)
                with m.Else():
                    m.d.comb += [put.payload.eq(byte), put.valid.eq(1), advance.eq(1)]
                    m.d.sync += sequence.eq(byte)
                    m.next = "COMMAND"
            with m.State("COMMAND"):
                m.d.comb += [put.payload.eq(byte | RESPONSE), put.valid.eq(1), advance.eq(1)]
                m.d.sync += [command.eq(byte), unknown.eq(byte[len(command):] != 0), step.eq(0)]
                m.next = "ARGUMENTS"
            with m.State("ARGUMENTS"):
                m.d.comb += advance.eq(1)
                m.d.sync += [arguments.eq(Cat(arguments[8:], byte)), step.eq(step + 1)]
                with m.If(step == ARGUMENT_BYTES - 1):
                    m.next = "CHECK"
            with m.State("CHECK"):
                length = decoder.length
                m.d.sync += step.eq(0)
                m.next = "STATUS"
                with m.If(unknown):
                    m.d.sync += status.eq(Status.UNKNOWN)
                with m.Elif(at_end & ((command == Command.ROW_WRITE) | (command == Command.PROGRAM_WRITE)
                                      | (command == Command.SAMPLES))):
                    m.d.sync += status.eq(Status.LENGTH)
                with m.Else():
                    with m.Switch(command):
                        with m.Case(Command.IDENTIFY, Command.RESET, Command.STATISTICS):
                            with m.If(~at_end):
                                m.d.sync += status.eq(Status.LENGTH)
                            with m.Elif(command == Command.IDENTIFY):
                                m.d.sync += sequence.eq(0)
                                respond(link.identify_address)
                            with m.Elif(command == Command.RESET):
                                m.d.comb += self.reset.eq(1)
                                m.d.sync += [loaded.eq(0), in_sample.eq(0)]
                        with m.Case(Command.RUN):
                            with m.If(~at_end):
                                m.d.sync += status.eq(Status.LENGTH)
                            with m.Elif((run.count != loaded) | (loaded == 0) | in_sample):
                                m.d.sync += status.eq(Status.COUNT)
                            with m.Else():
                                m.d.sync += loaded.eq(0)
                                m.next = "RUN"
                        with m.Case(Command.ROW_READ):
                            with m.If(~at_end):
                                m.d.sync += status.eq(Status.LENGTH)
                            with m.Elif((row.words == 0) | (row.words > most_words)):
                                m.d.sync += status.eq(Status.ARGUMENT)
                            with m.Else():
                                m.next = "ROW"
                        with m.Case(Command.ROW_WRITE):
                            with m.If(length != row_bytes):
                                m.d.sync += status.eq(Status.LENGTH)
                            with m.Else():
                                m.next = "ROW"
                        with m.Case(Command.PROGRAM_WRITE):
                            with m.If(length[:2] != 0):
                                m.d.sync += status.eq(Status.LENGTH)
                            with m.Else():
                                m.next = "DATA"
                        with m.Case(Command.SAMPLES):
                            with m.If(length[0]):
                                m.d.sync += status.eq(Status.LENGTH)
                            with m.Else():
                                m.next = "DATA"
            with m.State("ROW"):
                m.d.comb += core.i_row.valid.eq(core.idle)
                with m.If(core.i_row.ready & core.idle):
                    with m.If(command == Command.ROW_WRITE):
                        m.next = "DATA"
                    with m.Else():
                        m.next = "STATUS"
                escape()
            with m.State("RUN"):
                m.d.comb += core.i_run.valid.eq(1)
                with m.If(core.i_run.ready):
                    m.next = "STATUS"
                escape()
            with m.State("DATA"):
                # Collect the bytes of an item.
                with m.If(at_end & (step == 0)):
                    m.next = "STATUS"
                with m.Else():
                    m.d.comb += advance.eq(1)
                    m.d.sync += [arguments.eq(Cat(arguments[8:], byte)), step.eq(step + 1)]
                    last = Signal(2)
                    with m.Switch(command):
                        with m.Case(Command.ROW_WRITE):
                            m.d.comb += last.eq(config.counter_bytes - 1)
                        with m.Case(Command.PROGRAM_WRITE):
                            m.d.comb += last.eq(3)
                        with m.Default():
                            m.d.comb += last.eq(1)
                    with m.If(step == last):
                        m.next = "ITEM"
            with m.State("ITEM"):
                m.d.sync += step.eq(0)
                taken = Signal()
                with m.Switch(command):
                    with m.Case(Command.ROW_WRITE):
                        m.d.comb += [core.i_counter.valid.eq(1), taken.eq(core.i_counter.ready)]
                    with m.Case(Command.PROGRAM_WRITE):
                        m.d.comb += [core.i_program.valid.eq(core.idle),
                                     taken.eq(core.i_program.ready & core.idle)]
                    with m.Default():
                        with m.If(loaded[-1]):
                            m.d.comb += taken.eq(1)
                            m.d.sync += status.eq(Status.TOO_MANY)
                        with m.Elif(~in_sample):
                            m.d.comb += taken.eq(1)
                            m.d.sync += [in_sample.eq(1), left.eq(item[:8])]
                        with m.Else():
                            m.d.comb += [core.i_sample.valid.eq(1), taken.eq(core.i_sample.ready)]
                            with m.If(core.i_sample.ready):
                                m.d.sync += left.eq(left - 1)
                                with m.If(left < 0):
                                    m.d.sync += [in_sample.eq(0), loaded.eq(loaded + 1)]
                with m.If(taken):
                    m.next = "DATA"
                escape()
            with m.State("STATUS"):
                m.d.comb += [put.payload.eq(status), put.valid.eq(1)]
                m.d.sync += [pointer.eq(0), step.eq(0)]
                with m.If(put.ready):
                    m.next = "CRC HIGH"
                    with m.If(status == Status.OK):
                        with m.Switch(command):
                            with m.Case(Command.RUN):
                                m.next = "RESULTS"
                            with m.Case(Command.ROW_READ):
                                m.next = "COUNTERS"
                            with m.Case(Command.STATISTICS):
                                m.next = "STATISTICS"
            with m.State("RESULTS"):
                m.d.comb += put.payload.eq(Cat(core.o_result.payload.prediction, core.o_result.payload.triggered))
                with m.If(pointer[:6] == run.count[:6]):
                    m.next = "CRC HIGH"
                with m.Else():
                    m.d.comb += [
                        put.valid.eq(core.o_result.valid),
                        core.o_result.ready.eq(put.ready),
                        advance.eq(core.o_result.valid & put.ready),
                    ]
                escape()
            with m.State("COUNTERS"):
                m.d.comb += put.payload.eq(o_counter.word_select(pointer[0], 8)
                                           if config.counter_bytes == 2 else o_counter)
                with m.If(pointer == row_bytes[:width]):
                    m.next = "CRC HIGH"
                with m.Else():
                    m.d.comb += [
                        put.valid.eq(core.o_counter.valid),
                        core.o_counter.ready.eq(put.ready & (pointer[0] | (config.counter_bytes == 1))),
                        advance.eq(core.o_counter.valid & put.ready),
                    ]
                escape()
            with m.State("STATISTICS"):
                m.d.comb += [put.payload.eq(numbers.word_select(pointer[:len(numbers).bit_length() - 3], 8)),
                             put.valid.eq(1), advance.eq(put.ready)]
                with m.If(put.ready & (pointer == len(numbers) // 8 - 1)):
                    m.next = "CRC HIGH"
            with m.State("CRC HIGH"):
                m.d.comb += [put.payload.eq(crc.crc[8:]), put.valid.eq(1), put_crc.eq(0)]
                with m.If(put.ready):
                    m.next = "CRC LOW"
            with m.State("CRC LOW"):
                m.d.comb += [put.payload.eq(crc.crc[:8]), put.valid.eq(1), put_crc.eq(0)]
                with m.If(put.ready):
                    m.next = "COMPLETE"
            with m.State("COMPLETE"):
                m.d.comb += [put.payload.eq(0), put.valid.eq(1), put_crc.eq(0)]
                with m.If(put.ready):
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += encoder.close.eq(1)
                respond(link.response_address)
            with m.State("FILL ANSWER"):
                m.d.comb += advance.eq(1)
                m.d.sync += step.eq(1)
                with m.If(step[0]):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [transmitter.i.payload.eq(byte), transmitter.i.valid.eq(1)]
                with m.If(transmitter.i.ready):
                    m.d.comb += advance.eq(1)
                    with m.If(byte == 0):
                        m.next = "IDLE"

        with m.If(decoder.done):
            m.d.sync += [hold.eq(1), status.eq(decoder.status)]
        with m.If(receiver.broken):
            m.d.comb += self.reset.eq(1)
            m.d.sync += [broken.eq(1), sequence.eq(0), loaded.eq(0), in_sample.eq(0)]
        return m
