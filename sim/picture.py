"""The bench's picture: the roofline with networks on it, and a timeline of one batch, as the ports showed it."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from ..hw.program import CapacityError
from ..model.config import NetworkConfig
from ..synth.boards import Board
from ..synth.forecast import Forecast, forecast
from ..synth.roofline import bit_ops, counter_updates
from .cycles import CycleCount
from .trace import IDLE, LETTERS

__all__ = ["OTHER_NETWORKS", "draw"]

OTHER_NETWORKS = ((64, 32), (128, 64, 64), (256, 64, 64), (512, 128), (1000, 35, 35), (256, 256, 256), (784, 256, 256))
"""Drawn beside the one that was measured, as estimated, where they fit."""

COLOURS = {"forward": "#3b6ea8", "backward": "#7fb069", "update": "#e6a23c", "stall": "#c0504d", IDLE: "#e4e4e4"}
NAMES = {"forward": "forward", "backward": "backward", "update": "waits while rows are updated",
         "stall": "other waits", IDLE: "no batch"}
PLANNED = "#9a9a9a"


def draw(result: Forecast, train: CycleCount, infer: CycleCount, file: Path) -> None:
    """Write the picture of a measured network, trained and inferred, to `file`, in the format that its name ends in."""
    figure = Figure(figsize=(11, 10), layout="constrained")
    roofline, trained, inferred = figure.subplots(3, 1, height_ratios=(2.4, 1.5, 1.2))
    _draw_roofline(roofline, result, train)
    _draw_batch(trained, result, train, "trained")
    _draw_batch(inferred, result, infer, "inferred")
    figure.legend(
        handles=[*(Patch(color=COLOURS[name], label=label) for name, label in NAMES.items()),
                 Patch(facecolor="none", edgecolor=PLANNED, label="as scheduled on paper")],
        loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _draw_roofline(axes, result: Forecast, train: CycleCount) -> None:
    """Training: x is what a counter update comes with, so the sloping roof is the updater's lanes."""
    board, config = result.board, result.board.config
    points = [(result.network, result, train.cycles)]
    points += [(found.network, found, None) for found in _others(board, result)]
    shares = [bit_ops(network, learn=True) / (result.trigger * counter_updates(network) or 1e-9)
              for network, _, _ in points]
    shares = [min(share, 1e4) for share in shares]
    left, right = min(shares) / 1.8, max(max(shares) * 1.8, config.bit_ops / config.update_lanes * 1.5)
    roof = [(x, min(config.bit_ops, config.update_lanes * x)) for x in (
        left, config.bit_ops / config.update_lanes, right)]
    axes.plot(*zip(*sorted(roof), strict=True), color="#333", linewidth=1.5)
    axes.annotate(f"{config.bit_ops:,} popcount lanes", (right, config.bit_ops), ha="right", va="bottom", fontsize=8,
                  xytext=(-4, 2), textcoords="offset points")
    axes.annotate(f"{config.update_lanes} counter lanes", (left, config.update_lanes * left), fontsize=8, va="top",
                  xytext=(10, 2), textcoords="offset points")
    for (network, found, measured), x in zip(points, shares, strict=True):
        work, ops = found.train, bit_ops(network, learn=True)
        y, top = ops / (measured or work.cycles), ops / work.roofline.cycles
        colour = COLOURS["forward"] if measured else PLANNED
        axes.plot([x, x], [y, top], color=colour, linewidth=0.8, linestyle=":")
        axes.plot(x, top, marker="_", markersize=14, color=colour)
        axes.plot(x, y, marker="o", color=colour, markerfacecolor=colour if measured else "white")
        text = f"{'-'.join(map(str, network.layers))}, {y / config.bit_ops:.0%}"
        axes.annotate(text + (f"; {work.roofline.limit}" if measured else ""), (x, y), fontsize=8, ha="left", va="top",
                      xytext=(5, -3), textcoords="offset points", color=colour, fontweight="bold" if measured else None)
    axes.set(xscale="log", yscale="log", xlim=(left, right),
             xlabel="bit operations for each counter update", ylabel="bit operations a cycle")
    axes.set_title(f"{board.title}: training in batches of {result.batch}, {result.trigger:.0%} triggered", fontsize=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.legend(handles=[
        Line2D([], [], marker="o", linestyle="", color=COLOURS["forward"], label="measured"),
        Line2D([], [], marker="o", linestyle="", color=PLANNED, markerfacecolor="white", label="estimated"),
        Line2D([], [], marker="_", linestyle="", markersize=12, color=PLANNED, label="the network's own roofline")],
        fontsize=8, loc="lower right", frameon=False)


def _others(board: Board, result: Forecast) -> list[Forecast]:
    found = []
    for layers in OTHER_NETWORKS:
        network = NetworkConfig(layers=layers, classes=result.network.classes, counter_bits=board.config.counter_bits)
        if layers != result.network.layers:
            try:
                found.append(forecast(board, network, batch=result.batch, trigger=result.trigger))
            except CapacityError:
                pass
    return found


def _draw_batch(axes, result: Forecast, count: CycleCount, verb: str) -> None:
    """One batch: what the ports showed, and below each of it, thin, what the schedule says."""
    trace, work = count.last, result.train if verb == "trained" else result.infer
    units = ["array", "loader", "results"] + (["updater"] if trace.rows else [])
    names = {letter: name for name, letter in LETTERS.items()} | {IDLE: IDLE}
    for begin, end, letter in _pieces(trace.letters):
        axes.broken_barh([(begin, end - begin)], (0, 0.55), color=COLOURS[names[letter]], linewidth=0)
    marks = {"loader": (trace.samples, "#8064a2"), "results": (trace.results, "#4bacc6"),
             "updater": (trace.rows, COLOURS["update"])}
    for unit, (places, colour) in marks.items():
        if places:
            row = units.index(unit)
            axes.vlines(places, row, row + 0.55, color=colour, linewidth=0.6, alpha=0.8)
    length = len(trace.letters)
    for span in work.schedule.spans:
        begin, end = max(span.begin, 0), min(span.end, length)
        if span.unit in units and end > begin:
            row = units.index(span.unit)
            axes.broken_barh([(begin, end - begin)], (row + 0.6, 0.28), facecolor="none", edgecolor=PLANNED,
                             linewidth=0.8)
            label = span.name if span.batch == 0 else f"{span.name} ({'next' if span.batch > 0 else 'last'})"
            if (end - begin) / length > 0.011 * len(label):
                axes.text((begin + end) / 2, row + 0.75, label, fontsize=7, ha="center", va="center")
    axes.set_yticks([row + 0.28 for row in range(len(units))], units)
    axes.set(xlim=(0, length), ylim=(len(units), -0.1), xlabel="cycle of the batch, at the core's ports")
    axes.set_title(f"a batch, {verb}: {count.cycles:.1f} cycles a sample measured, {work.cycles:.1f} estimated, "
                   f"at least {work.roofline.cycles:.1f} ({work.roofline.limit})", fontsize=10)


def _pieces(letters: str):
    begin = 0
    for place in range(1, len(letters) + 1):
        if place == len(letters) or letters[place] != letters[begin]:
            yield begin, place, letters[begin]
            begin = place
