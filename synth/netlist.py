"""What is done with the design between the tools: before synthesis as RTLIL, for simulation as Verilog; and its cells
counted. For what is done before place and route see `mend`."""

import re
from collections import Counter
from collections.abc import Iterator

from .mend import count_readers

__all__ = ["cells_by_block", "find_block", "free_states", "ignore_collisions", "prepare", "to_verilog", "top_module"]

KINDS = {
    "SB_LUT4": "lut4", "LUT4": "lut4", "CCU2C": "carry", "SB_CARRY": "carry",
    "TRELLIS_FF": "flip_flop", "TRELLIS_DPR16X4": "lut_ram",
    "SB_RAM40_4K": "block_ram", "DP16KD": "block_ram", "PDPW16KD": "block_ram", "SB_SPRAM256KA": "spram",
    "SB_MAC16": "dsp", "MULT18X18D": "dsp", "ALU54B": "dsp",
}
"""What a primitive counts as; a CCU2C carries for two LUTs."""

ICE40_FLIP_FLOP = "SB_DFF"
"""How the names of all of them begin."""


def prepare(rtlil: str) -> str:
    """All that is done to the design before synthesis."""
    return free_states(ignore_collisions(rtlil))


def ignore_collisions(rtlil: str) -> str:
    """Mark the reads of every memory that has the attribute `no_rw_check` as undefined where the same address is
    written in the same cycle.

    Yosys heeds the attribute only where it makes a read synchronous itself. Amaranth's reads are synchronous from
    the start, and would get some 25 LUTs and 40 flip-flops a block RAM to return what was there before.
    """
    modules = re.split(r"^(?=module )", rtlil, flags=re.MULTILINE)
    return "".join(_ignore_collisions_in(module) for module in modules)


def _ignore_collisions_in(module: str) -> str:
    memories = {re.escape(match[1]) for match in re.finditer(
        r"^ *attribute \\no_rw_check 1\n(?: *attribute .*\n)* *memory .* \\(\S+)$", module, flags=re.MULTILINE)}
    if not memories:
        return module
    return re.sub(
        rf'(cell \$memrd_v2 \S+\n(?: *parameter .*\n)*? *parameter \\MEMID "\\\\(?:{"|".join(memories)})"\n'
        r"(?: *parameter .*\n)*? *parameter \\COLLISION_X_MASK )(\d+)'0+$",
        lambda match: f"{match[1]}{match[2]}'{'1' * int(match[2])}", module, flags=re.MULTILINE)


def free_states(rtlil: str) -> str:
    """Take the initial values from the state registers of Amaranth's state machines, those called `fsm_state`.

    Yosys codes a state machine anew, a bit a state, only if its register has none. Here each is set by the reset that
    comes with the clock. It saves levels of logic.
    """
    return re.sub(r"^ *attribute \\init .*\n((?: *attribute .*\n)* *wire .*\\fsm_state)$", r"\1", rtlil,
                  flags=re.MULTILINE)


def top_module(netlist: dict) -> dict:
    """The one module that is not a primitive.

    Raises
    ------
    ValueError
        The netlist is not flat.
    """
    modules = [module for module in netlist["modules"].values()
               if not int(module["attributes"].get("blackbox", "0"), 2)
               and not int(module["attributes"].get("whitebox", "0"), 2)]
    if len(modules) != 1:
        raise ValueError(f"the netlist must have one module, not {len(modules)}")
    return modules[0]


def to_verilog(module: dict, name: str = "top") -> str:
    """The netlist's module with its primitives, for a simulator, just as place and route reads it.

    Yosys would write the design's names for nets, which are long and give the same net several times: compiling
    would take twice as long.
    """
    names = {}
    for port, content in module["ports"].items():
        if len(content["bits"]) != 1:
            raise ValueError(f"port {port} must have one bit, not {len(content['bits'])}")
        names[content["bits"][0]] = port
    lines = [f"module {name} ({', '.join(module['ports'])});"]
    lines += [f"  inout {port};" for port in module["ports"]]  # as the pads are
    nets = {bit for cell in module["cells"].values() for bits in cell["connections"].values() for bit in bits}
    for net in sorted(net for net in nets if isinstance(net, int) and net not in names):
        names[net] = f"n{net}"
        lines.append(f"  wire n{net};")
    for number, cell in enumerate(module["cells"].values()):
        if cell["type"] == "$scopeinfo":
            continue
        parameters = ", ".join(f".{key}({_literal(value)})" for key, value in cell["parameters"].items())
        pins = []
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] == "output" and not any(isinstance(bit, int) for bit in bits):
                continue  # trimmed
            pins.append(f".{pin}({{{', '.join(names.get(bit) or _literal(bit) for bit in reversed(bits))}}})")
        lines.append(f"  {cell['type']} #({parameters}) c{number} ({', '.join(pins)});")
    return "\n".join([*lines, "endmodule\n"])


def _literal(value: str) -> str:
    # Yosys ends strings that look like bits with a blank.
    if re.fullmatch("[01]+", value):
        return f"{len(value)}'h{int(value, 2):x}"
    if re.fullmatch("[01xz]+", value):
        return f"{len(value)}'b{value}"
    return f'"{value[:-1] if re.fullmatch("[01xz]+ +", value) else value}"'


def cells_by_block(module: dict, depth: int = 4) -> dict[str, dict[str, int]]:
    """Cells of each kind in each block of the hierarchy down to `depth`, blocks within blocks included; "" is all.

    `lone_flip_flop` counts those of the iCE40's flip-flops that take a logic cell of their own, because no LUT feeds
    them, or one that others read too.
    """
    blocks = _blocks(module)
    lone = _lone_flip_flops(module)
    counts: dict[str, Counter] = {"": Counter()}
    for name, cell in module["cells"].items():
        kind = "flip_flop" if cell["type"].startswith(ICE40_FLIP_FLOP) else KINDS.get(cell["type"])
        if kind is None:
            continue
        kinds = (kind, "lone_flip_flop") if name in lone else (kind,)
        counts[""].update(kinds)
        for block in _ancestors(find_block(name, blocks)):
            if block and block.count(".") < depth:
                counts.setdefault(block, Counter()).update(kinds)
    return {block: dict(count) for block, count in sorted(counts.items())}


def _lone_flip_flops(module: dict) -> set[str]:
    cells = module["cells"]
    readers = count_readers(module)
    fed = {cell["connections"]["O"][0] for cell in cells.values() if cell["type"] == "SB_LUT4"}
    return {name for name, cell in cells.items() if cell["type"].startswith(ICE40_FLIP_FLOP)
            and not (cell["connections"]["D"][0] in fed and readers[cell["connections"]["D"][0]] == 1)}


def _blocks(module: dict) -> set[str]:
    return {name for name, cell in module["cells"].items() if cell["type"] == "$scopeinfo"}


def find_block(cell: str, blocks: set[str]) -> str:
    """Innermost of `blocks` that a cell belongs to, by its name; "" if none."""
    return next((block for block in reversed(list(_ancestors(cell))) if block in blocks), "")


def _ancestors(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])
