"""Trimming and counting on netlists small enough to check by eye."""

import pytest
from bitprop.synth.mend import absorb_registers, separate_carries, trim_carries
from bitprop.synth.netlist import cells_by_block, find_block, free_states, ignore_collisions, to_verilog, top_module

RTLIL = r"""
module \top
  attribute \no_rw_check 1
  memory width 16 size 256 \free
  memory width 16 size 256 \checked
  cell $memrd_v2 $1
    parameter \MEMID "\\free"
    parameter \WIDTH 16
    parameter \TRANSPARENCY_MASK 2'00
    parameter \COLLISION_X_MASK 2'00
    parameter \CLK_ENABLE 1
  end
  cell $memrd_v2 $2
    parameter \MEMID "\\checked"
    parameter \WIDTH 16
    parameter \TRANSPARENCY_MASK 1'0
    parameter \COLLISION_X_MASK 1'0
  end
end
module \other
  memory width 8 size 512 \free
  cell $memrd_v2 $1
    parameter \MEMID "\\free"
    parameter \COLLISION_X_MASK 1'0
  end
end
"""


def test_collisions_are_ignored_only_where_asked():
    assert ignore_collisions(RTLIL) == RTLIL.replace(r"\COLLISION_X_MASK 2'00", r"\COLLISION_X_MASK 2'11")


def test_state_registers_have_no_initial_value():
    free, kept = "  wire width 3 \\fsm_state\n", "  attribute \\init 3'001\n  wire width 3 \\other\n"
    assert free_states("  attribute \\init 3'000\n" + free + kept) == free + kept
    named = "  attribute \\enum_value_0 \\idle\n" + free
    assert free_states("  attribute \\init 3'000\n" + named) == named


@pytest.mark.parametrize("first, second, carry_in, expected", [
    (2, 2, "0", ([2], ["0"], ["1"])),
    (2, 3, "0", ([2], [3], ["0"])),
    (2, 2, 4, ([2], [2], [4])),
])
def test_only_a_carry_of_one_bit_twice_is_given_it_once(first, second, carry_in, expected):
    pins = {"I0": [first], "I1": [second], "CI": [carry_in], "CO": [9]}
    count = separate_carries({"cells": {"0": {"type": "SB_CARRY", "connections": pins}}})
    assert (pins["I0"], pins["I1"], pins["CI"]) == expected
    assert count == (expected[1] != [second])


def carry(carry_in, carry_out, *, a=2, b=3, c="0", low=10, table="1001011010101010"):
    """A CCU2C as Yosys makes it for an adder; its lowest position adds nets `a` and `b`, if `c` is 0."""
    pins = {"CIN": [carry_in], "A0": [a], "B0": [b], "C0": [c], "D0": ["1"], "A1": [4], "B1": [5], "C1": ["0"],
            "D1": ["1"], "S0": [low], "S1": [11], "COUT": [carry_out]}
    outputs = {"S0", "S1", "COUT"}
    return {"type": "CCU2C", "parameters": {"INIT0": table}, "connections": pins,
            "port_directions": {pin: "output" if pin in outputs else "input" for pin in pins}}


def trimmed(*cells, outputs=(11,)):
    module = {"ports": {"o": {"direction": "output", "bits": list(outputs)}},
              "cells": {str(index): cell for index, cell in enumerate(cells)}}
    count = trim_carries(module)
    return count, [(cell["connections"]["CIN"], cell["connections"]["COUT"]) for cell in cells]


def test_carry_out_that_nothing_reads_is_trimmed():
    assert trimmed(carry("0", 20), carry(20, 21)) == (1, [(["0"], [20]), ([20], ["x"])])
    assert trimmed(carry("0", 20), outputs=(11, 20)) == (0, [(["0"], [20])])


def test_constant_carry_in_is_trimmed_only_where_it_cannot_matter():
    assert trimmed(carry("0", 20, a=2, b=2), outputs=(20,)) == (1, [(["x"], [20])])
    assert trimmed(carry("0", 20, a=2, b=2), outputs=(20, 10)) == (0, [(["0"], [20])]), "the low sum is read"
    assert trimmed(carry("0", 20, a=2, b=2, c=6), outputs=(20,)) == (0, [(["0"], [20])]), "a third bit decides"
    assert trimmed(carry("0", 20, a="1", b="1"), outputs=(20,)) == (1, [(["x"], [20])])
    assert trimmed(carry("0", 20, a="1", b="0"), outputs=(20,)) == (0, [(["0"], [20])]), "it passes its carry-in on"
    assert trimmed(carry(7, 20, a=2, b=2), outputs=(20,)) == (0, [([7], [20])]), "not a constant"


def block_ram_with_register(*, enable="1 ", reset="0", clock=1, read_by=(), registers=2):
    """A block RAM of two outputs that are read, and registers behind them; `read_by` others read an output too."""
    sides = {f"CLK{side}": [1] for side in "AB"} | {f"OCE{side}": ["0"] for side in "AB"}
    cells = {"ram": {
        "type": "DP16KD", "connections": sides | {"DOB0": [10], "DOB1": [11], "DOA0": [12]},
        "parameters": {"CLKAMUX": "CLKA", "CLKBMUX": "CLKB", "REGMODE_A": "NOREG", "REGMODE_B": "NOREG"},
        "port_directions": {pin: "input" for pin in sides} | {pin: "output" for pin in ("DOB0", "DOB1", "DOA0")}}}
    for bit in range(registers):
        cells[f"register_{bit}"] = {
            "type": "TRELLIS_FF", "parameters": {"CEMUX": enable, "CLKMUX": "CLK"},
            "connections": {"CLK": [clock], "DI": [10 + bit], "LSR": [reset], "Q": [20 + bit]},
            "port_directions": {"CLK": "input", "DI": "input", "LSR": "input", "Q": "output"}}
    outputs = [20, 11 if registers < 2 else 21, *read_by]
    return {"ports": {"o": {"direction": "output", "bits": outputs}}, "cells": cells}


def test_registers_go_into_block_ram():
    module = block_ram_with_register()
    assert absorb_registers(module) == 2
    (ram,) = module["cells"].values()
    assert ram["connections"]["DOB0"] == [20] and ram["connections"]["DOB1"] == [21]
    assert [ram["parameters"][f"REGMODE_{side}"] for side in "AB"] == ["OUTREG"] * 2
    assert [ram["connections"][f"OCE{side}"] for side in "AB"] == [["1"]] * 2


@pytest.mark.parametrize("different", [
    {"enable": "INV"}, {"reset": 5}, {"clock": 2}, {"read_by": (10,)}, {"registers": 1}], ids=str)
def test_registers_that_block_ram_does_not_have_stay(different):
    module, before = block_ram_with_register(**different), block_ram_with_register(**different)
    assert absorb_registers(module) == 0
    assert module == before


def test_cells_are_counted_by_block():
    cells = {"core": "$scopeinfo", "core.array": "$scopeinfo", "core.array.sum_LUT4_Z": "LUT4",
             "core.ram.0.0": "SB_RAM40_4K", "core.x.y": "SB_CARRY", "loose": "SB_LUT4", "pin": "SB_IO"}
    pins = {"SB_LUT4": {"O": [5]}, "SB_DFFE": {"D": [5], "Q": [6]}, "SB_DFF": {"D": [6], "Q": [7]}}
    cells |= {"core.array.after_lut": "SB_DFFE", "core.array.alone": "SB_DFF"}
    module = {"ports": {}, "cells": {
        name: {"type": kind, "connections": pins.get(kind, {}), "port_directions": {"D": "input", "Q": "output"}}
        for name, kind in cells.items()}}
    assert cells_by_block(module) == {
        "": {"lut4": 2, "flip_flop": 2, "lone_flip_flop": 1, "block_ram": 1, "carry": 1},
        "core": {"lut4": 1, "flip_flop": 2, "lone_flip_flop": 1, "block_ram": 1, "carry": 1},
        "core.array": {"lut4": 1, "flip_flop": 2, "lone_flip_flop": 1},
    }
    assert cells_by_block(module, depth=1).keys() == {"", "core"}
    assert find_block("core.array.deeper.q", {"core", "core.array"}) == "core.array"
    assert find_block("coreless.q", {"core"}) == ""


def test_top_module_is_the_only_one_that_is_no_primitive():
    netlist = {"modules": {"LUT4": {"attributes": {"blackbox": "1"}}, "top": {"attributes": {"top": "1"}}}}
    assert top_module(netlist) is netlist["modules"]["top"]
    netlist["modules"]["rest"] = {"attributes": {}}
    with pytest.raises(ValueError, match="one module, not 2"):
        top_module(netlist)


def test_verilog_has_the_same_cells_on_the_same_nets():
    ports = {"clk": {"direction": "input", "bits": [2]}, "pin": {"direction": "inout", "bits": [3]}}
    module = {"ports": ports, "cells": {
        "block": {"type": "$scopeinfo", "parameters": {}, "connections": {}, "port_directions": {}},
        "block.a": {"type": "CCU2C", "parameters": {"INIT0": "0110", "INJECT1_0": "NO", "CEMUX": "1 "},
                    "connections": {"A0": [2], "C": [7, "1", 8, "x"], "COUT": ["x"], "S0": [3]},
                    "port_directions": {"A0": "input", "C": "input", "COUT": "output", "S0": "output"}}}}
    assert to_verilog(module) == """module top (clk, pin);
  inout clk;
  inout pin;
  wire n7;
  wire n8;
  CCU2C #(.INIT0(4'h6), .INJECT1_0("NO"), .CEMUX("1")) c1 (.A0({clk}), .C({1'bx, n8, 1'h1, n7}), .S0({pin}));
endmodule
"""
    ports["clk"]["bits"] = [2, 4]
    with pytest.raises(ValueError, match="port clk must have one bit, not 2"):
        to_verilog(module)
