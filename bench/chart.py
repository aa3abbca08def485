"""A chart of a result, as SVG: how near each ratio is to its goal.

    python -m bench.chart bench/results/RESULT.json docs/performance.svg

Bars go from the left, on a logarithmic scale; the line in the middle is the goal. A ratio that may
be at most so much is turned round, so that further to the right is better everywhere.
"""

import json
import math
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

LINE, TEXT_WIDTH, BARS, RIGHT = 26, 330, 420, 190  # pixels
TOP, BOTTOM = 64, 34
LEAST, MOST = 1 / 100, 10.0  # of the goal
MET, MISSED, OPEN = "#2e7d4f", "#b3541e", "#5b6b7f"


def draw_chart(result: Mapping[str, Any]) -> str:
    """The rows that have a goal, one bar each."""
    rows = [row for row in result["rows"] if _goal_of(row) is not None]
    width, height = TEXT_WIDTH + BARS + RIGHT, TOP + LINE * len(rows) + BOTTOM
    goal_x = _x(1)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="system-ui, sans-serif" font-size="13">'
        ),
        f"<title>Ratios to the peer, against their goals, {escape(str(result['commit']))}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(12, 24, "Ours beside a peer by hand: how near to the goal", size=16, bold=True),
        _text(12, 44, f"{result['machine']}, commit {result['commit']}", fill=OPEN),
    ]
    for number, row in enumerate(rows):
        parts += _bar(row, TOP + LINE * number)
    bottom = TOP + LINE * len(rows)
    parts.append(
        f'<line x1="{goal_x:.1f}" y1="{TOP - 8}" x2="{goal_x:.1f}" y2="{bottom + 4}" '
        'stroke="#1c2733" stroke-width="1.5"/>'
    )
    for times, label in ((0.01, "1/100"), (0.1, "1/10"), (1, "goal"), (10, "10 ×")):
        parts.append(_text(_x(times), bottom + 22, label, anchor="middle", fill=OPEN))
    return "\n".join([*parts, "</svg>", ""])


def _bar(row: Mapping[str, Any], top: float) -> list[str]:
    goal = _goal_of(row)
    assert goal is not None
    reached = goal / row["ratio"] if row["is_cost"] else row["ratio"] / goal
    color = MET if reached >= 1 else MISSED
    sign = "≤" if row["is_cost"] else "≥"
    later = "" if row["goal"] is not None else " in the end"
    length = _x(reached) - TEXT_WIDTH
    return [
        _text(TEXT_WIDTH - 10, top + 15, row["name"], anchor="end"),
        (
            f'<rect x="{TEXT_WIDTH}" y="{top + 3}" width="{length:.1f}" height="{LINE - 9}" '
            f'rx="2" fill="{color}"/>'
        ),
        _text(TEXT_WIDTH + BARS + 10, top + 15, f"{row['ratio']:.2f}", bold=True),
        _text(TEXT_WIDTH + BARS + 58, top + 15, f"{sign} {goal:g}{later}", fill=OPEN),
    ]


def _goal_of(row: Mapping[str, Any]) -> float | None:
    goal: float | None = row["goal"] if row["goal"] is not None else row["in_the_end"]
    return goal


def _x(times: float) -> float:
    """Where so many times the goal is."""
    clipped = min(max(times, LEAST), MOST)
    share = math.log(clipped / LEAST) / math.log(MOST / LEAST)
    return TEXT_WIDTH + BARS * share


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    fill: str = "#1c2733",
    size: int = 13,
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" '
        f'font-size="{size}"{weight}>{escape(text)}</text>'
    )


if __name__ == "__main__":
    source, target = sys.argv[1:]
    read = json.loads(Path(source).read_text(encoding="utf-8"))
    Path(target).write_text(draw_chart(read), encoding="utf-8")
