"""Writes the measurements to docs/performance.md, and its charts."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pygal
import watch_cases
from fleet_cases import MOST_MEMORY, SIZE
from pygal.style import Style
from watch_cases import MOST_IDLE

if TYPE_CHECKING:
    from bench import FleetTimings, Timing
    from cases import Case

DOCS = Path(__file__).parents[1] / "docs"
_BEGIN, _END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"
_STYLE = Style(
    background="white",
    plot_background="white",
    colors=("#0b63c4", "#c2410c", "#15803d"),
    font_family="sans-serif",
    guide_stroke_color="#ddd",
    guide_stroke_dasharray="none",
    label_font_size=14,
    major_label_font_size=14,
    legend_font_size=15,
    major_guide_stroke_color="#ddd",
    major_guide_stroke_dasharray="none",
    title_font_size=17,
)
_LIBRARIES = ("httpx", "pydantic", "pyyaml", "deepdiff", "click", "aiohttp", "uvicorn")


def write_page(
    floors: list[tuple[Case, dict[str, Timing]]],
    changed: Timing,
    sizes: list[tuple[int, dict[str, Timing]]],
    peers: tuple[Case, dict[str, Timing], list[str]],
    data: int,
    fleets: FleetTimings,
) -> None:
    """Replaces the figures on the page, and the charts; the text around them stays."""
    by_size = dict(sizes)
    lines = [
        _BEGIN,
        "",
        *_machine(),
        "",
        "| case | floor | tool | ratio | CPU ratio | goal | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, found in floors:
        lines.append(_row(case.name, found["floor"], found["tool"], case.goals["tool"]))
    small, large = by_size[10_000]["tool"], by_size[100_000]["tool"]
    lines.append(_row("plan, all 10,000 changed, against none changed", small, changed, 4.5))
    lines.append(_row("plan, 100,000 accounts, against 10,000", small, large, 10.5))
    share = large.memory * 1024**2 / data
    lines += [
        "",
        f"Peak memory at 100,000 accounts: {large.memory:.0f} MiB, {share:.1f} times the {data / 1024**2:.0f} MiB",
    ]
    lines += [f"of YAML and JSON (goal: at most 6; {'met' if share <= 6 else '**missed**'}).", ""]  # noqa: PLR2004
    lines += [*_memory(fleets), "", *_idle(fleets.idle), "", *_peers(*peers), ""]
    for name, what in (("performance", "accounts"), ("fleet", "servers")):
        for file, shown in (("time", "Time"), ("memory", "Memory")):
            lines += [f"![{shown} by number of {what}]({name}-{file}.svg)", ""]
    lines.append(_END)
    _replace(DOCS / "performance.md", lines)
    accounts = {"script": "script with CSafeLoader and httpx", "tool": "reconciler plan", "floor": "floor"}
    servers = {"tool": "reconciler plan", "floor": "threads with httpx"}
    _draw("performance", "accounts", sizes, accounts)
    _draw("fleet", "servers with 20 accounts", fleets.sizes, servers)


def _replace(page: Path, lines: list[str]) -> None:
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(before + "\n".join(lines) + after, encoding="utf-8")


def _memory(fleets: FleetTimings) -> list[str]:
    by_size = dict(fleets.sizes)
    found = {"plan": (by_size[1]["tool"].memory, by_size[SIZE]["tool"].memory), "apply": fleets.memories}
    words = [f"{what} {many - one:.0f} MiB ({many:.0f} instead of {one:.0f})" for what, (one, many) in found.items()]
    met = all(many - one <= MOST_MEMORY for one, many in found.values())
    return [
        f"Peak memory for {SIZE} servers above that for one: {', '.join(words)}",
        f"(goal: at most {MOST_MEMORY}; {'met' if met else '**missed**'}).",
    ]


def _idle(parts: dict[str, float]) -> list[str]:
    words = " and ".join(f"{part:.2%} of a core if its manifests are in {kind}" for kind, part in parts.items())
    met = all(part < MOST_IDLE for part in parts.values())
    return [
        f"While nothing is due, a watcher of {watch_cases.SIZE:,} servers uses {words}",
        f"(goal: under {MOST_IDLE:.0%}; {'met' if met else '**missed**'}).",
    ]


def _ratio(timing: Timing, ours: Timing) -> str:
    return f"{'more than ' if timing.stopped else ''}{timing.wall / ours.wall:.1f}"


def _row(name: str, floor: Timing, tool: Timing, goal: float) -> str:
    ratio, cpu = tool.wall / floor.wall, tool.cpu / floor.cpu
    met = "yes" if ratio <= goal else "CPU ratio only" if cpu <= goal else "**no**"
    return f"| {name} | {_seconds(floor)} | {_seconds(tool)} | {ratio:.2f} | {cpu:.2f} | {goal:g} | {met} |"


def _seconds(timing: Timing) -> str:
    return f"{timing.wall:.3f} s ({min(timing.walls):.2f} to {max(timing.walls):.2f})"


def _peers(case: Case, found: dict[str, Timing], absent: list[str]) -> list[str]:
    ours = found["reconciler"]
    lines = [
        f"{case.name}, compared with other programs:",
        "",
        "| program | time | memory | runs | relative time | goal |",
        "|---|---|---|---|---|---|",
    ]
    for name, timing in found.items():
        goal = f"{case.goals[name]:g}" if name in case.goals else ""
        took = f"more than {timing.wall:.0f} s" if timing.stopped else _seconds(timing)
        measured = f"{took} | {timing.memory:.0f} MiB | {len(timing.walls)}"
        lines.append(f"| {name} | {measured} | {_ratio(timing, ours)} | {goal} |")
    return [*lines, *(f"| {name} | not installed | | | | {case.goals.get(name, 0):g} |" for name in absent)]


def _machine() -> list[str]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    machine = f"{os.cpu_count()} cores ({platform.machine()}, load average {load} at the end)"
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}, Python {platform.python_version()}; {versions}.",
        "Times are medians, with the range in parentheses. `CPU ratio` compares the lowest CPU times.",
    ]


def _draw(name: str, what: str, sizes: list[tuple[int, dict[str, Timing]]], labels: dict[str, str]) -> None:
    """Draws the time and the memory by size, each as a chart with logarithmic axes."""
    numbers = [size for size, _ in sizes]
    lines = {label: [found[one] for _, found in sizes] for one, label in labels.items()}
    seconds = {label: [timing.wall for timing in timings] for label, timings in lines.items()}
    memory = {label: [timing.memory for timing in timings] for label, timings in lines.items()}
    for file, unit, values in (("time", "seconds", seconds), ("memory", "peak memory in MiB", memory)):
        ticks = _ticks([one for line in values.values() for one in line])
        chart = pygal.XY(
            title=unit,
            x_title=what,
            x_labels=numbers,
            x_value_formatter=lambda value: f"{value:,.0f}",
            y_labels=ticks,
            range=(ticks[0], 1.01 * ticks[-1]),  # with no room above it, the highest line is left out
            value_formatter=lambda value: f"{value:g}",
            logarithmic=True,
            legend_at_bottom=True,
            legend_at_bottom_columns=1,
            truncate_legend=-1,
            stroke_style={"width": 2},
            margin_right=40,
            width=640,
            height=460,
            style=_STYLE,
            js=(),  # the default is a script from another host
        )
        chart.uuid = f"{name}-{file}"  # otherwise random
        for label, line in values.items():
            chart.add(label, list(zip(numbers, line, strict=True)))
        chart.render_to_file(str(DOCS / f"{name}-{file}.svg"))


def _ticks(values: list[float]) -> list[float]:
    """Round numbers from below the lowest value to above the highest."""
    numbers = [digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)]
    below = max(one for one in numbers if one <= min(values))
    above = min(one for one in numbers if one >= max(values))
    return [one for one in numbers if below <= one <= above]
