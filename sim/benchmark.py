"""A network on a board's simulated core, with all that can be said of its speed: `bitprop bench`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from ..hw.ports import PHASES
from ..model.config import MAX_BATCH, NetworkConfig
from ..synth.boards import Board
from ..synth.build import find_build
from ..synth.forecast import CAUSES, Forecast, forecast
from ..synth.report import BuildReport
from .cycles import CycleCount, measure_cycles, model_seconds
from .workload import Workload

__all__ = ["Benchmark", "benchmark_table", "run_benchmark"]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What was measured, beside what was foretold.

    Members
    -------
    forecast
        Bounds and estimates; the network, the batch.
    train, infer
        Counts of the simulated core.
    build
        Of the board, if it has been placed.
    model_seconds
        Of the golden model, for a trained sample.
    """

    forecast: Forecast
    train: CycleCount
    infer: CycleCount
    build: BuildReport | None
    model_seconds: float

    @property
    def clock_mhz(self) -> float:
        """Median Fmax of the placements, or else the clock that the board is built for."""
        return self.build.fmax_median_mhz if self.build else self.forecast.board.clock_hz / 1e6

    @property
    def clock(self) -> str:
        """What `clock_mhz` is."""
        if self.build:
            return f"median Fmax of {len(self.build.placements)} placed"
        return "target, not placed"

    @property
    def luts(self) -> float:
        """LUT4s, placed or estimated."""
        return self.build.uses["lut4"].used if self.build else sum(self.forecast.luts.values())

    def pairs(self):
        """Name, count, and the forecast of it."""
        return ("train", self.train, self.forecast.train), ("infer", self.infer, self.forecast.infer)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        board = self.forecast.board
        found = {
            "board": board.name, "layers": list(self.forecast.network.layers),
            "groups": list(self.forecast.network.groups), "classes": self.forecast.network.classes,
            "batch": self.forecast.batch, "trigger": self.forecast.trigger, "clock_mhz": self.clock_mhz,
            "clock": self.clock, "target_mhz": board.clock_hz / 1e6, "bit_ops": board.config.bit_ops,
            "update_lanes": board.config.update_lanes, "lut4": round(self.luts), "lut4_placed": self.build is not None,
            "luts_per_bit_op": self.luts / board.config.bit_ops, "model_seconds_per_sample": self.model_seconds}
        for name, count, work in self.pairs():
            found[name] = count.to_dict() | {
                "samples_per_second": 1e6 * self.clock_mhz / count.cycles, "bounds": work.roofline.to_dict(),
                "distance": count.cycles / work.roofline.cycles, "estimate": work.to_dict(),
                "estimate_error": work.cycles / count.cycles - 1}
        return found


def run_benchmark(board: Board, network: NetworkConfig, *, batch: int = MAX_BATCH, trigger: float = 1.0,
                  progress: Callable[[str], None] = lambda step: None) -> Benchmark:
    """Measure `network` on the board's core. Errors as of `forecast`, `measure_cycles` and `find_build`."""
    workload = Workload(network=network, batch=batch, trigger=trigger)
    foretold = forecast(board, workload.network, batch=batch, trigger=trigger)
    progress(f"{board.title}: compiling and counting")
    train, infer = measure_cycles(board.config, workload)
    progress(f"{board.title}: looking for placements")
    return Benchmark(forecast=foretold, train=train, infer=infer, build=find_build(board),
                     model_seconds=model_seconds(workload))


def benchmark_table(result: Benchmark) -> Table:
    """For people."""
    foretold = result.forecast
    table = Table(
        f"cycles a sample, {'-'.join(map(str, foretold.network.layers))}", "trained", "estimate", "inferred",
        "estimate", title=f"{foretold.board.title}, batch {foretold.batch}, {foretold.trigger:.0%} triggered",
        title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    works = [(count, work) for _, count, work in result.pairs()]

    def row(name: str, show: Callable, measure: Callable, estimate: Callable | None = None):
        cells = []
        for count, work in works:
            cells += [show(measure(count)), show(estimate(work)) if estimate else ""]
        table.add_row(name, *cells)

    def number(value: float) -> str:
        return f"{value:.1f}"

    for phase in PHASES:
        row(phase, number, lambda count, name=phase: count.phases[name], lambda work, name=phase: work.phases[name])
    row("between batches", number, lambda count: count.cycles - sum(count.phases.values()),
        lambda work: work.phases["between batches"])
    row("[bold]all[/bold]", number, lambda count: count.cycles, lambda work: work.cycles)
    table.add_section()
    for name, cause in CAUSES.items():
        row(cause, number, lambda count, name=name: count.causes[name],
            lambda work, name=name: work.causes[name])
    table.add_section()
    limits = {count.cycles: work for count, work in works}
    row("at least (roofline)", number, lambda count: limits[count.cycles].roofline.cycles)
    row("by", str, lambda count: limits[count.cycles].roofline.limit)
    row("over the roofline", lambda value: f"× {value:.2f}",
        lambda count: count.cycles / limits[count.cycles].roofline.cycles, lambda work: work.distance)
    row("array's use", lambda value: f"{value:.1%}", lambda count: count.utilisation)
    row("the same, at work", lambda value: f"{value:.1%}", lambda count: count.array_utilisation)
    table.add_section()
    clock = result.clock_mhz
    row(f"µs at {clock:.4g} MHz*", lambda value: f"{value:.2f}",
        lambda count: count.cycles / clock, lambda work: work.cycles / clock)
    row("samples a second", lambda value: f"{value:,.0f}", lambda count: 1e6 * clock / count.cycles,
        lambda work: 1e6 * clock / work.cycles)
    table.add_row("µs, golden model", f"{1e6 * result.model_seconds:.1f}", "", "", "")
    table.add_row("LUT4s a bit operation", f"{result.luts / foretold.board.config.bit_ops:.1f}", "", "", "")
    table.caption = f"* {result.clock}; LUT4s {'placed' if result.build else 'estimated'}; use: of the popcount lanes"
    table.caption_justify = "left"
    return table
