"""deploy/monitoring/ as it is read: rules, dashboards and their expressions."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy" / "monitoring"
DASHBOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
RULES = sorted(FOLDER.glob("*.rules.yml"))
# What Grafana puts in their place.
VARIABLES = {"$__rate_interval": "1m", "$__interval": "1h", "$__range": "6h", "$machine": ".*"}


@dataclass(frozen=True)
class Said:
    """An expression, where it stands, and what else is said of its series there."""

    where: str
    expression: str
    legend: str = ""


def rules() -> list[dict[str, Any]]:
    """All rules of all files."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def recorded() -> dict[str, str]:
    """The expressions of the recording rules, by their names."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def alerts() -> dict[str, dict[str, Any]]:
    """The alert rules by their names."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def dashboard(path: Path) -> dict[str, Any]:
    """What a dashboard's file says."""
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return said


def filled_in(expression: str) -> str:
    """An expression of a dashboard as Prometheus gets it."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression


def of_dashboard(path: Path) -> Iterator[Said]:
    """All expressions of a dashboard, with its variables filled in."""
    said = dashboard(path)
    for panel in said["panels"]:
        for target in panel.get("targets", []):
            where = f"{path.name}: {panel['title']}"
            yield Said(where, filled_in(target["expr"]), target["legendFormat"])
    for annotation in said["annotations"]["list"]:
        if "expr" in annotation:
            yield Said(path.name, filled_in(annotation["expr"]), annotation["titleFormat"])
    for variable in said["templating"]["list"]:
        if found := re.fullmatch(r"label_values\((.+), (\w+)\)", variable.get("definition", "")):
            yield Said(path.name, found[1], f"{{{{{found[2]}}}}}")


def everything() -> list[Said]:
    """All expressions of rules and dashboards; of an alert's words the labels are its legend."""
    of_rules = [
        Said(
            rule.get("alert") or rule["record"],
            rule["expr"],
            re.sub(r"\$labels\.(\w+)", r"\1", rule.get("annotations", {}).get("description", "")),
        )
        for rule in rules()
    ]
    return of_rules + [one for path in DASHBOARDS for one in of_dashboard(path)]
