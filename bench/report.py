"""From rounds to ratios: medians, the goal beside each, a file for each machine and commit."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.programs import ROOT

RESULTS = ROOT / "bench" / "results"

# What one round measured: by the name of the measure, each of its figures.
type Round = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A row of the table: one figure of ours beside the same of the peer.

    `goal` is what the ratio ours/peer has to reach now, or to stay below where `is_cost`;
    `in_the_end` what it has to reach once the hand-written form of the hot paths stands.
    """

    name: str
    ours: str
    peer: str
    figure: str = "rate"
    unit: str = "/s"
    goal: float | None = None
    in_the_end: float | None = None
    is_cost: bool = False
    # Later rounds live on the memory that the first one freed.
    is_of_first_round: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A figure of ours alone, with what it may be at most."""

    name: str
    measure: str
    figure: str
    unit: str
    most: float | None = None


COMPARISONS = (
    Comparison(
        name="draw, against one statement per step",
        ours="draw",
        peer="draw: peer, steps",
        goal=0.25,
        in_the_end=1.2,
    ),
    Comparison(
        name="draw, against as few statements as possible",
        ours="draw",
        peer="draw: peer, few",
        goal=0.15,
        in_the_end=0.75,
    ),
    Comparison(
        name="draw, against pgbench, statement by statement",
        ours="draw",
        peer="draw: pgbench, steps",
        in_the_end=0.4,
    ),
    Comparison(name="draw, against pgbench, one statement", ours="draw", peer="draw: pgbench, few"),
    Comparison(name="wheel config, stranger", ours="config", peer="config: peer", goal=1.5),
    Comparison(
        name="wheel config, signed in",
        ours="config, signed in",
        peer="config, signed in: peer",
        goal=0.75,
    ),
    Comparison(name="mall, stranger", ours="mall", peer="mall: peer", goal=1.5),
    Comparison(
        name="mall, signed in", ours="mall, signed in", peer="mall, signed in: peer", goal=0.75
    ),
    Comparison(name="ledger page", ours="ledger", peer="ledger: peer", goal=0.5),
    Comparison(
        name="floor: CPU of an empty signed-in request",
        ours="floor",
        peer="floor: peer",
        figure="cpu_ms",
        unit=" ms",
        goal=2,
        is_cost=True,
    ),
    *(
        Comparison(
            name=f"one update to {many:,} sockets, the last one",
            ours=f"fan-out {many}",
            peer=f"fan-out {many}: peer",
            figure="last_ms",
            unit=" ms",
            goal=1.1,
            is_cost=True,
        )
        for many in (1000, 3000, 5000)
    ),
    Comparison(name="sockets greeted a second", ours="greeting", peer="greeting: peer", goal=0.5),
    Comparison(
        name="memory of a socket",
        ours="greeting",
        peer="greeting: peer",
        figure="memory_kb",
        unit=" KB",
        goal=1.3,
        is_cost=True,
        is_of_first_round=True,
    ),
    Comparison(name="one hot prize", ours="hot prize", peer="hot prize: peer", in_the_end=0.7),
    Comparison(
        name="one hot prize, p99",
        ours="hot prize",
        peer="hot prize: peer",
        figure="p99",
        unit=" ms",
        in_the_end=1.5,
        is_cost=True,
    ),
    Comparison(
        name="one hot product", ours="hot product", peer="hot product: peer", in_the_end=0.7
    ),
    Comparison(
        name="one hot product, p99",
        ours="hot product",
        peer="hot product: peer",
        figure="p99",
        unit=" ms",
        in_the_end=1.5,
        is_cost=True,
    ),
    Comparison(
        name="points updates while sockets listen, p95",
        ours="points updates",
        peer="points updates: peer",
        figure="p95",
        unit=" ms",
        is_cost=True,
    ),
    Comparison(
        name="4 web processes against 1", ours="draw, 4 processes", peer="draw, 1 process", goal=1.6
    ),
)
FACTS = (
    Fact(name="CPU of a draw, our server", measure="draw", figure="cpu_ms", unit=" ms"),
    Fact(
        name="CPU of a draw, with PostgreSQL and Redis",
        measure="draw",
        figure="all_cpu_ms",
        unit=" ms",
    ),
    Fact(
        name="draws a day that two cores carry",
        measure="draw",
        figure="a_day_on_two_cores",
        unit="",
    ),
    Fact(name="second start", measure="start", figure="second_start_s", unit=" s", most=3),
    Fact(name="memory of the idle server", measure="start", figure="idle_mb", unit=" MB"),
    Fact(name="SQLite, one at a time", measure="sqlite", figure="alone", unit="/s"),
    Fact(name="SQLite, eight at once", measure="sqlite", figure="eight", unit="/s"),
    Fact(
        name="SQLite, refused of eight at once", measure="sqlite", figure="refused", unit="", most=0
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A row as it came out; `ratios` are those of the rounds, in their order."""

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float
    ratios: list[float]
    goal: float | None
    in_the_end: float | None
    is_cost: bool

    @property
    def is_met(self) -> bool | None:
        return self._reaches(self.goal)

    @property
    def is_met_in_the_end(self) -> bool | None:
        return self._reaches(self.in_the_end)

    def _reaches(self, goal: float | None) -> bool | None:
        if goal is None:
            return None
        return self.ratio <= goal if self.is_cost else self.ratio >= goal


def compare(
    rounds: Sequence[Round], comparisons: Iterable[Comparison] = COMPARISONS
) -> list[Compared]:
    """Medians over the rounds that measured both.

    The ratio is the median of the rounds' ratios: the two were measured one after the other there,
    and whatever slowed the machine down for a while slowed both.
    """
    rows = []
    for row in comparisons:
        pairs = [
            (ours[row.figure], peer[row.figure])
            for one in (rounds[:1] if row.is_of_first_round else rounds)
            if (ours := one.get(row.ours)) and (peer := one.get(row.peer)) and peer.get(row.figure)
        ]
        if not pairs:
            continue
        ratios = [ours / peer for ours, peer in pairs]
        rows.append(
            Compared(
                name=row.name,
                ours=median(ours for ours, _peer in pairs),
                peer=median(peer for _ours, peer in pairs),
                unit=row.unit,
                ratio=median(ratios),
                ratios=ratios,
                goal=row.goal,
                in_the_end=row.in_the_end,
                is_cost=row.is_cost,
            )
        )
    return rows


def facts_of(rounds: Sequence[Round], facts: Iterable[Fact] = FACTS) -> list[dict[str, Any]]:
    """Medians of what is compared with nothing."""
    found = []
    for fact in facts:
        values = [one[fact.measure][fact.figure] for one in rounds if fact.measure in one]
        if values:
            value = median(values)
            is_met = None if fact.most is None else value <= fact.most
            found.append({**asdict(fact), "value": value, "is_met": is_met})
    return found


def result(rounds: Sequence[Round], about: Mapping[str, Any]) -> dict[str, Any]:
    """All that is kept of a run."""
    return {
        "machine": machine(),
        "commit": commit(),
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
        "rows": rows_of(rounds),
        "facts": facts_of(rounds),
        "rounds": rounds,
    }


def rows_of(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """The rows of the table, as they are kept."""
    return [
        {**asdict(row), "is_met": row.is_met, "is_met_in_the_end": row.is_met_in_the_end}
        for row in compare(rounds)
    ]


def machine() -> str:
    """What kind of machine it is, never which one."""
    return f"{os.cpu_count()}-core-{platform.machine()}"


def commit() -> str:
    """The short name of the commit; `-changed` when the tree differs from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--exclude=*", "--dirty=-changed"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def write(found: Mapping[str, Any], folder: Path = RESULTS, *, label: str = "") -> Path:
    """Keep a result under its machine and commit; a later run of the same replaces it."""
    folder.mkdir(exist_ok=True)
    parts = [found["machine"], found["commit"], label]
    path = folder / f"{'-'.join(part for part in parts if part)}.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def busiest_generator(rounds: Sequence[Round]) -> tuple[str, float]:
    """The measure in which whoever makes the load took the largest share of a core, and that."""
    shares = [
        (measure, figures["generator_share"])
        for one in rounds
        for measure, figures in one.items()
        if "generator_share" in figures
    ]
    return max(shares, key=lambda pair: pair[1], default=("", 0.0))


def table(found: Mapping[str, Any]) -> str:
    """What is printed at the end."""
    lines = [f"{'':<48}{'ours':>12}{'peer':>12}{'ratio':>8}   goal"]
    lines += [
        f"{row['name']:<48}{_number(row['ours']) + row['unit']:>12}"
        f"{_number(row['peer']) + row['unit']:>12}{row['ratio']:>8.3f}   {_goal(row)}"
        for row in found["rows"]
    ]
    lines.append("")
    for fact in found["facts"]:
        goal = "" if fact["most"] is None else f"≤ {fact['most']:g} {_mark(fact['is_met'])}"
        lines.append(f"{fact['name']:<48}{_number(fact['value']) + fact['unit']:>12}   {goal}")
    return "\n".join(lines)


def _goal(row: Mapping[str, Any]) -> str:
    sign = "≤" if row["is_cost"] else "≥"
    parts = []
    if row["goal"] is not None:
        parts.append(f"{sign} {row['goal']:g} {_mark(row['is_met'])}")
    if row["in_the_end"] is not None:
        parts.append(f"in the end {sign} {row['in_the_end']:g} {_mark(row['is_met_in_the_end'])}")
    return ", ".join(parts)


def _mark(is_met: bool | None) -> str:
    return "met" if is_met else "MISSED"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
