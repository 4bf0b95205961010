"""What is done to the netlist between synthesis and place and route, as JSON.

All that this module holds decides what is placed: builds are made anew where it has changed.
"""

from collections import Counter

__all__ = ["absorb_registers", "count_readers", "mend", "separate_carries", "trim_carries"]


def mend(module: dict, family: str) -> None:
    """All that is done to the netlist of a `family` before place and route."""
    if family == "ecp5":
        trim_carries(module)
        absorb_registers(module)
    else:
        separate_carries(module)


def trim_carries(module: dict) -> int:
    """Disconnect what makes nextpnr-ecp5 spend a CCU2C, that is two LUTs: carry outputs that nothing reads, and
    constant carry inputs where the lowest position has the same sum and carry whatever comes in. Returns how many.
    """
    readers = count_readers(module)
    trimmed = 0
    for cell in module["cells"].values():
        if cell["type"] != "CCU2C":
            continue
        pins = cell["connections"]
        if pins["COUT"] and pins["COUT"] != ["x"] and not readers[pins["COUT"][0]]:
            pins["COUT"] = ["x"]
            trimmed += 1
        if pins["CIN"] in (["0"], ["1"]) and not any(readers[bit] for bit in pins["S0"]) and _generates(cell):
            pins["CIN"] = ["x"]
            trimmed += 1
    return trimmed


def absorb_registers(module: dict) -> int:
    """Move registers that stand right behind ECP5 block RAM into it. Returns how many.

    Block RAM has them at its outputs, but Yosys knows nothing of that; without, its outputs come late in the cycle.
    A block is changed only where all its outputs that are read go to such registers and to nothing else.
    """
    cells = module["cells"]
    readers = count_readers(module)
    plain = {}
    for name, cell in cells.items():
        pins, parameters = cell["connections"], cell["parameters"]
        if (cell["type"] == "TRELLIS_FF" and parameters["CEMUX"].strip() == "1" and pins["LSR"] == ["0"]
                and parameters["CLKMUX"] == "CLK" and readers[pins["DI"][0]] == 1):
            plain[pins["DI"][0]] = name
    absorbed = 0
    for cell in list(cells.values()):
        if cell["type"] != "DP16KD":
            continue
        pins, parameters = cell["connections"], cell["parameters"]
        outputs = {pin: bits[0] for pin, bits in pins.items() if pin.startswith("DO") and bits and readers[bits[0]]}
        registers = {pin: cells[plain[bit]] for pin, bit in outputs.items() if bit in plain}
        clocks = {parameters[f"CLK{side}MUX"] == f"CLK{side}" and pins[f"CLK{side}"][0] for side in "AB"}
        clocks |= {register["connections"]["CLK"][0] for register in registers.values()}
        if not outputs or len(registers) < len(outputs) or len(clocks) > 1 or False in clocks:
            continue
        for pin, register in registers.items():
            del cells[plain[outputs[pin]]]
            pins[pin] = register["connections"]["Q"]
        for side in "AB":
            parameters[f"REGMODE_{side}"], pins[f"OCE{side}"] = "OUTREG", ["1"]
        absorbed += len(registers)
    return absorbed


def separate_carries(module: dict) -> int:
    """Give the carries that only pass a bit on, those of x + x, that bit once: x + 0 with a carry-in of 1. Returns how
    many there are.

    nextpnr-ice40 may feed a LUT's inputs crosswise, and goes round in circles where two of them take the same net.
    """
    separated = 0
    for cell in module["cells"].values():
        pins = cell["connections"]
        if cell["type"] == "SB_CARRY" and pins["I0"] == pins["I1"] and pins["CI"] == ["0"]:
            pins["I1"], pins["CI"] = ["0"], ["1"]
            separated += 1
    return separated


def count_readers(module: dict) -> Counter:
    """How many cells' inputs, and ports, read each net."""
    readers = Counter(bit for port in module["ports"].values() for bit in port["bits"])
    for cell in module["cells"].values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) == "input":
                readers.update(bits)
    return readers


def _generates(cell: dict) -> bool:
    # Position 0 passes its carry-in on where its LUT gives 1: see whether it can, given equal and constant inputs.
    pins, table = cell["connections"], int(cell["parameters"]["INIT0"], 2)
    for state in range(16):
        values = {}
        for index, pin in enumerate(("A0", "B0", "C0", "D0")):
            bit = pins[pin][0]
            value = str(state >> index & 1)
            if bit in ("0", "1") and bit != value or values.setdefault(bit, value) != value:
                break
        else:
            if table >> state & 1:
                return False
    return True
