"""Routers that come to no end, made of Python: they are stopped, the next one is tried, and the report says so."""

import json
import stat
import sys

import pytest
from bitprop.synth.boards import find_board
from bitprop.synth.build import BuildError, build
from bitprop.synth.report import table
from bitprop.synth.routing import RouterStalled, RouterWatch, router_error
from rich.console import Console

NEXTPNR = """#!{python}
import json, sys, time
arguments = dict(zip(sys.argv[1:], sys.argv[2:]))
seed, second = int(arguments["--seed"]), "router2" in sys.argv
with open("ran", "a") as ran:
    print(seed, second, file=ran)
print("Info: Routing..")
if (seed, second) in {circles}:
    iteration = 0
    while True:
        iteration += 1000
        print(f"Info: {{iteration}} | {{iteration}} 13256 | 1000 0 | 4857| 0.17 11.01|", flush=True)
        time.sleep(0.001)
if (seed, second) in {errors}:
    sys.exit("ERROR: Failed to route arc 3 of net 'x'")
open(arguments["--asc"], "w").close()
json.dump({{"fmax": {{"clk": {{"achieved": 30.0 + seed, "constraint": 30.0}}}}, "critical_paths": [],
           "utilization": {{"ICESTORM_LC": {{"used": 50, "available": 5280}}}}}}, open(arguments["--report"], "w"))
"""


@pytest.fixture
def place(echo, tmp_path, monkeypatch):
    """Builds with a router that goes in circles, or fails, for such seeds, as first or as second one."""
    def program(name, text):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv(name.upper().replace("-", "_"), str(path))

    def call(seeds, circles=(), errors=()):
        program("nextpnr-ice40", NEXTPNR.format(python=sys.executable, circles=circles, errors=errors))
        program("icepack", '#!/bin/sh\ncp "$1" "$2"\n')
        board = find_board("icebreaker")
        return build(board, top=echo(board), seeds=seeds, folder=tmp_path)

    return call


def shown(report):
    console = Console(record=True, width=200)
    console.print(table(report))
    return console.export_text()


def test_next_router_takes_its_place(place):
    report = place(2, circles=[(1, False)])
    assert [placement.seed for placement in report.placements] == [1, 2]
    assert report.unrouted == []
    reason = "router1 stays at 4857 connections to route"
    assert report.router_failures == {1: [reason]}
    content = json.loads(json.dumps(report.to_dict()))
    assert content["router_failures"] == [{"seed": 1, "reasons": [reason], "routed": True}]
    assert f"seed 1: {reason}; routed by the next one" in shown(report)
    ran = (report.bitstream.parent / "ran").read_text()
    assert ran.splitlines() == ["1 False", "1 True", "2 False"]
    assert place(2, circles=[(1, False)]) == report
    assert (report.bitstream.parent / "ran").read_text() == ran, "nothing is done twice"


def test_seed_that_no_router_routes_is_named(place):
    report = place(3, circles=[(2, False)], errors=[(2, True)])
    assert [placement.seed for placement in report.placements] == [1, 3]
    assert report.unrouted == [2] and report.best.seed == 3
    content = report.to_dict()
    assert content["seeds_unrouted"] == [2] and content["fmax_worst_mhz"] == 31.0
    text, first = shown(report), "router1 stays at 4857 connections to route"
    assert "32.0, 31.0 of 2 routed seeds of 3" in text
    assert f"seed 2: {first}; then Failed to route arc 3 of net 'x'; not routed" in text
    ran = (report.bitstream.parent / "ran").read_text()
    place(3, circles=[(2, False)], errors=[(2, True)])
    assert (report.bitstream.parent / "ran").read_text() == ran, "nothing is done twice"


def test_more_seeds_are_tried_where_none_is_routed(place):
    report = place(1, errors=[(1, False), (1, True), (2, False), (2, True)])
    assert report.unrouted == [1, 2] and report.best.seed == 3


def test_design_that_cannot_be_routed_is_an_error(place):
    always = [(seed, second) for seed in range(1, 10) for second in (False, True)]
    with pytest.raises(BuildError, match="no seed of 1 to 5 could be routed\n  seed 1: Failed to route arc 3 .*; then"):
        place(2, errors=always)


def follow(lines, *, seconds=1.0, before=()):
    """How many of the lines were taken."""
    now = [0.0]
    watch = RouterWatch(lambda: now[0])
    for line in before:
        watch(line)
        now[0] += seconds
    for number, line in enumerate(lines):
        try:
            watch(line)
        except RouterStalled:
            return number
        now[0] += seconds
    return len(lines)


def router1(left):
    return [f"Info: {1000 * number:10} |  2282346      13256 | 1000     0 |{count:10}|       0.17    1121.01|"
            for number, count in enumerate(left, 1)]


def router2(left):
    return [f"Info:     iter={number} wires=55420 overused={count} overuse={count} archfail=NA"
            for number, count in enumerate(left, 1)]


def test_progress_is_not_stopped():
    assert follow(router1(range(500, 0, -1)), seconds=0.1) == 500
    slow = [500 - number // 50 for number in range(3000)]
    assert follow(router1(slow), seconds=0.05) == 3000
    assert follow(router2([9] * 1500 + [8] * 1500), seconds=0.01) == 3000


def test_standing_still_is_stopped():
    assert follow(router1([9, 8] * 200), seconds=0.1) == 102
    assert follow(router2([9] * 3000), seconds=0.01) == 2001


def test_routing_that_takes_much_longer_than_placing_is_stopped():
    placing = ["Info: at iteration #1, type ALL"] * 50
    assert follow(router1(range(9000, 0, -1)), before=placing) == 501
    assert follow(router1(range(9000, 0, -1)), before=placing[:10]) == 301


def test_only_errors_of_the_router_are_taken_as_such():
    assert router_error("Info: Packing\nERROR: no BELs remaining") is None
    assert router_error("Info: Routing..\nInfo: done") is None
    assert router_error("Info: Routing..\nERROR: Failed to route\n2 warnings") == "Failed to route"
