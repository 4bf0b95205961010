"""The host link: packets from a serial line to the core and back."""

from contextlib import contextmanager
from enum import IntEnum

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


class _State(IntEnum):
    """What the link does. One follows the other unless it says something else."""

    LISTEN = 0  # get ready for a frame
    UNSTUFF = 1  # take it apart as it comes
    STEP_BACK = 2  # over its CRC
    STEP_BACK_AGAIN = 3
    JUDGE = 4
    DISPATCH = 5  # to SEQUENCE, or to SEND that it is damaged
    SEQUENCE = 6
    COMMAND = 7  # to SEND the stored answer if both are the last request's
    ARGUMENTS = 8
    CHECK = 9  # to START, DATA or ANSWER
    START = 10  # a run or a row; to ANSWER if no data follow
    DATA = 11  # collect an item; to ANSWER at the end
    TAKE = 12  # until the item is there as a whole
    ITEM = 13  # give it to the core; to DATA
    ANSWER = 14  # get ready for an answer
    PUT_SEQUENCE = 15
    PUT_COMMAND = 16
    PUT_STATUS = 17
    PUT_DATA = 18
    PUT_CRC_LOW = 19
    PUT_CRC_HIGH = 20
    PUT_END = 21
    STUFF = 22  # the answer in place, from its end back
    SEND = 23  # to LISTEN


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
    whether the core was idle: if not, the counters were moving while they were read. Besides its time on the line a
    byte of a request takes about five cycles, one of an answer eight.

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
        # before it moves. Three more cycles later all that follows from `pointer` has been looked up and is `fresh`.
        pointer = Signal(range(depth))
        byte = Signal(8)
        forward, forward_next = Signal(), Signal()
        back, back_next = Signal(), Signal()
        write, write_next = Signal(), Signal()
        checked, checked_next = Signal(), Signal()
        bus, bus_next = Signal(8), Signal(8)
        jump, jump_next = Signal(), Signal()
        target, target_next = Signal.like(pointer), Signal.like(pointer)
        fresh, settled, moves, moved, zero = Signal(), Signal(), Signal(), Signal(2), Signal()
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
            jump.eq(jump_next),
            target.eq(target_next),
        ]
        m.d.comb += [moves.eq(forward | back | write | jump), fresh.eq(settled & ~moves)]
        m.d.sync += [
            moved.eq(Cat(moves, moved)), settled.eq(~(moves | moved.any())),
            byte.eq(read_port.data), zero.eq(byte == 0)]
        with m.If(jump):
            m.d.sync += pointer.eq(target)
        with m.Elif(forward | back):
            m.d.sync += pointer.eq(pointer + Cat(1, back.replicate(len(pointer) - 1)))

        length = Signal(range(depth))  # of the request's data
        sequence = Signal(8)
        repeated = Signal()
        command = Signal(Command)
        status = Signal(Status)
        failed, failure, failure_next = Signal(), Signal(Status), Signal(Status)  # a cycle before it is the status
        forget, clear = Signal(), Signal()  # the last request; all that is loaded
        skipping = Signal()  # in a frame whose beginning was lost
        started = Signal()

        # What a state asks for happens in the next cycle here too.
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
        shift, shift_next, step = Signal(), Signal(), Signal(range(ARGUMENT_BYTES))
        m.d.sync += shift.eq(shift_next)
        with m.If(shift):
            m.d.sync += [arguments.eq(Cat(arguments[8:], byte)), step.eq(step + 1)]
        row = data.View(data.StructLayout({"row": 12, "layer": 4, "first": 12, "words": 4}), arguments)
        run = data.View(data.StructLayout({"count": 8, "learn": 8, "time": 8, "unused": 8}), arguments)
        item = arguments[-16:]
        words = Cat(row.words, row.words == 0)
        row_bytes = words << (config.update_lanes * config.counter_bytes).bit_length() - 1

        loaded = Signal(range(MAX_BATCH + 1))
        in_sample, paired = Signal(), Signal()

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
            core.i_sample.payload.data.eq(Mux(last, item, arguments[-len(core.i_sample.payload.data):])),
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
        at_last = Signal()  # behind the answer's data, which begin at a multiple of 256
        number = Signal(8)
        m.d.sync += [
            at_stop.eq(pointer == link.request_bytes + CRC_BYTES),
            at_end.eq(pointer == length),
            at_first.eq(pointer == link.response_address),
            at_last.eq(1),
            number.eq(numbers.word_select(pointer[:(number_count - 1).bit_length()], 8)),
        ]
        with m.If(status == Status.OK):
            with m.Switch(command):
                with m.Case(Command.STATISTICS):
                    m.d.sync += at_last.eq(pointer[:8] == number_count)
                with m.Case(Command.RUN):
                    m.d.sync += at_last.eq(pointer[:6] == run.count[:6])
                with m.Case(Command.ROW_READ):
                    m.d.sync += at_last.eq(pointer[:8] == row_bytes[:8])

        # What follows from command, arguments and length.
        fits = Signal()
        counted, accepted = Signal(), Signal()
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
        m.d.sync += accepted.eq(fits & (status == Status.OK))
        # The next byte makes an item; the item is a sample's number of words, for which there may be no room.
        whole, opening, full = Signal(), Signal(), Signal()
        with m.Switch(command):
            with m.Case(Command.ROW_WRITE):
                m.d.sync += whole.eq(step[0] if config.counter_bytes == 2 else 1)
            with m.Case(Command.PROGRAM_WRITE):
                m.d.sync += whole.eq(step == 3)
            with m.Default():
                m.d.sync += whole.eq(step[0])
        m.d.sync += [
            opening.eq((command == Command.SAMPLES) & ~in_sample), full.eq(loaded == MAX_BATCH)]
        m.d.sync += counted.eq((run.count == loaded) & (loaded != 0) & ~in_sample)

        state = Signal(_State, name="fsm_state")  # see `synth.netlist.free_states`
        leave, then = Signal(), Signal(_State)
        with m.If(receiver.broken):
            m.d.sync += [state.eq(_State.LISTEN), sequence.eq(0), loaded.eq(0), in_sample.eq(0)]
            m.d.comb += self.reset.eq(1)
        with m.Elif(leave):
            m.d.sync += state.eq(then)

        with m.If(receiver.o.valid & (skipping | (state != _State.UNSTUFF))):
            m.d.sync += skipping.eq(~heard.blank)

        # What is offered to the core, what it has taken, and what is taken from it come from registers, so that the
        # states' decoding is not on the way into it, nor what the core does on the way into the states.
        offers = {name: Signal(name=f"offer_{name}")
                  for name in ("i_run", "i_row", "i_counter", "i_program", "i_sample")}
        for name, valid in offers.items():
            m.d.comb += getattr(core, name).valid.eq(valid)
            m.d.sync += valid.eq(0)

        given = Signal()
        m.d.sync += given.eq(Cat(valid & getattr(core, name).ready for name, valid in offers.items()).any())

        def offer(name, may=1):
            m.d.sync += offers[name].eq(may & ~given & ~(offers[name] & getattr(core, name).ready))

        m.d.sync += [core.o_result.ready.eq(0), core.o_counter.ready.eq(0), failed.eq(0), failure.eq(failure_next),
                     reload.eq(0), down.eq(0)]
        with m.If(failed):
            m.d.sync += status.eq(failure)
        m.d.sync += [forget.eq(0), clear.eq(0)]
        with m.If(forget):
            m.d.sync += sequence.eq(0)
        with m.If(clear):
            m.d.comb += self.reset.eq(1)
            m.d.sync += [loaded.eq(0), in_sample.eq(0)]

        @contextmanager
        def at(here):
            with m.Case(here):
                m.d.comb += then.eq(_State((here + 1) % len(_State)))
                yield

        with m.Switch(state):
            with at(_State.LISTEN):
                m.d.comb += [
                    jump_next.eq(1), target_next.eq(link.request_address),
                    crc_restart.eq(1),
                    leave.eq(1),
                ]
                m.d.sync += [started.eq(0), status.eq(Status.OK), reload.eq(1), reload_value.eq(1)]
            with at(_State.UNSTUFF):
                emit = Signal()
                m.d.comb += [
                    bus_next.eq(Mux(last, 0, heard.data)), checked_next.eq(1),
                    failure_next.eq(Mux(at_stop & emit & ~heard.blank, Status.OVERSIZED, Status.LINE)),
                    emit.eq(started | ~last),
                ]
                if link.long_blocks:
                    unended = Signal()
                    m.d.comb += emit.eq(~last | (started & ~unended))
                with m.If(~started):
                    m.d.comb += then.eq(_State.LISTEN)
                with m.If(receiver.o.valid & ~skipping):
                    m.d.comb += leave.eq(heard.blank)
                    with m.If(heard.error):
                        m.d.sync += failed.eq(1)
                    with m.If(~heard.blank):
                        m.d.sync += started.eq(1)
                        m.d.sync += [down.eq(1), reload.eq(last), reload_value.eq(heard.data)]
                        if link.long_blocks:
                            with m.If(last):
                                m.d.sync += unended.eq(heard.data == 255)
                        with m.If(emit):
                            m.d.comb += [write_next.eq(~at_stop), forward_next.eq(~at_stop)]
                            with m.If(at_stop):
                                m.d.sync += failed.eq(1)
            for twice in (_State.STEP_BACK, _State.STEP_BACK_AGAIN):
                with at(twice):
                    m.d.comb += [back_next.eq(1), leave.eq(1)]
            with at(_State.JUDGE):
                m.d.comb += leave.eq(fresh)
                m.d.sync += [length.eq(pointer), step.eq(0)]
                with m.If(fresh & (status == Status.OK)):
                    with m.If(~last | pointer[-1]):
                        m.d.sync += status.eq(Status.TRUNCATED)
                    with m.Elif(~crc.match_detected):
                        m.d.sync += status.eq(Status.CHECKSUM)
            with at(_State.DISPATCH):
                m.d.comb += [jump_next.eq(1), target_next.eq(link.request_address), leave.eq(1)]
                with m.If(status != Status.OK):
                    m.d.comb += [target_next.eq(link.damage_address + DAMAGE_SLOT * status), then.eq(_State.SEND)]

            with at(_State.SEQUENCE):
                m.d.comb += [forward_next.eq(fresh), leave.eq(fresh)]
                with m.If(fresh):
                    m.d.sync += [repeated.eq((byte == sequence) & (sequence != 0)), sequence.eq(byte)]
            with at(_State.COMMAND):
                m.d.comb += [
                    target_next.eq(link.response_address), leave.eq(fresh), failure_next.eq(Status.UNKNOWN)]
                with m.If(repeated & (byte[:3] == command)):
                    m.d.comb += [jump_next.eq(fresh), then.eq(_State.SEND)]
                with m.Else():
                    m.d.comb += forward_next.eq(fresh)
                with m.If(fresh):
                    m.d.sync += command.eq(byte)
                    with m.If(byte[3:] != 0):
                        m.d.sync += failed.eq(1)
            with at(_State.ARGUMENTS):
                m.d.comb += [
                    shift_next.eq(fresh), forward_next.eq(fresh), leave.eq(fresh & (step == ARGUMENT_BYTES - 1))]
            with at(_State.CHECK):
                m.d.comb += [
                    target_next.eq(link.identify_address), leave.eq(fresh), then.eq(_State.ANSWER),
                    failure_next.eq(Mux(accepted, Status.COUNT, Status.LENGTH))]
                with m.If(fresh & accepted):
                    with m.Switch(command):
                        with m.Case(Command.IDENTIFY):
                            m.d.comb += [jump_next.eq(1), then.eq(_State.SEND)]
                            m.d.sync += forget.eq(1)
                        with m.Case(Command.RESET):
                            m.d.sync += clear.eq(1)
                        with m.Case(Command.RUN):
                            with m.If(counted):
                                m.d.comb += then.eq(_State.START)
                            with m.Else():
                                m.d.sync += failed.eq(1)
                        with m.Case(Command.ROW_READ, Command.ROW_WRITE):
                            m.d.comb += then.eq(_State.START)
                        with m.Case(Command.PROGRAM_WRITE, Command.SAMPLES):
                            m.d.comb += then.eq(_State.DATA)
                with m.Elif(fresh & (status == Status.OK)):
                    m.d.sync += failed.eq(1)

            with at(_State.START):
                m.d.comb += leave.eq(given)
                with m.If(command == Command.RUN):
                    offer("i_run")
                    m.d.sync += loaded.eq(0)
                with m.Else():
                    offer("i_row")
                with m.If(command != Command.ROW_WRITE):
                    m.d.comb += then.eq(_State.ANSWER)
            with at(_State.DATA):
                m.d.comb += [leave.eq(fresh & (whole | at_end)), failure_next.eq(Status.COUNT)]
                with m.If(at_end):
                    m.d.comb += then.eq(_State.ANSWER)
                    with m.If(fresh & (command == Command.SAMPLES) & in_sample):
                        m.d.sync += failed.eq(1)
                with m.Else():
                    m.d.comb += [shift_next.eq(fresh), forward_next.eq(fresh)]
            with at(_State.TAKE):
                m.d.comb += leave.eq(1)
            with at(_State.ITEM):
                m.d.comb += [then.eq(_State.DATA), failure_next.eq(Status.COUNT)]
                m.d.sync += reload_value.eq(item)
                m.d.comb += leave.eq(given | opening)
                with m.If(opening):
                    with m.If(full):
                        m.d.comb += then.eq(_State.ANSWER)
                        m.d.sync += failed.eq(1)
                    with m.Else():
                        m.d.sync += [reload.eq(1), in_sample.eq(1), paired.eq(config.load_words == 2)]
                with m.Else():
                    with m.Switch(command):
                        with m.Case(Command.ROW_WRITE):
                            offer("i_counter")
                        with m.Case(Command.PROGRAM_WRITE):
                            offer("i_program", core.idle)
                        with m.Default():
                            # Of a pair of words the second is offered, and the first with it.
                            with m.If(paired & ~last):
                                m.d.sync += given.eq(~given)
                            with m.Else():
                                offer("i_sample")
                            if config.load_words == 2:
                                m.d.sync += paired.eq(paired ^ given)
                            m.d.sync += down.eq(given)
                            with m.If(given & last):
                                m.d.sync += [in_sample.eq(0), loaded.eq(loaded + 1)]

            with at(_State.ANSWER):
                m.d.comb += [jump_next.eq(1), target_next.eq(link.response_address + 1), crc_restart.eq(1), leave.eq(1)]
            with at(_State.PUT_SEQUENCE):
                m.d.comb += [bus_next.eq(sequence), checked_next.eq(1)]
                m.d.comb += [write_next.eq(fresh), forward_next.eq(fresh), leave.eq(fresh)]
            with at(_State.PUT_COMMAND):
                m.d.comb += [bus_next.eq(command | RESPONSE), checked_next.eq(1)]
                m.d.comb += [write_next.eq(fresh), forward_next.eq(fresh), leave.eq(fresh)]
            with at(_State.PUT_STATUS):
                m.d.comb += [bus_next.eq(status), checked_next.eq(1)]
                m.d.comb += [write_next.eq(fresh), forward_next.eq(fresh), leave.eq(fresh)]
            with at(_State.PUT_DATA):
                some, take = Signal(), Signal()
                m.d.comb += [
                    checked_next.eq(1),
                    leave.eq(fresh & at_last),
                    take.eq(fresh & ~at_last),
                    write_next.eq(take & some), forward_next.eq(take & some),
                ]
                with m.Switch(command):
                    with m.Case(Command.RUN):
                        m.d.comb += [bus_next.eq(core.o_result.payload), some.eq(core.o_result.valid)]
                        m.d.sync += core.o_result.ready.eq(take & some)
                    with m.Case(Command.ROW_READ):
                        m.d.comb += [bus_next.eq(counter), some.eq(core.o_counter.valid)]
                        if config.counter_bytes == 2:
                            m.d.comb += bus_next.eq(counter.word_select(pointer[0], 8))
                        m.d.sync += core.o_counter.ready.eq(
                            take & some & (pointer[0] if config.counter_bytes == 2 else 1))
                    with m.Default():
                        m.d.comb += [bus_next.eq(number), some.eq(1)]
            with at(_State.PUT_CRC_LOW):
                m.d.comb += bus_next.eq(crc.crc[:8])
                m.d.comb += [write_next.eq(fresh), forward_next.eq(fresh), leave.eq(fresh)]
            with at(_State.PUT_CRC_HIGH):
                m.d.comb += bus_next.eq(crc.crc[8:])
                m.d.comb += [write_next.eq(fresh), forward_next.eq(fresh), leave.eq(fresh)]
            with at(_State.PUT_END):
                m.d.sync += [reload.eq(1), reload_value.eq(~1)]
                m.d.comb += [write_next.eq(fresh), back_next.eq(fresh), leave.eq(fresh)]
            with at(_State.STUFF):
                # Each zero, and the place in front, becomes the distance to the next zero.
                m.d.comb += [
                    bus_next.eq(~left),
                    back_next.eq(fresh & ~at_first),
                    leave.eq(fresh & at_first),
                ]
                with m.If(fresh & (at_first | zero)):
                    m.d.comb += write_next.eq(1)
                    m.d.sync += reload.eq(1)
                m.d.sync += [down.eq(fresh), reload_value.eq(~1)]
            with at(_State.SEND):
                sent = Signal()
                m.d.comb += [
                    transmitter.i.valid.eq(fresh),
                    sent.eq(fresh & transmitter.i.ready),
                    forward_next.eq(sent),
                    leave.eq(sent & zero),
                    then.eq(_State.LISTEN),
                ]
        return m
