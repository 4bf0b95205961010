"""The comparison for people: tables on the terminal, pictures, and one HTML file."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

__all__ = ["MEASURED", "show", "write_report"]

MEASURED = Path(__file__).with_name("measured.md")
"""How it is measured, and what favours whom: a list in Markdown, for this report and for whoever quotes it."""

COLOURS = {"forward": "#3b6ea8", "backward": "#7fb069", "update": "#e6a23c"}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>bitprop: cycles against software</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
 h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem } h3 { font-size: 1rem }
 table { border-collapse: collapse; font-size: 14px }
 td, th { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top }
 td:first-child, th:first-child, td:last-child, th:last-child { text-align: left } td:last-child { max-width: 26rem }
 img { max-width: 100% } code { word-break: break-all } .good { color: #2a7a2a } .bad { color: #b00020 }
</style>
<h1>The accelerator beside software</h1>
{% if failures %}{% for failure in failures %}<p class="bad">{{ failure }}</p>{% endfor %}
{% else %}<p class="good">Every target ended with the golden model's state, bit for bit.</p>{% endif %}
<p>Timed rows: {{ machine.processor }}.</p>
{% for network in networks %}<h2>{{ network.layers | join("-") }}</h2>
{% for work in network.works %}
<h3>{{ work.title }}</h3>
<p>State after {{ work.samples }} samples: <code>{{ work.state_hash }}</code></p>
<table><tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in work.cells %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</table>
<img src="{{ work.picture }}" alt="Cycles by phase">
{% endfor %}{% endfor %}
<h2>How this is measured</h2>
<p>{{ ratios }}</p>
<ul>{% for name, text in measured %}<li><b>{{ name }}</b>{{ text }}</li>{% endfor %}</ul>
</html>
"""

COLUMNS = ("", "trained sample", "inferred", "clock", "time", "LUT4", "cycles ×", "time ×", "how")


RATIOS = ("cycles ×, time ×: to the accelerator on the same chip, else on the largest that has the network; above 1 "
          "the accelerator is ahead.")


def show(result: dict[str, Any], console: Console) -> None:
    """Print a table for each network and piece of work, and under each how its rows were measured."""
    for network in result["networks"]:
        for work in network["works"]:
            table = Table(title=f"{'-'.join(map(str, network['layers']))}, {_title(work)}", title_justify="left",
                          box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
            for number, name in enumerate(COLUMNS[:-1]):
                table.add_column(name, justify="right" if number else "left", no_wrap=True)
            notes: dict[str, list[str]] = {}
            for row in work["rows"]:
                *cells, how = _cells(row)
                table.add_row(*cells)
                notes.setdefault(how, []).append(cells[0])
            console.print(table)
            for how, who in notes.items():
                console.print(f"  [dim]{'; '.join(who)}:[/dim] {escape(how)}", highlight=False)
            console.print()
    console.print(f"{RATIOS}\n")
    console.print("How this is measured", style="bold")
    console.print(Markdown(MEASURED.read_text(encoding="utf-8")))


def write_report(result: dict[str, Any], folder: Path) -> Path:
    """Write `report.html` and a PNG for each picture into `folder`."""
    networks = []
    for network in result["networks"]:
        works = []
        for number, work in enumerate(network["works"]):
            figure = _picture(work["rows"], f"{'-'.join(map(str, network['layers']))}, {_title(work)}")
            name = f"cycles-{'-'.join(map(str, network['layers']))}-{('all', 'real')[number]}.png"
            figure.savefig(folder / name, dpi=120)
            works.append(work | {"title": _title(work), "cells": [_cells(row) for row in work["rows"]],
                                 "picture": _inline(figure)})
        networks.append(network | {"works": works})
    page = Environment(autoescape=True).from_string(PAGE).render(
        failures=result["failures"], machine=result["machine"], networks=networks, columns=COLUMNS, ratios=RATIOS,
        measured=re.findall(r"^- \*\*(.+?)\*\*(.*)$", MEASURED.read_text(encoding="utf-8"), flags=re.MULTILINE))
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _title(work: dict[str, Any]) -> str:
    rate = "" if work["trigger_rate"] == 1 else f" ({work['trigger_rate']:.0%} of the samples trigger)"
    return f"{work['name']}{rate}, batch {work['batch']}"


def _cells(row: dict[str, Any]) -> list[str]:
    kind = {"instructions": " instr.", "TSC cycles": " TSC"}.get(row["unit"], "")
    return [
        f"{row['target']}, {row['chip']}" if row["chip"] else row["target"],
        _number(row["trained"]) + (kind if row["trained"] else ""), _number(row["inferred"]),
        f"{row['clock_mhz']:.1f} MHz" if row["clock_mhz"] else "–",
        f"{_number(row['microseconds'])} µs" if row["microseconds"] else "–",
        f"{row['lut4']:,}" if row["lut4"] else "–", _ratio(row["cycles_ratio"]), _ratio(row["time_ratio"]), row["how"]]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _picture(rows: list[dict[str, Any]], title: str) -> Figure:
    """Cycles on a logarithmic axis, a group of bars a target; its own phases, and a mark for their sum."""
    shown, seen = [], set()
    for row in rows:
        # A soft core takes the same cycles on every chip.
        key = row["target"] if row["target"] != "accelerator" else (row["target"], row["chip"])
        if row["trained"] and key not in seen:
            seen.add(key)
            shown.append(row)
    figure = Figure(figsize=(9, 1.3 + 0.55 * len(shown)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(COLOURS)
    for number, (phase, colour) in enumerate(COLOURS.items()):
        places = [index + (number - 1) * height for index, row in enumerate(shown) if row["phases"].get(phase)]
        values = [row["phases"][phase] for row in shown if row["phases"].get(phase)]
        axes.barh(places, values, height, color=colour, label=phase)
    axes.plot([row["trained"] for row in shown], range(len(shown)), "|", color="#222", markersize=16, markeredgewidth=2,
              label="trained sample")
    for index, row in enumerate(shown):
        axes.annotate(_number(row["trained"]), (row["trained"], index), xytext=(6, 0), textcoords="offset points",
                      va="center", fontsize=8)
    names = [f"{row['target']}, {row['chip']}" if row["target"] == "accelerator" else
             row["target"] + (" (instructions)" if row["unit"] == "instructions" else "") for row in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set(xlabel="cycles per trained sample", title=title)
    axes.set_xlim(1, 8 * max((row["trained"] for row in shown), default=10))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="upper right", fontsize=8)
    return figure


def _inline(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
