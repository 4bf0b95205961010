"""The demonstration's report: one HTML file with its pictures inside."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from jinja2 import Environment
from matplotlib.figure import Figure

from ..hw.ports import PHASES

__all__ = ["write_report"]

COLOURS = dict(zip(PHASES, ("#3b6ea8", "#7fb069", "#e6a23c", "#b0b0b0"), strict=True))
RESOURCES = {"lut4": "LUT4", "flip_flop": "flip-flops", "block_ram": "block RAM", "spram": "single-port RAM"}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>bitprop: trained on the chip</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
 h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2rem }
 table { border-collapse: collapse } td, th { padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: right }
 td:first-child, th:first-child { text-align: left } img { max-width: 100% } code { word-break: break-all }
 .good { color: #2a7a2a } .bad { color: #b00020 }
</style>
<h1>A binary network, trained on the accelerator</h1>
{% for failure in s.failures %}<p class="bad">{{ failure }}</p>{% endfor %}
<p>{{ s.network.layers | join("-") }}, {{ s.network.counter_bits }}-bit counters, scikit-learn's digits:
<b>{{ percent(s.test_accuracy) }}</b> of the test part right after {{ s.model.epochs }} epochs
{%- if s.rtl_test_accuracy is not none %} ({{ percent(s.rtl_test_accuracy) }} where the accelerator predicts)
{%- endif %}.</p>
<img src="{{ curve }}" alt="Accuracy by epoch">

<h2>RTL against golden model</h2>
{% if s.bit_exact %}
<p class="good">Every counter, weight, prediction, trigger and statistic equal, over {{ s.epochs }} whole epochs,
{{ s.samples }} samples.</p>
<table><tr><th>until epoch</th><th>samples</th><th>triggered</th><th>row updates</th><th>saturations</th>
<th>validation</th><th>state of both</th></tr>
{% for c in s.rtl.comparisons %}<tr><td>{{ c.epoch }}</td><td>{{ c.samples }}</td><td>{{ c.triggered }}</td>
<td>{{ c.row_updates }}</td><td>{{ c.saturations }}</td><td>{{ percent(c.validation) }}</td>
<td><code>{{ c.state_hash[:16] }}…</code></td></tr>{% endfor %}</table>
<p>RTL <code>{{ s.state_hash }}</code><br>model <code>{{ s.model_hash }}</code></p>
{% else %}<p class="bad">Not shown to be equal.</p>{% endif %}

<h2>Cycles per trained sample</h2>
<img src="{{ cycles }}" alt="Cycles by phase">
<table><tr><th></th>{% for phase in phases %}<th>{{ phase }}</th>{% endfor %}<th>all</th><th>time</th></tr>
{% for row in rows %}<tr><td>{{ row.name }}</td>
{% for phase in phases %}<td>{{ "%.1f" | format(row.cycles[phase]) }}</td>{% endfor %}
<td>{{ "%.1f" | format(row.total) }}</td><td>{{ "%.2f" | format(row.microseconds) }} µs at
{{ "%g" | format(row.clock_mhz) }} MHz</td></tr>{% endfor %}
{% for row in software %}<tr><td>{{ row.name }}</td>{% for phase in phases %}<td></td>{% endfor %}<td></td>
<td>{{ "%.1f" | format(row.microseconds) }} µs</td></tr>{% endfor %}</table>
<p>Forward includes the logits. Update is the time in which the array stands still for the counters; stall is any
other waiting while the core is busy. All: with the time between batches, where it was counted.</p>

{% if s.boards %}<h2>Bitstreams</h2>
<img src="{{ use }}" alt="Utilisation">
<table><tr><th>board</th><th>LUT4</th><th>block RAM</th><th>Fmax</th><th>clock</th><th>bitstream</th></tr>
{% for b in s.boards.values() %}<tr><td>{{ b.title }}</td><td>{{ b.lut4 }} of {{ b.lut4_available }}</td>
<td>{{ b.block_ram }} of {{ b.block_ram_available }}</td>
<td class="{{ "good" if b.met else "bad" }}">{{ "%.1f" | format(b.fmax_mhz) }} MHz</td>
<td>{{ "%.1f" | format(b.target_mhz) }} MHz</td><td><code>{{ b.bitstream }}</code></td></tr>{% endfor %}</table>
{% endif %}
</html>
"""


def write_report(summary: dict[str, Any], path: Path) -> Path:
    """Write the page of `demo.run_demo`'s summary to `path`."""
    rows, software = _rows(summary)
    page = Environment(autoescape=True).from_string(PAGE).render(
        s=summary, phases=PHASES, rows=rows, software=software, percent=lambda value: f"{100 * value:.2f} %",
        curve=_picture(_curve(summary)), cycles=_picture(_cycles(rows)),
        use=_picture(_use(summary["boards"])) if summary["boards"] else "")
    path.write_text(page, encoding="utf-8")
    return path


def _rows(summary: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the table of cycles, and of the golden model's times."""
    batch, model = summary["model"]["batch"], summary["model"]["seconds_per_sample"]
    rows, software = [], [{"name": f"digits, batch {batch}: golden model", "microseconds": 1e6 * model}]
    counts = summary["all_triggered"]
    if summary["rtl"]:
        rows.append({"name": f"digits, batch {batch}: RTL", "cycles": summary["cycles"],
                     "total": summary["cycles_per_sample"], "clock_mhz": summary["clock_mhz"]})
    for name, count in counts.items():
        rows.append({"name": f"all triggered, batch 32: {name}", "cycles": count["train"]["cycles"],
                     "total": count["train"]["cycles_per_sample"], "clock_mhz": count["clock_mhz"]})
    if counts:
        software.append({"name": "all triggered, batch 32: golden model",
                         "microseconds": 1e6 * next(iter(counts.values()))["model_seconds_per_sample"]})
    for row in rows:
        row["microseconds"] = row["total"] / row["clock_mhz"]
    return rows, software


def _curve(summary: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    history = summary["model"]["history"]
    epochs = [record["epoch"] for record in history]
    axes.plot(epochs, [100 * record["training"] for record in history], color="#b0b0b0", label="training")
    axes.plot(epochs, [100 * record["validation"] for record in history], color="#3b6ea8", label="validation")
    axes.axhline(100 * summary["test_accuracy"], color="#7fb069", linestyle="--", label="test, trained network")
    if summary["epochs"]:
        points = [(c["epoch"], 100 * c["validation"]) for c in summary["rtl"]["comparisons"][:summary["epochs"]]]
        axes.plot(*zip(*points, strict=True), "o", color="#e6a23c", label="validation on the RTL")
    axes.set(xlabel="epoch", ylabel="accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def _cycles(rows: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(8, 1.2 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [row["name"] for row in rows]
    left = [0.0] * len(rows)
    for phase in PHASES:
        widths = [row["cycles"][phase] for row in rows]
        axes.barh(names, widths, left=left, color=COLOURS[phase], label=phase, height=0.6)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("cycles per trained sample")
    axes.legend(ncols=len(PHASES), loc="upper center", bbox_to_anchor=(0.5, 1.35), frameon=False)
    return figure


def _use(boards: dict[str, dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(boards)
    for number, board in enumerate(boards.values()):
        names = [name for name in RESOURCES if board.get(f"{name}_available")]
        values = [100 * board[name] / board[f"{name}_available"] for name in names]
        places = [list(RESOURCES).index(name) + number * height for name in names]
        bars = axes.barh(places, values, height, label=board["title"], color=list(COLOURS.values())[number % 4])
        axes.bar_label(bars, fmt="%.0f %%", padding=3)
    axes.set_yticks([index + 0.4 - height / 2 for index in range(len(RESOURCES))], RESOURCES.values())
    axes.invert_yaxis()
    axes.set(xlabel="used, %", xlim=(0, 110))
    axes.legend(ncols=len(boards), loc="upper center", bbox_to_anchor=(0.5, 1.2), frameon=False)
    return figure


def _picture(figure: Figure) -> str:
    """A figure as the address of an image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
