"""What a network would take on a board, told at once: cycles, bounds, look-up tables, memory."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from ..hw.ports import PHASES
from ..hw.program import CapacityError
from ..model.config import MAX_BATCH, NetworkConfig
from .area import array_luts
from .boards import Board
from .estimate import BlockUse, memory_use
from .roofline import Roofline, find_roofline
from .schedule import OVERHEADS, Schedule, compile_blank, plan_batches

__all__ = ["Forecast", "Work", "forecast", "forecast_table", "with_array"]

CAUSES = dict(zip(OVERHEADS, (
    "network's words", "jobs' starts", "pace of sums", "last sums", "waits for updates", "waits for samples",
    "waits for results", "reading records"), strict=True))
"""What people call `schedule.OVERHEADS`."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Training, or inference, of a sample.

    Members
    -------
    batch
        Samples a batch.
    roofline
        The bounds.
    schedule
        The estimate, a batch.
    """

    batch: int
    roofline: Roofline
    schedule: Schedule

    @property
    def cycles(self) -> float:
        return self.schedule.cycles / self.batch

    @property
    def phases(self) -> dict[str, float]:
        """Cycles a sample by the core's statistics, and those in which it is idle."""
        phases = {name: self.schedule.phases[name] / self.batch for name in PHASES}
        return phases | {"between batches": self.cycles - sum(phases.values())}

    @property
    def causes(self) -> dict[str, float]:
        """Cycles a sample by what the array does: see `OVERHEADS`."""
        return {name: self.schedule.causes[name] / self.batch for name in OVERHEADS}

    @property
    def distance(self) -> float:
        """Cycles over the roofline's; 1 is as good as can be."""
        return self.cycles / self.roofline.cycles

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "cycles_per_sample": self.cycles, "cycles": self.phases, "causes": self.causes,
            "array_phases": {name: cycles / self.batch for name, cycles in self.schedule.jobs.items()},
            "updater": self.schedule.updater / self.batch, "loader": self.schedule.loader / self.batch,
            "rows_updated": self.schedule.rows / self.batch, "bounds": self.roofline.to_dict(),
            "distance": self.distance}


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A network on a board.

    Members
    -------
    board, network, batch, trigger
        What was asked for.
    train, infer
        By what is done.
    luts
        Look-up tables, placed, by block.
    memory
        Blocks.
    """

    board: Board
    network: NetworkConfig
    batch: int
    trigger: float
    train: Work
    infer: Work
    luts: dict[str, float]
    memory: BlockUse

    @property
    def lacking(self) -> list[str]:
        """What the device has too little of."""
        device = self.board.device
        needs = {"look-up tables": (sum(self.luts.values()), device.lut4),
                 "block RAM": (self.memory.block_ram, device.block_ram),
                 "single-ported RAM": (self.memory.spram, device.spram)}
        return [name for name, (needed, available) in needs.items() if needed > available]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        device, total = self.board.device, sum(self.luts.values())
        return {
            "board": self.board.name, "layers": list(self.network.layers), "groups": list(self.network.groups),
            "classes": self.network.classes, "batch": self.batch, "trigger": self.trigger,
            "clock_mhz": self.board.clock_hz / 1e6, "bit_ops": self.board.config.bit_ops,
            "update_lanes": self.board.config.update_lanes, "train": self.train.to_dict(),
            "infer": self.infer.to_dict(), "lut4": round(total), "lut4_available": device.lut4,
            "lut4_by_block": {block: round(luts) for block, luts in self.luts.items()},
            "luts_per_bit_op": total / self.board.config.bit_ops,
            "element_luts_per_bit_op": self.luts["elements"] / self.board.config.bit_ops,
            **asdict(self.memory), "block_ram_available": device.block_ram, "spram_available": device.spram,
            "fits": not self.lacking}


def forecast(board: Board, network: NetworkConfig, *, batch: int = MAX_BATCH, trigger: float = 1.0) -> Forecast:
    """Estimate `network` on the board, in batches of `batch`, a part `trigger` of which updates.

    Raises
    ------
    CapacityError
        The network does not fit the board's array.
    ValueError
        `batch` or `trigger` is out of its range.
    """
    if not 1 <= batch <= MAX_BATCH:
        raise ValueError(f"batch must be from 1 to {MAX_BATCH}, not {batch}")
    if not 0 <= trigger <= 1:
        raise ValueError(f"trigger must be from 0 to 1, not {trigger}")
    try:
        program = compile_blank(network, board.config)
    except CapacityError as error:
        raise CapacityError(f"{'-'.join(map(str, network.layers))} does not fit {board.title}: {error}") from error
    train, infer = (
        Work(batch=batch, schedule=plan_batches(program, batch=batch, trigger=trigger, learn=learn),
             roofline=find_roofline(program, board.link, batch=batch, trigger=trigger, learn=learn))
        for learn in (True, False))
    family = board.device.family
    return Forecast(
        board=board, network=network, batch=batch, trigger=trigger, train=train, infer=infer,
        luts=array_luts(board.config, board.link, family), memory=memory_use(board.config, board.link, family))


def with_array(board: Board, changes: str) -> Board:
    """The board with some of its array's fields changed: "columns=8,update_lanes=128".

    Raises ValueError for what is no such field, or no value for it.
    """
    fields = board.config.to_dict()
    changed = {}
    for change in changes.split(",") if changes else []:
        name, _, text = change.partition("=")
        if name not in fields:
            raise ValueError(f"--array must name fields of the array ({', '.join(fields)}), not {name!r}")
        try:
            changed[name] = text if isinstance(fields[name], str) else type(fields[name])(int(text))
        except ValueError:
            raise ValueError(f"--array: {name} must be a number, not {text!r}") from None
    return dataclasses.replace(board, config=dataclasses.replace(board.config, **changed))


def forecast_table(result: Forecast) -> tuple[Table, Table]:
    """For people: cycles, and what of the device is used."""
    works = result.train, result.infer
    layers, clock = "-".join(map(str, result.network.layers)), result.board.clock_hz / 1e6
    cycles = Table(f"cycles a sample, {layers}", "trained", "inferred", title=result.board.title, title_justify="left",
                   caption=f"estimated: batch {result.batch}, {result.trigger:.0%} triggered", caption_justify="left")
    for column in cycles.columns[1:]:
        column.justify = "right"

    def rows(tables: list[dict[str, float]], names: dict[str, str] | None = None):
        for name in tables[0]:
            cycles.add_row((names or {}).get(name, name), *(f"{table[name]:.1f}" for table in tables))

    limits = [work.roofline.limit for work in works]
    for name in works[0].roofline.bounds:
        cycles.add_row(f"≥ {name}", *(
            f"[bold]{work.roofline.bounds[name]:.1f}[/bold]" if name == limit else f"{work.roofline.bounds[name]:.1f}"
            for work, limit in zip(works, limits, strict=True)))
    cycles.add_section()
    rows([work.phases for work in works])
    cycles.add_row("[bold]all[/bold]", *(f"[bold]{work.cycles:.1f}[/bold]" for work in works))
    cycles.add_row("over the roofline", *(f"× {work.distance:.2f}" for work in works))
    cycles.add_section()
    rows([work.causes for work in works], CAUSES)
    cycles.add_section()
    cycles.add_row(f"samples/s at {clock:g} MHz", *(f"{1e6 * clock / work.cycles:,.0f}" for work in works))
    cycles.add_row(f"… at most, at {result.board.baud / 1e6:g} Mbaud", *(
        f"{1e6 * clock / (work.roofline.link + work.cycles):,.0f}" for work in works))

    device, total = result.board.device, sum(result.luts.values())
    area = Table("look-up tables", "LUT4", "", title=f"{device.name}, {result.board.config.bit_ops:,} bit operations "
                 f"and {result.board.config.update_lanes} counters a cycle", title_justify="left")
    for column in area.columns[1:]:
        column.justify = "right"
    for block, luts in sorted(result.luts.items(), key=lambda item: -item[1]):
        area.add_row(block, f"{luts:,.0f}", f"{luts / total:.0%}")
    area.add_section()
    area.add_row("[bold]all[/bold]", f"[bold]{total:,.0f}[/bold]", f"{total / device.lut4:.0%} of {device.lut4:,}")
    ops = result.board.config.bit_ops
    area.add_row("a bit operation a cycle", f"{total / ops:.1f}", f"elements {result.luts['elements'] / ops:.1f}")
    for name, used, available in (("block RAM", result.memory.block_ram, device.block_ram),
                                  ("single-ported RAM", result.memory.spram, device.spram)):
        if available:
            area.add_row(name, str(used), f"{used / available:.0%} of {available}")
    if result.lacking:
        area.caption, area.caption_style = f"does not fit: too little {', '.join(result.lacking)}", "bold red"
    return cycles, area
