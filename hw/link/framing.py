"""Consistent Overhead Byte Stuffing, in both directions, straight into and out of a memory."""

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .protocol import Status

__all__ = ["Decoder", "Encoder"]

_FULL = 255
"""Code of a block that is followed by no zero: 254 bytes."""


class Decoder(wiring.Component):
    """Takes frames apart: a byte to store for every decoded one, and a verdict at every end of frame.

    Parameters
    ----------
    start
        Address of the first byte; addresses wrap at `2**width`.
    stop
        Address that is not written any more: a frame that goes on is `OVERSIZED`.
    width
        Of addresses. One at or above `2**(width - 1)` at the end means that a frame was too short.

    Members
    -------
    i : In(stream), always ready
        Bytes of the line, with `error` for a damaged one.
    hold : In(1)
        A frame is being worked on: what comes now is dropped. What is then left of a frame is `BUSY`.
    match : In(1)
        The CRC of the bytes stored is right.
    valid, address, data : Out
        Store `data` at `address`.
    restart : Out(1)
        The CRC begins anew.
    done : Out(1)
        A frame has ended, and its verdict is `status`.
    length : Out(width)
        Address behind the last byte stored, kept until the next frame begins.
    """

    def __init__(self, *, start: int, stop: int, width: int):
        self._start, self._stop = start, stop
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"data": 8, "error": 1}), always_ready=True)),
            "hold": In(1),
            "match": In(1),
            "valid": Out(1),
            "address": Out(width),
            "data": Out(8),
            "restart": Out(1),
            "done": Out(1),
            "status": Out(3),
            "length": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        byte = self.i.payload.data
        started = Signal()
        left = Signal(8, init=1)  # 1: the next byte is a code
        full = Signal()
        error = Signal(3)
        emit = Signal()
        at_code, at_end = Signal(), Signal()
        m.d.comb += [
            at_code.eq(left == 1),
            at_end.eq(byte == 0),
            self.address.eq(self.length),
        ]
        with m.If(~at_code):
            m.d.comb += self.data.eq(byte)
        with m.If(error != Status.OK):
            m.d.comb += self.status.eq(error)
        with m.Elif(self.i.payload.error):
            m.d.comb += self.status.eq(Status.LINE)
        with m.Elif(~at_code | self.length[-1]):
            m.d.comb += self.status.eq(Status.TRUNCATED)
        with m.Elif(~self.match):
            m.d.comb += self.status.eq(Status.CHECKSUM)
        with m.If(self.i.valid):
            m.d.sync += started.eq(~at_end)
            with m.If(at_end):
                m.d.comb += [self.restart.eq(~self.hold), self.done.eq(started & ~self.hold)]
                m.d.sync += [error.eq(Status.OK), left.eq(1)]
            with m.Elif(self.hold):
                m.d.sync += error.eq(Status.BUSY)
            with m.Else():
                with m.If(~started):
                    m.d.sync += self.length.eq(self._start)
                with m.If(at_code):
                    m.d.sync += [left.eq(byte), full.eq(byte == _FULL)]
                    m.d.comb += emit.eq(started & ~full)
                with m.Else():
                    m.d.sync += left.eq(left - 1)
                    m.d.comb += emit.eq(1)
                with m.If(error == Status.OK):
                    with m.If(self.i.payload.error):
                        m.d.sync += error.eq(Status.LINE)
                    with m.Elif(emit):
                        with m.If(self.length == self._stop):
                            m.d.sync += error.eq(Status.OVERSIZED)
                        with m.Else():
                            m.d.comb += self.valid.eq(1)
                            m.d.sync += self.length.eq(self.length + 1)
        return m


class Encoder(wiring.Component):
    """Puts a frame together in memory: a zero ends a block and is replaced by the length of the next.

    Parameters
    ----------
    start
        Address of the frame.
    length
        Most bytes that it takes.
    width
        Of addresses.

    Members
    -------
    open : In(1)
        Begin a frame.
    i : In(stream)
        Bytes of the frame; ready but for one cycle after 254 bytes without a zero. The byte behind the last is a
        zero that the frame does not have; it completes the last block.
    close : In(1)
        In a cycle after that zero: terminate the frame.
    valid, address, data : Out
        Store `data` at `address`.
    """

    def __init__(self, *, start: int, length: int, width: int):
        self._start, self._length = start, length
        super().__init__({
            "open": In(1),
            "i": In(stream.Signature(8)),
            "close": In(1),
            "valid": Out(1),
            "address": Out(width),
            "data": Out(8),
        })

    def elaborate(self, platform):
        m = Module()
        behind = Signal.like(self.address)
        block = Signal.like(self.address)  # address of the code of the block that grows
        code = Signal(8, init=1)
        full = code == _FULL if self._length > _FULL else Const(0)
        next_block = Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            next_block.eq(full | (self.i.payload == 0)),
            self.valid.eq(self.i.valid | self.close),
            self.address.eq(block),
        ]
        with m.If(~self.close):
            m.d.comb += self.data.eq(self.i.payload)
            with m.If(next_block):
                m.d.comb += self.data.eq(code)
            with m.Else():
                m.d.comb += self.address.eq(behind)
        with m.If(self.open):
            m.d.sync += [behind.eq(self._start + 1), block.eq(self._start), code.eq(1)]
        with m.Elif(self.i.valid):
            m.d.sync += [behind.eq(behind + 1), code.eq(code + 1)]
            with m.If(next_block):
                m.d.sync += [block.eq(behind), code.eq(1)]
        return m
