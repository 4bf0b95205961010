"""The host link: packets from a serial line to the core and back."""

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out

from ...model.config import MAX_BATCH
from ..config import ArrayConfig
from ..ports import STATISTICS, CoreSignature
from .config import DAMAGE_SLOT, LinkConfig
from .protocol import ARGUMENT_BYTES, RESPONSE, ROW_WORDS, Command, Status
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

        pointer = Signal(range(depth))
        byte = read_port.data
        fresh = Signal()  # `byte` is the one at `pointer`
        # One adder and one set of constants: written out in each state they would be many.
        forward, back, jump = Signal(), Signal(), Signal()
        target = Signal.like(pointer)
        bus, write, checked = Signal(8), Signal(), Signal()
        m.d.comb += [
            read_port.addr.eq(pointer),
            write_port.addr.eq(pointer),
            transmitter.i.payload.eq(byte),
            write_port.data.eq(bus),
            write_port.en.eq(write),
            crc.data.eq(bus),
            crc.valid.eq(write & checked),
        ]
        m.d.sync += fresh.eq(~(forward | back | jump | write))
        with m.If(jump):
            m.d.sync += pointer.eq(target)
        with m.Elif(forward | back):
            m.d.sync += pointer.eq(pointer + Cat(1, back.replicate(len(pointer) - 1)))

        length = Signal(range(depth))  # of the request's data
        at_end = Signal()
        m.d.comb += at_end.eq(pointer == length)

        sequence = Signal(8)
        repeated = Signal()
        command = Signal(Command)
        status = Signal(Status)
        skipping = Signal()  # in a frame whose beginning was lost
        started = Signal()
        broken = Signal()
        step = Signal(range(ARGUMENT_BYTES))

        # The bytes up to the next code while unstuffing; the words left of a sample; and, inverted, the bytes
        # since the last zero while stuffing.
        left = Signal(8)
        last = Signal()
        reload, down = Signal(), Signal()
        reload_value = Signal(8)
        m.d.comb += last.eq(left == 1)
        with m.If(reload):
            m.d.sync += left.eq(reload_value)
        with m.Elif(down):
            m.d.sync += left.eq(left - 1)

        # Arguments and items are shifted in from above.
        arguments = Signal(8 * ARGUMENT_BYTES)
        shift = Signal()
        with m.If(shift):
            m.d.sync += [arguments.eq(Cat(arguments[8:], byte)), step.eq(step + 1)]
        row = data.View(data.StructLayout({"row": 12, "layer": 4, "first": 12, "words": 4}), arguments)
        run = data.View(data.StructLayout({"count": 8, "learn": 8, "time": 8, "unused": 8}), arguments)
        item = arguments[-16:]
        words = Cat(row.words, row.words == 0)
        word_bytes = config.update_lanes * config.counter_bytes

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
        statistic_width = -(-config.statistic_width // 8) * 8
        numbers = Cat(core.idle, Const(0, 7), *(
            Cat(core.statistics[index], Const(0, statistic_width - config.statistic_width))
            for index in range(len(STATISTICS))))
        statistic_count = len(numbers) // 8
        m.d.comb += counter.eq(core.o_counter.payload)

        def go(address):
            m.d.comb += [jump.eq(1), target.eq(address)]

        def put(when=1):
            m.d.comb += [write.eq(when), forward.eq(when)]

        def send(address):
            go(address)
            m.next = "SEND"

        def refuse(why):
            m.d.sync += status.eq(why)

        def escape():
            """Wait no longer for the core after a break."""
            with m.If(broken):
                m.next = "LISTEN"

        with m.If(receiver.o.valid):
            m.d.sync += skipping.eq(heard.data != 0)

        with m.FSM():
            with m.State("LISTEN"):
                go(link.request_address)
                m.d.comb += crc_restart.eq(1)
                m.d.comb += [reload.eq(1), reload_value.eq(1)]
                m.d.sync += [started.eq(0), status.eq(Status.OK), broken.eq(0)]
                m.next = "UNSTUFF"
            with m.State("UNSTUFF"):
                m.d.comb += [checked.eq(1), bus.eq(Mux(last, 0, heard.data)), reload_value.eq(heard.data)]
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
                        m.d.comb += emit.eq(1)
                        with m.If(last):
                            m.d.comb += emit.eq(started)
                            if link.long_blocks:
                                unended = Signal()
                                m.d.sync += unended.eq(heard.data == 255)
                                m.d.comb += emit.eq(started & ~unended)
                        with m.If(emit):
                            with m.If(pointer == link.request_bytes + 2):
                                refuse(Status.OVERSIZED)
                            with m.Else():
                                put()
            with m.State("STEP BACK"):
                m.d.comb += back.eq(1)
                m.next = "STEP BACK AGAIN"
            with m.State("STEP BACK AGAIN"):
                m.d.comb += back.eq(1)
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.sync += [length.eq(pointer), step.eq(0)]
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
                    m.d.comb += forward.eq(1)
                    m.next = "COMMAND"
            with m.State("COMMAND"):
                with m.If(fresh):
                    with m.If(repeated & (byte[:3] == command)):
                        send(link.response_address)
                    with m.Else():
                        m.d.sync += command.eq(byte)
                        with m.If(byte[3:] != 0):
                            refuse(Status.UNKNOWN)
                        m.d.comb += forward.eq(1)
                        m.next = "ARGUMENTS"
            with m.State("ARGUMENTS"):
                with m.If(fresh):
                    m.d.comb += [shift.eq(1), forward.eq(1)]
                    with m.If(step == ARGUMENT_BYTES - 1):
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "ANSWER"
                with m.If(status == Status.OK):
                    fits = Signal()
                    with m.Switch(command):
                        with m.Case(Command.ROW_WRITE):
                            m.d.comb += fits.eq(length == (words << word_bytes.bit_length() - 1))
                        with m.Case(Command.PROGRAM_WRITE):
                            m.d.comb += fits.eq(length[:2] == 0)
                        with m.Case(Command.SAMPLES):
                            m.d.comb += fits.eq(length[0] == 0)
                        with m.Case(Command.ROW_READ):
                            m.d.comb += fits.eq((length == 0) & (words <= link.row_words(config)
                                                                 if link.row_words(config) < ROW_WORDS else 1))
                        with m.Default():
                            m.d.comb += fits.eq(length == 0)
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
                                with m.If((run.count != loaded) | (loaded == 0) | in_sample):
                                    refuse(Status.COUNT)
                                with m.Else():
                                    m.next = "RUN"
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
                with m.If(at_end):
                    m.next = "ANSWER"
                    with m.If((command == Command.SAMPLES) & in_sample):
                        refuse(Status.COUNT)
                with m.Elif(fresh):
                    m.d.comb += [shift.eq(1), forward.eq(1)]
                    whole = Signal()
                    with m.Switch(command):
                        with m.Case(Command.ROW_WRITE):
                            m.d.comb += whole.eq(step[0] if config.counter_bytes == 2 else 1)
                        with m.Case(Command.PROGRAM_WRITE):
                            m.d.comb += whole.eq(step == 3)
                        with m.Default():
                            m.d.comb += whole.eq(step[0])
                    with m.If(whole):
                        m.next = "ITEM"
            with m.State("ITEM"):
                taken = Signal()
                m.d.comb += reload_value.eq(item)
                with m.Switch(command):
                    with m.Case(Command.ROW_WRITE):
                        m.d.comb += [core.i_counter.valid.eq(1), taken.eq(core.i_counter.ready)]
                    with m.Case(Command.PROGRAM_WRITE):
                        m.d.comb += [core.i_program.valid.eq(core.idle),
                                     taken.eq(core.idle & core.i_program.ready)]
                    with m.Default():
                        with m.If(in_sample):
                            m.d.comb += [core.i_sample.valid.eq(1), taken.eq(core.i_sample.ready)]
                            with m.If(core.i_sample.ready):
                                m.d.comb += down.eq(1)
                                with m.If(last):
                                    m.d.sync += [in_sample.eq(0), loaded.eq(loaded + 1)]
                        with m.Elif(loaded == MAX_BATCH):
                            refuse(Status.COUNT)
                            m.next = "ANSWER"
                        with m.Else():
                            m.d.comb += [taken.eq(1), reload.eq(1)]
                            m.d.sync += in_sample.eq(1)
                with m.If(taken):
                    m.next = "DATA"
                escape()

            with m.State("ANSWER"):
                go(link.response_address + 1)
                m.d.comb += crc_restart.eq(1)
                m.next = "PUT SEQUENCE"
            with m.State("PUT SEQUENCE"):
                m.d.comb += [checked.eq(1), bus.eq(sequence)]
                put()
                m.next = "PUT COMMAND"
            with m.State("PUT COMMAND"):
                m.d.comb += [checked.eq(1), bus.eq(command | RESPONSE)]
                put()
                m.next = "PUT STATUS"
            with m.State("PUT STATUS"):
                m.d.comb += [checked.eq(1), bus.eq(status)]
                put()
                m.next = "PUT CRC LOW"
                with m.If(status == Status.OK):
                    with m.Switch(command):
                        with m.Case(Command.RUN):
                            m.next = "PUT RESULTS"
                        with m.Case(Command.ROW_READ):
                            m.next = "PUT COUNTERS"
                        with m.Case(Command.STATISTICS):
                            m.next = "PUT STATISTICS"
            # From here on the lower bits of `pointer` are the number of data bytes in the answer.
            with m.State("PUT RESULTS"):
                m.d.comb += [checked.eq(1), bus.eq(core.o_result.payload)]
                with m.If(pointer[:6] == run.count[:6]):
                    m.next = "PUT CRC LOW"
                with m.Else():
                    m.d.comb += core.o_result.ready.eq(1)
                    put(core.o_result.valid)
                escape()
            with m.State("PUT COUNTERS"):
                m.d.comb += checked.eq(1)
                if config.counter_bytes == 2:
                    m.d.comb += bus.eq(Mux(pointer[0], counter[8:], counter[:8]))
                else:
                    m.d.comb += bus.eq(counter)
                with m.If(pointer[:8] == (words << word_bytes.bit_length() - 1)):
                    m.next = "PUT CRC LOW"
                with m.Else():
                    m.d.comb += core.o_counter.ready.eq(pointer[0] if config.counter_bytes == 2 else 1)
                    put(core.o_counter.valid)
                escape()
            with m.State("PUT STATISTICS"):
                number = numbers.word_select(pointer[:(statistic_count - 1).bit_length()], 8)
                m.d.comb += [checked.eq(1), bus.eq(number)]
                put()
                with m.If(pointer[:8] == statistic_count - 1):
                    m.next = "PUT CRC LOW"
            with m.State("PUT CRC LOW"):
                m.d.comb += bus.eq(crc.crc[:8])
                put()
                m.next = "PUT CRC HIGH"
            with m.State("PUT CRC HIGH"):
                m.d.comb += bus.eq(crc.crc[8:])
                put()
                m.next = "PUT END"
            with m.State("PUT END"):
                m.d.comb += write.eq(1)
                m.d.comb += back.eq(1)
                m.d.comb += [reload.eq(1), reload_value.eq(~1)]
                m.next = "STUFF"
            with m.State("STUFF"):
                # From the end back: each zero, and the place before all, becomes the distance to the next zero.
                first = Signal()
                m.d.comb += [bus.eq(~left), first.eq(pointer == link.response_address)]
                m.d.comb += reload_value.eq(~1)
                with m.If(fresh):
                    m.d.comb += down.eq(1)
                    with m.If(first | (byte == 0)):
                        m.d.comb += [write.eq(1), reload.eq(1)]
                    with m.If(first):
                        m.next = "SEND"
                    with m.Else():
                        m.d.comb += back.eq(1)
            with m.State("SEND"):
                m.d.comb += transmitter.i.valid.eq(fresh)
                with m.If(fresh & transmitter.i.ready):
                    m.d.comb += forward.eq(1)
                    with m.If(byte == 0):
                        m.next = "LISTEN"

        with m.If(receiver.broken):
            m.d.comb += self.reset.eq(1)
            m.d.sync += [broken.eq(1), sequence.eq(0), loaded.eq(0), in_sample.eq(0)]
        return m
