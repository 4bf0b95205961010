"""What the host and the gateware agree on, without a simulation."""

import random

import pytest
from amaranth.lib.crc import catalog
from bitprop.hw.config import ArrayConfig
from bitprop.hw.link import protocol
from bitprop.hw.link.config import LinkConfig
from bitprop.hw.link.protocol import Capabilities, FrameError, decode_frame, encode_frame


def test_crc_is_the_gatewares():
    gateware = catalog.CRC16_IBM_SDLC(data_width=8)
    for payload in (b"", b"123456789", bytes(300), random.Random(1).randbytes(500)):
        assert gateware.compute(payload) == protocol._CRC.checksum(payload)


@pytest.mark.parametrize("length", [0, 1, 2, 253, 254, 255, 1000])
def test_frames(length):
    for payload in (bytes(length), b"\1" * length, random.Random(length).randbytes(length)):
        frame = encode_frame(payload)
        assert frame.index(0) == len(frame) - 1
        assert decode_frame(frame[:-1]) == payload


def test_every_single_flipped_bit_is_noticed():
    frame = encode_frame(bytes([7, 3, 0, 0, 0, 0, 1, 2, 0, 0, 255]))
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        pieces = [piece for piece in bytes(damaged).split(b"\0") if piece]
        # The last piece of a frame without an end is joined to what comes next.
        if damaged[-1]:
            pieces[-1] += b"\2\1"
        for piece in pieces:
            with pytest.raises(FrameError):
                decode_frame(piece)


@pytest.mark.parametrize("array", [
    ArrayConfig(),
    ArrayConfig(columns=8, lanes=2, update_lanes=64, counter_bits=12, tiles=1 << 16, counter_words=1 << 16,
                pipelined=True, statistic_width=24),
    ArrayConfig(counter_memory="spram"),
])
def test_capabilities(array):
    link = LinkConfig(clock_hz=30_000_000)
    capabilities = link.capabilities(array)
    assert Capabilities.unpack(capabilities.pack()) == capabilities
    image = link.memory_image(array)
    answer = bytes(image[link.identify_address:image.index(0, link.identify_address)])
    assert decode_frame(answer) == bytes([0, 0x80, 0]) + capabilities.pack()
    assert link.identify_address + len(answer) + 1 == link.damage_address + 8


def test_foreign_capabilities():
    packed = LinkConfig(clock_hz=30_000_000).capabilities(ArrayConfig()).pack()
    for wrong, message in [(b"xx" + packed[2:], "not a bitprop core"), (b"bp\x63" + packed[3:], "version"),
                           (packed[:-1], "bytes"), (b"", "nothing")]:
        with pytest.raises(FrameError, match=message):
            Capabilities.unpack(wrong)


@pytest.mark.parametrize(("fields", "message"), [
    ({"clock_hz": 12_000_000, "baud": 7_000_000}, "baud"),
    ({"clock_hz": 12_000_000, "baud": 0}, "baud"),
    ({"clock_hz": 12_000_000, "baud": 2_200_000}, "within 2 %"),
    ({"clock_hz": 12_000_000, "buffer_bytes": 300}, "buffer_bytes"),
    ({"clock_hz": 12_000_000, "buffer_bytes": 128}, "buffer_bytes"),
])
def test_link_config_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        LinkConfig(**fields)


@pytest.mark.parametrize(("fields", "message"), [
    ({"update_lanes": 256}, "update_lanes"),
    ({"update_lanes": 128, "counter_bits": 9}, "update_lanes"),
    ({"fan_in": 4095}, "fan_in"),
])
def test_a_core_too_large(fields, message):
    with pytest.raises(ValueError, match=message):
        LinkConfig(clock_hz=12_000_000).check(ArrayConfig(**fields))


def test_row_arguments():
    assert protocol.pack_row(15, 4095, 4095, 16) == b"\xff\xff\xff\x0f"
    for wrong in ((16, 0, 0, 1), (0, 4096, 0, 1), (0, 0, -1, 1), (0, 0, 0, 0), (0, 0, 0, 17)):
        with pytest.raises(ValueError, match="must be from"):
            protocol.pack_row(*wrong)
