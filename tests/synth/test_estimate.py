"""The memory estimate against the elaborated design, against Yosys, and its errors."""

import dataclasses
import json
from collections import Counter

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Fragment, Instance, Module, Signal
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib.memory import Memory
from bitprop.hw.config import ArrayConfig
from bitprop.hw.core import Core
from bitprop.hw.link.link import Link
from bitprop.synth.boards import BOARDS
from bitprop.synth.build import BuildError, build
from bitprop.synth.estimate import MemoryShape, block_ram, check_memory, memories, memory_use
from bitprop.synth.netlist import ignore_collisions, top_module
from bitprop.synth.tools import run


def elaborated(fragment):
    """Width, depth and granularity of every memory in the design, and of every block RAM that is instantiated."""
    if isinstance(fragment, MemoryInstance):
        (write,) = fragment._write_ports
        yield len(write._data), fragment._data.depth, len(write._data) // len(write._en)
    if isinstance(fragment, Instance) and fragment.type == "SB_RAM40_4K":
        yield 16, 256, 1
    for subfragment, _, _ in fragment.subfragments:
        yield from elaborated(subfragment)


@pytest.mark.parametrize("config", [
    *(board.config for board in BOARDS.values()),
    ArrayConfig(columns=3, lanes=1, update_lanes=32, counter_bits=5, counter_words=300, rank_words=77, tiles=33),
], ids=[*BOARDS, "odd"])
def test_every_memory_of_the_design_is_counted(config):
    link = BOARDS["icebreaker"].link
    found = Counter()
    for design in (Core(config), Link(config, link)):
        found.update(elaborated(Fragment.get(design, None)))
    listed = Counter()
    for memory in memories(config, link):
        if memory.granularity == 1:
            listed[16, 256, 1] += memory.count * block_ram(memory, "ice40")
        else:
            listed[memory.width, memory.depth, memory.granularity or memory.width] += memory.count
    assert found == listed


SHAPES = [
    (16, 256, None), (16, 256, 8), (16, 64, 8), (16, 512, 8), (16, 1024, 8), (16, 1280, 8), (16, 1280, None),
    (32, 256, 16), (48, 256, 16),
    (12, 1024, None), (18, 256, 9), (40, 256, 10), (16, 32, None), (36, 64, 9), (16, 100, None), (64, 4096, None),
    (80, 1024, None), (128, 1280, None), (128, 2560, None), (36, 2560, None), (20, 2560, None), (128, 640, None),
]


@pytest.mark.parametrize("family, synthesis", [("ice40", "synth_ice40"), ("ecp5", "synth_ecp5 -nowidelut -nodsp")])
def test_blocks_are_those_that_synthesis_takes(family, synthesis, tmp_path):
    m = Module()
    ports = []
    for index, shape in enumerate(SHAPES):
        ports += add_memory(m, f"memory_{index}", *shape)
    (tmp_path / "top.il").write_text(ignore_collisions(rtlil.convert(m, ports=ports, name="top")))
    run("yosys", "-q", "-p", f"read_rtlil top.il; {synthesis} -top top -run begin:map_ffram; "
        "select top; write_json -selected top.json",
        folder=tmp_path, log=tmp_path / "log")
    cells = top_module(json.loads((tmp_path / "top.json").read_text()))["cells"]
    taken = Counter(name.split(".")[0] for name, cell in cells.items()
                    if cell["type"].endswith(("SB_RAM40_4K", "DP16KD")))
    estimated = [block_ram(MemoryShape(name="it", width=width, depth=depth, granularity=granularity), family)
                 for width, depth, granularity in SHAPES]
    assert dict(zip(SHAPES, estimated, strict=True)) == {
        shape: taken[f"memory_{index}"] for index, shape in enumerate(SHAPES)}


def add_memory(m, name, width, depth, granularity):
    """A memory with all its ports brought out; returns them."""
    m.submodules[name] = memory = Memory(shape=width, depth=depth, init=[], attrs={"no_rw_check": 1})
    write = memory.write_port() if granularity is None else memory.write_port(granularity=granularity)
    read = memory.read_port()
    ports = []
    for pin, value, inward in [("write_address", write.addr, True), ("write_data", write.data, True),
                               ("write_enable", write.en, True), ("read_address", read.addr, True),
                               ("read_data", read.data, False)]:
        port = Signal(len(value), name=f"{name}_{pin}")
        m.d.comb += value.eq(port) if inward else port.eq(value)
        ports.append(port)
    return ports


@pytest.mark.parametrize("name", BOARDS)
def test_presets_fit(name):
    check_memory(BOARDS[name])


def test_what_does_not_fit_is_named_with_what_would():
    board = BOARDS["icebreaker"]
    board = dataclasses.replace(board, config=dataclasses.replace(board.config, tiles=1024, weight_memory="copied"))
    with pytest.raises(ValueError) as caught:
        check_memory(board)
    message = str(caught.value)
    assert "takes 85 block RAMs of 30" in message
    assert "weights: 16 × 16 bits × 1024 words, block RAMs: 64" in message
    assert "What would fit: tiles=128" in message
    with pytest.raises(BuildError, match="cannot hold this configuration"):
        build(board)


def test_single_ported_memory_has_so_many_words():
    board = BOARDS["icebreaker"]
    board = dataclasses.replace(board, config=dataclasses.replace(board.config, counter_words=65536))
    with pytest.raises(ValueError, match="(?s)and 16 single-ported RAMs of 4\n.*What would fit: counter_words=16384"):
        check_memory(board)


def test_boards_that_would_do_are_named():
    board = BOARDS["hx8k"]
    board = dataclasses.replace(board, config=dataclasses.replace(board.config, counter_words=16384))
    with pytest.raises(ValueError, match="Boards that it fits: ulx3s-85f, ulx3s-85f-small$"):
        check_memory(board)


def test_single_ported_memory_exists_on_one_family():
    config = dataclasses.replace(BOARDS["icebreaker"].config, counter_memory="spram")
    with pytest.raises(ValueError, match="UltraPlus only"):
        memory_use(config, BOARDS["ulx3s-85f"].link, "ecp5")
