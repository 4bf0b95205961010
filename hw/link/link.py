"""The host link: packets from a serial line to the core and back."""

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from ...model.config import MAX_BATCH
from ..config import ArrayConfig
from ..ports import STATISTICS, CoreSignature
from .config import DAMAGE_SLOT, LinkConfig
from .protocol import ARGUMENT_BYTES, CRC_BYTES, RESPONSE, ROW_WORDS, Command, Status
from .uart import Receiver, Transmitter

__all__ = ["Link"]


class Link(wiring.Component):
    """Executes the requests of a host, one at a time, as `protocol` describes.

    ```
    rx → Receiver ─→ unstuff ─┐                     ┌→ stuff (in place) → Transmitter → tx
                      core ─→ byte ─→ packet memory ┤
                               └→ CRC               └→ arguments, items ─→ core
    ```

    A request is looked at only once it is in memory as a whole and its CRC is right. The packet memory is one
    block RAM with one read and one write port at one address, since the line is used in one direction at a time.

    Requests that read or write rows or the program wait until the core is idle. STATISTICS does not wait, and says
    whether the core was idle: if not, the counters were moving while they were read. A byte of a packet takes two
    cycles besides its time on the line, an answer's four.

    Parameters
    ----------
    config
        The core.
    link
        Speed of the line and size of the memory.

    Raises
    ------
    ValueError
        The packet memory is too small for this core.

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
        link.check(config)
        self._config, self._link = config, link
        super().__init__({
            "core": In(CoreSignature(config)),
            "rx": In(1, init=1),
            "tx": Out(1, init=1),
            "reset": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, link, core = self._config, self._link, self.core
        depth = 2 * link.buffer_bytes

        m.submodules.receiver = receiver = Receiver(link.divisor)
        m.submodules.transmitter = transmitter = Transmitter(link.divisor)
        m.d.comb += [receiver.pin.eq(self.rx), self.tx.eq(transmitter.pin)]
        heard = receiver.o.payload

        crc_restart = Signal()
        crc = catalog.CRC16_IBM_SDLC(data_width=8).create()
        m.submodules.crc = ResetInserter(crc_restart)(crc)

        # A byte is never read in the cycle in which it is written, so no logic is spent on that.
        m.submodules.memory = packets = memory.Memory(
            shape=8, depth=depth, init=link.memory_image(config),
            attrs={"ram_style": "block", "no_rw_check": 1})
        write_port, read_port = packets.write_port(), packets.read_port()

        # Reading, moving and writing: what a state asks for (`…_next`) happens in the next cycle, at `pointer` and
        # before it moves. One more cycle later all that follows from `pointer` has been looked up and is `fresh`.
        pointer = Signal(range(depth))
        byte = read_port.data
        forward, forward_next = Signal(), Signal()
        back, back_next = Signal(), Signal()
        write, write_next = Signal(), Signal()
        checked, checked_next = Signal(), Signal()
        bus, bus_next = Signal(8), Signal(8)
        jump, target = Signal(), Signal.like(pointer)
        fresh = Signal()
        m.d.comb += [
            read_port.addr.eq(pointer),
            write_port.addr.eq(pointer),
            write_port.data.eq(bus),
            write_port.en.eq(write),
            crc.data.eq(bus),
            crc.valid.eq(write & checked),
            transmitter.i.payload.eq(byte),
        ]
        m.d.sync += [
            forward.eq(forward_next),
            back.eq(back_next),
            write.eq(write_next),
            checked.eq(checked_next),
            bus.eq(bus_next),
            fresh.eq(~(forward_next | back_next | write_next | forward | back | write | jump)),
        ]
        with m.If(jump):
            m.d.sync += pointer.eq(target)
        with m.Elif(forward | back):
            m.d.sync += pointer.eq(pointer + Cat(1, back.replicate(len(pointer) - 1)))

        length = Signal(range(depth))  # of the request's data
        sequence = Signal(8)
        repeated = Signal()
        command = Signal(Command)
        status = Signal(Status)
        skipping = Signal()  # in a frame whose beginning was lost
        started = Signal()
        broken = Signal()

        # The bytes up to the next code while unstuffing; the words left of a sample; and, inverted, the bytes
        # since the last zero while stuffing.
        left = Signal(8)
        last = Signal()
        reload, down = Signal(), Signal()
        reload_value = Signal(8)
        m.d.sync += last.eq(left == 1)
        with m.If(reload):
            m.d.sync += left.eq(reload_value)
        with m.Elif(down):
            m.d.sync += left.eq(left - 1)

        # Arguments and items are shifted in from above.
        arguments = Signal(8 * ARGUMENT_BYTES)
        shift, step = Signal(), Signal(range(ARGUMENT_BYTES))
        with m.If(shift):
            m.d.sync += [arguments.eq(Cat(arguments[8:], byte)), step.eq(step + 1)]
        row = data.View(data.StructLayout({"row": 12, "layer": 4, "first": 12, "words": 4}), arguments)
        run = data.View(data.StructLayout({"count": 8, "learn": 8, "time": 8, "unused": 8}), arguments)
        item = arguments[-16:]
        words = Cat(row.words, row.words == 0)
        row_bytes = words << (config.update_lanes * config.counter_bytes).bit_length() - 1

        loaded = Signal(range(MAX_BATCH + 1))
        in_sample = Signal()

        m.d.comb += [
            core.i_row.payload.layer.eq(row.layer),
            core.i_row.payload.row.eq(row.row),
            core.i_row.payload.first.eq(row.first),
            core.i_row.payload.words.eq(words),
            core.i_row.payload.write.eq(command == Command.ROW_WRITE),
            core.i_run.payload.count.eq(run.count),
            core.i_run.payload.learn.eq(run.learn),
            core.i_run.payload.time.eq(run.time),
            core.i_program.payload.address.eq(arguments),
            core.i_program.payload.data.eq(item),
            core.i_sample.payload.data.eq(item),
            core.i_sample.payload.last.eq(last),
            core.i_counter.payload.eq(item if config.counter_bytes == 2 else item[8:]),
        ]
        counter = Signal(signed(8 * config.counter_bytes))
        m.d.comb += counter.eq(core.o_counter.payload)
        statistic_width = -(-config.statistic_width // 8) * 8
        numbers = Cat(core.idle, Const(0, 7), *(
            Cat(core.statistics[index], Const(0, statistic_width - config.statistic_width))
            for index in range(len(STATISTICS))))
        number_count = len(numbers) // 8

        # What follows from `pointer`, beside `byte`.
        at_stop = Signal()  # no more room for a request
        at_end = Signal()  # behind the request
        at_first = Signal()  # in front of the answer
        at_last = Signal()  # behind the answer's data
        number = Signal(8)
        m.d.sync += [
            at_stop.eq(pointer == link.request_bytes + CRC_BYTES),
            at_end.eq(pointer == length),
            at_first.eq(pointer == link.response_address),
            number.eq(numbers.word_select(pointer[:(number_count - 1).bit_length()], 8)),
        ]
        with m.Switch(command):
            # The answer's data begin at a multiple of 256.
            with m.Case(Command.STATISTICS):
                m.d.sync += at_last.eq(pointer[:8] == number_count)
            with m.Case(Command.RUN):
                m.d.sync += at_last.eq(pointer[:6] == run.count[:6])
            with m.Default():
                m.d.sync += at_last.eq(pointer[:8] == row_bytes[:8])

        # What follows from command, arguments and length.
        fits = Signal()
        with m.Switch(command):
            with m.Case(Command.ROW_WRITE):
                m.d.sync += fits.eq(length == row_bytes)
            with m.Case(Command.PROGRAM_WRITE):
                m.d.sync += fits.eq(length[:2] == 0)
            with m.Case(Command.SAMPLES):
                m.d.sync += fits.eq(length[0] == 0)
            with m.Case(Command.ROW_READ):
                most = link.row_words(config)
                m.d.sync += fits.eq((length == 0) & (1 if most == ROW_WORDS else words <= most))
            with m.Default():
                m.d.sync += fits.eq(length == 0)
        counted = Signal()
        m.d.sync += counted.eq((run.count == loaded) & (loaded != 0) & ~in_sample)

        def go(address):
            m.d.comb += [jump.eq(1), target.eq(address)]

        def send(address):
            go(address)
            m.next = "SEND"

        def refuse(why):
            m.d.sync += status.eq(why)

        def escape():
            """Wait no longer for the core after a break."""
            with m.If(broken):
                m.next = "LISTEN"

        def put(state, value, then):
            """A state that writes one byte of the answer."""
            with m.State(state):
                m.d.comb += [bus_next.eq(value), checked_next.eq(1)]
                with m.If(fresh):
                    m.d.comb += [write_next.eq(1), forward_next.eq(1)]
                    m.next = then

        def put_all(state, value, valid, ready=None):
            """A state that writes the data of the answer."""
            with m.State(state):
                m.d.comb += [bus_next.eq(value), checked_next.eq(1)]
                with m.If(fresh):
                    with m.If(at_last):
                        m.next = "PUT CRC LOW"
                    with m.Else():
                        m.d.comb += [write_next.eq(valid), forward_next.eq(valid)]
                        if ready is not None:
                            m.d.comb += ready.eq(pointer[0] if state == "PUT COUNTERS"
                                                 and config.counter_bytes == 2 else 1)
                escape()

        with m.If(receiver.o.valid):
            m.d.sync += skipping.eq(heard.data != 0)

        with m.FSM():
            with m.State("LISTEN"):
                go(link.request_address)
                m.d.comb += [crc_restart.eq(1), reload.eq(1), reload_value.eq(1)]
                m.d.sync += [started.eq(0), status.eq(Status.OK), broken.eq(0)]
                m.next = "UNSTUFF"
            with m.State("UNSTUFF"):
                m.d.comb += [bus_next.eq(Mux(last, 0, heard.data)), checked_next.eq(1), reload_value.eq(heard.data)]
                with m.If(receiver.o.valid):
                    m.d.sync += skipping.eq(skipping & (heard.data != 0))
                with m.If(receiver.o.valid & ~skipping):
                    with m.If(heard.error):
                        refuse(Status.LINE)
                    with m.If(heard.data == 0):
                        m.next = "LISTEN"
                        with m.If(started):
                            m.next = "STEP BACK"
                    with m.Else():
                        m.d.sync += started.eq(1)
                        m.d.comb += [down.eq(1), reload.eq(last)]
                        emit = Signal()
                        m.d.comb += emit.eq(started | ~last)
                        if link.long_blocks:
                            unended = Signal()
                            with m.If(last):
                                m.d.sync += unended.eq(heard.data == 255)
                                m.d.comb += emit.eq(started & ~unended)
                        with m.If(emit):
                            with m.If(at_stop):
                                refuse(Status.OVERSIZED)
                            with m.Else():
                                m.d.comb += [write_next.eq(1), forward_next.eq(1)]
            # Step back over the CRC.
            with m.State("STEP BACK"):
                m.d.comb += back_next.eq(1)
                m.next = "STEP BACK AGAIN"
            with m.State("STEP BACK AGAIN"):
                m.d.comb += back_next.eq(1)
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.sync += step.eq(0)
                with m.If(fresh):
                    m.d.sync += length.eq(pointer)
                    with m.If(status != Status.OK):
                        send(link.damage_address + DAMAGE_SLOT * status)
                    with m.Elif(~last | pointer[-1]):
                        refuse(Status.TRUNCATED)
                    with m.Elif(~crc.match_detected):
                        refuse(Status.CHECKSUM)
                    with m.Else():
                        go(link.request_address)
                        m.next = "SEQUENCE"

            with m.State("SEQUENCE"):
                with m.If(fresh):
                    m.d.sync += [repeated.eq((byte == sequence) & (sequence != 0)), sequence.eq(byte)]
                    m.d.comb += forward_next.eq(1)
                    m.next = "COMMAND"
            with m.State("COMMAND"):
                with m.If(fresh):
                    with m.If(repeated & (byte[:3] == command)):
                        send(link.response_address)
                    with m.Else():
                        m.d.sync += command.eq(byte)
                        with m.If(byte[3:] != 0):
                            refuse(Status.UNKNOWN)
                        m.d.comb += forward_next.eq(1)
                        m.next = "ARGUMENTS"
            with m.State("ARGUMENTS"):
                with m.If(fresh):
                    m.d.comb += [shift.eq(1), forward_next.eq(1)]
                    with m.If(step == ARGUMENT_BYTES - 1):
                        m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(fresh):
                    m.next = "ANSWER"
                    with m.If(status == Status.OK):
                        with m.If(~fits):
                            refuse(Status.LENGTH)
                        with m.Else():
                            with m.Switch(command):
                                with m.Case(Command.IDENTIFY):
                                    m.d.sync += sequence.eq(0)
                                    send(link.identify_address)
                                with m.Case(Command.RESET):
                                    m.d.comb += self.reset.eq(1)
                                    m.d.sync += [loaded.eq(0), in_sample.eq(0)]
                                with m.Case(Command.RUN):
                                    with m.If(counted):
                                        m.next = "RUN"
                                    with m.Else():
                                        refuse(Status.COUNT)
                                with m.Case(Command.ROW_READ, Command.ROW_WRITE):
                                    m.next = "ROW"
                                with m.Case(Command.PROGRAM_WRITE, Command.SAMPLES):
                                    m.next = "DATA"

            with m.State("RUN"):
                m.d.comb += core.i_run.valid.eq(1)
                m.d.sync += loaded.eq(0)
                with m.If(core.i_run.ready):
                    m.next = "ANSWER"
                escape()
            with m.State("ROW"):
                m.d.comb += core.i_row.valid.eq(core.idle)
                with m.If(core.idle & core.i_row.ready):
                    m.next = "ANSWER"
                    with m.If(command == Command.ROW_WRITE):
                        m.next = "DATA"
                escape()
            with m.State("DATA"):
                with m.If(fresh):
                    with m.If(at_end):
                        m.next = "ANSWER"
                        with m.If((command == Command.SAMPLES) & in_sample):
                            refuse(Status.COUNT)
                    with m.Else():
                        m.d.comb += [shift.eq(1), forward_next.eq(1)]
                        with m.Switch(command):
                            with m.Case(Command.ROW_WRITE):
                                with m.If(step[0] if config.counter_bytes == 2 else 1):
                                    m.next = "ITEM"
                            with m.Case(Command.PROGRAM_WRITE):
                                with m.If(step == 3):
                                    m.next = "ITEM"
                            with m.Default():
                                with m.If(step[0]):
                                    m.next = "ITEM"
            with m.State("ITEM"):
                m.d.comb += reload_value.eq(item)
                with m.Switch(command):
                    with m.Case(Command.ROW_WRITE):
                        m.d.comb += core.i_counter.valid.eq(1)
                        with m.If(core.i_counter.ready):
                            m.next = "DATA"
                    with m.Case(Command.PROGRAM_WRITE):
                        m.d.comb += core.i_program.valid.eq(core.idle)
                        with m.If(core.idle & core.i_program.ready):
                            m.next = "DATA"
                    with m.Default():
                        with m.If(in_sample):
                            m.d.comb += core.i_sample.valid.eq(1)
                            with m.If(core.i_sample.ready):
                                m.d.comb += down.eq(1)
                                m.next = "DATA"
                                with m.If(last):
                                    m.d.sync += [in_sample.eq(0), loaded.eq(loaded + 1)]
                        with m.Elif(loaded == MAX_BATCH):
                            refuse(Status.COUNT)
                            m.next = "ANSWER"
                        with m.Else():
                            m.d.comb += reload.eq(1)
                            m.d.sync += in_sample.eq(1)
                            m.next = "DATA"
                escape()

            with m.State("ANSWER"):
                go(link.response_address + 1)
                m.d.comb += crc_restart.eq(1)
                m.next = "PUT SEQUENCE"
            put("PUT SEQUENCE", sequence, "PUT COMMAND")
            put("PUT COMMAND", command | RESPONSE, "PUT STATUS")
            with m.State("PUT STATUS"):
                m.d.comb += [bus_next.eq(status), checked_next.eq(1)]
                with m.If(fresh):
                    m.d.comb += [write_next.eq(1), forward_next.eq(1)]
                    m.next = "PUT CRC LOW"
                    with m.If(status == Status.OK):
                        with m.Switch(command):
                            with m.Case(Command.RUN):
                                m.next = "PUT RESULTS"
                            with m.Case(Command.ROW_READ):
                                m.next = "PUT COUNTERS"
                            with m.Case(Command.STATISTICS):
                                m.next = "PUT STATISTICS"
            put_all("PUT RESULTS", core.o_result.payload, core.o_result.valid, core.o_result.ready)
            put_all("PUT COUNTERS", counter if config.counter_bytes == 1 else counter.word_select(pointer[0], 8),
                    core.o_counter.valid, core.o_counter.ready)
            put_all("PUT STATISTICS", number, Const(1, 1))
            with m.State("PUT CRC LOW"):
                m.d.comb += bus_next.eq(crc.crc[:8])
                with m.If(fresh):
                    m.d.comb += [write_next.eq(1), forward_next.eq(1)]
                    m.next = "PUT CRC HIGH"
            with m.State("PUT CRC HIGH"):
                m.d.comb += bus_next.eq(crc.crc[8:])
                with m.If(fresh):
                    m.d.comb += [write_next.eq(1), forward_next.eq(1)]
                    m.next = "PUT END"
            with m.State("PUT END"):
                m.d.comb += reload_value.eq(~1)
                with m.If(fresh):
                    m.d.comb += [write_next.eq(1), back_next.eq(1), reload.eq(1)]
                    m.next = "STUFF"
            with m.State("STUFF"):
                # From the end back: each zero, and the place in front, becomes the distance to the next zero.
                m.d.comb += [bus_next.eq(~left), reload_value.eq(~1)]
                with m.If(fresh):
                    m.d.comb += [down.eq(1), back_next.eq(~at_first)]
                    with m.If(at_first | (byte == 0)):
                        m.d.comb += [write_next.eq(1), reload.eq(1)]
                    with m.If(at_first):
                        m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += transmitter.i.valid.eq(fresh)
                with m.If(fresh & transmitter.i.ready):
                    m.d.comb += forward_next.eq(1)
                    with m.If(byte == 0):
                        m.next = "LISTEN"

        with m.If(receiver.broken):
            m.d.comb += self.reset.eq(1)
            m.d.sync += [broken.eq(1), sequence.eq(0), loaded.eq(0), in_sample.eq(0)]
        return m
