"""deploy/monitoring/: promtool's own checks, and that whatever is asked for is exported."""

import re
import shutil
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from ops.measures import Counter, Gauge, Histogram, measures
from ops.models import AlertRule
from ops.services.metrics import UNREAD
from tests import monitoring, promql
from tests.kept_servers import ServerFailed
from tests.monitoring import DASHBOARDS, FOLDER, ROOT
from tests.prometheus import promtool

EVERYTHING = monitoring.everything()
# What Prometheus adds to every series of ours, and a histogram to its buckets.
ADDED = {"instance", "job", "le"}
OF_PROMETHEUS = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
UNITS = {"short", "none", "s", "bytes", "percentunit", "ops", "reqps"}
WATCHES_THE_WATCHING = {"machine-away"}


# --- As promtool reads it -------------------------------------------------------------------------
def test_a_machine_without_promtool_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerFailed, match=r"promtool is not installed \(Debian: prometheus\)"):
        promtool("--version", folder=tmp_path)


def test_ci_installs_it():
    packages = re.search(r"(?m)^packages=\((.+)\)$", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert packages
    assert "prometheus" in packages[1].split()


def test_promtool_takes_the_configuration():
    status, said = promtool("check", "config", "prometheus.yml", folder=FOLDER)
    assert status == 0, said
    assert "2 rule files found" in said


def test_promtool_takes_the_rules_and_finds_nothing_to_say():
    files = [path.name for path in monitoring.RULES]
    assert files == ["alerts.rules.yml", "recording.rules.yml"]
    status, said = promtool("check", "rules", "--lint=all", "--lint-fatal", *files, folder=FOLDER)
    assert status == 0, said


@pytest.mark.parametrize("name", ["rules.test.yml", "rules.days.test.yml"])
def test_promtool_sees_each_rule_do_what_it_is_for(name):
    status, said = promtool("test", "rules", name, folder=FOLDER)
    assert status == 0, said


def test_promtool_would_say_that_a_rule_is_wrong(tmp_path):
    """Its tests are such that a threshold that moved is noticed."""
    for path in FOLDER.glob("*.yml"):
        shutil.copy(path, tmp_path)
    changed = tmp_path / "alerts.rules.yml"
    text = changed.read_text(encoding="utf-8")
    assert "platform_queue_oldest_seconds) > 120" in text
    changed.write_text(text.replace("oldest_seconds) > 120", "oldest_seconds) > 119"), "utf-8")
    status, said = promtool("test", "rules", "rules.test.yml", folder=tmp_path)
    assert status == 1
    assert "QueueOld" in said


def test_each_alert_is_seen_silent_raised_and_over():
    seen: dict[str, list[bool]] = {}
    for path in FOLDER.glob("*.test.yml"):
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for one in test.get("alert_rule_test", []):
                seen.setdefault(one["alertname"], []).append(bool(one["exp_alerts"]))
    assert set(seen) == set(monitoring.alerts())
    for name, raised in seen.items():
        assert raised[0] is raised[-1] is False, name
        assert any(raised), name


def test_each_recording_rule_is_seen_to_come_to_something():
    text = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.test.yml"))
    asked = {
        one.name for said in re.findall(r"expr: (.+)", text) for one in promql.read(said).selectors
    }
    assert set(monitoring.recorded()) <= asked


# --- The same as the platform's own rules ---------------------------------------------------------
@pytest.mark.django_db
def test_the_platforms_own_rules_are_all_here_as_strict_and_as_patient():
    # What is switched off, such as that all is well, is nothing to be woken by.
    ours = {rule.slug: rule for rule in AlertRule.objects.exclude(slug="").filter(is_enabled=True)}
    here: dict[str, list[dict]] = {}
    for rule in monitoring.alerts().values():
        here.setdefault(rule["labels"]["rule"], []).append(rule)
    assert set(here) == set(ours) | WATCHES_THE_WATCHING
    for slug, own in ours.items():
        first = here[slug][0]
        assert {one["labels"]["severity"] for one in here[slug]} == {own.severity}, slug
        limit = re.search(r"([<>]) ([0-9.]+)\Z", first["expr"].strip())
        assert limit, slug
        assert limit[1] == {"above": ">", "below": "<"}[own.comparison], slug
        assert float(limit[2]) == own.threshold, slug
        assert first.get("for", "0s") == _duration(own.for_seconds), slug
        if own.least_whole:
            assert f">= {own.least_whole})" in first["expr"], slug


def _duration(seconds: int) -> str:
    return f"{seconds // 60}m" if seconds and seconds % 60 == 0 else f"{seconds}s"


def test_each_alert_leads_to_a_page_that_says_what_to_do():
    for name, rule in monitoring.alerts().items():
        assert rule["annotations"]["summary"], name
        assert rule["annotations"]["description"], name
        page, _hash, anchor = rule["annotations"]["runbook_url"].partition("#")
        text = (ROOT / page).read_text(encoding="utf-8")
        if rule["labels"]["rule"] in WATCHES_THE_WATCHING:
            titles = re.findall(r"(?m)^## (.+)$", text)
            assert anchor in {title.lower().replace(" ", "-") for title in titles}, name
        else:
            assert page == f"docs/operations/alerts/{rule['labels']['rule']}.md"


# --- What is asked for is exported ----------------------------------------------------------------
def exported() -> dict[str, set[str]]:
    """All series that a rule or a dashboard may ask for, with their labels."""
    known = {UNREAD: set[str](), **OF_PROMETHEUS}
    for name, measure in measures.items():
        # The label of a periodic job gives way to Prometheus' own.
        labels = {"exported_job" if one.name == "job" else one.name for one in measure.labels}
        parts = ("_bucket", "_sum", "_count") if isinstance(measure, Histogram) else ("",)
        known |= {f"{name}{part}": labels for part in parts}
    for name, expression in monitoring.recorded().items():
        known[name] = set(promql.read(expression).grouped_by) - {"le"}
    return known


def test_every_metric_and_label_that_is_named_exists():
    known = exported()
    for said in EVERYTHING:
        assert wrong_in(said, known) == [], said


def wrong_in(said: monitoring.Said, known: dict[str, set[str]]) -> list[str]:
    """What an expression asks for, or its words name, and nobody exports."""
    found = promql.read(said.expression)
    wrong = [one.name for one in found.selectors if one.name not in known]
    labels = ADDED.union(*(known.get(one.name, ()) for one in found.selectors))
    for one in found.selectors:
        allowed = known.get(one.name, set()) | ADDED
        wrong += [label for label, _is, _value in one.matchers if label not in allowed]
        wrong += _of_another_name(one)
    named = found.grouped_by.union(re.findall(r"\{\{\s*(\w+)\s*\}\}", said.legend))
    return wrong + sorted(named - labels)


def _of_another_name(selector: promql.Selector) -> list[str]:
    """Values that are asked for and that a label never has."""
    measure = dict(measures.items()).get(selector.name)
    values = {label.name: label.values for label in measure.labels} if measure else {}
    return [
        value
        for label, operator, value in selector.matchers
        if operator == "=" and values.get(label) and value not in values[label]
    ]


def test_what_all_machines_share_is_never_summed_and_what_is_of_one_is():
    known = dict(measures.items())
    for said in EVERYTHING:
        for one in promql.read(said.expression).selectors:
            around = set(promql.aggregated_by(said.expression, one.name))
            if isinstance(known.get(one.name), Gauge):
                assert around <= {"max", "min", "delta"}, said
            if isinstance(known.get(one.name), Counter):
                assert around <= {"rate", "increase"}, said


def test_an_expression_is_read_as_prometheus_reads_it():
    found = promql.read(
        'histogram_quantile(0.95, sum by (route, le) (rate(a_bucket{x="}", y=~"b.*"}[5m]))) '
        "/ on (x) group_left () max(b_total offset 1w) > 1e3 or vector(0) and c:d:e unless f"
    )
    assert [one.name for one in found.selectors] == ["a_bucket", "b_total", "c:d:e", "f"]
    assert found.selectors[0].matchers == (("x", "=", "}"), ("y", "=~", "b.*"))
    assert found.grouped_by == {"route", "le", "x"}
    assert promql.aggregated_by("max by (x) (a) + sum(a) + a", "a") == ["max", "sum", ""]


@pytest.mark.parametrize(
    ("expression", "legend", "wrong"),
    [
        ("sum(rate(platform_nothing_total[5m]))", "", ["platform_nothing_total"]),
        ('sum(rate(platform_draws_total{person="1"}[5m]))', "", ["person"]),
        ('rate(platform_decisions_total{decision="postponed"}[5m])', "", ["postponed"]),
        ("sum by (kind) (rate(platform_draws_total[5m]))", "", ["kind"]),
        ("sum(rate(platform_draws_total[5m]))", "{{ kind }}", ["kind"]),
        ("sum by (kind) (rate(platform_prizes_total[5m]))", "{{kind}}", []),
    ],
    ids=str,
)
def test_what_does_not_exist_would_be_noticed(expression, legend, wrong):
    assert wrong_in(monitoring.Said("", expression, legend), exported()) == wrong


def test_what_the_operations_of_a_platform_need_to_see_is_on_a_dashboard():
    """All of what is exported, but for what stands in the list below."""
    asked = {one.name for said in EVERYTHING for one in promql.read(said.expression).selectors}
    names = {
        name: {f"{name}{part}" for part in ("", "_bucket", "_sum", "_count")}
        for name in measures.names()
    }
    assert {name for name, series in names.items() if not series & asked} == NOT_SHOWN


# Of interest to who looks for something, and then by a question of their own.
NOT_SHOWN = {
    "platform_account_merges_total",
    "platform_changes_total",
    "platform_files_discarded_total",
    "platform_files_stored_total",
    "platform_job_rows_total",
    "platform_people_renamed_total",
    "platform_refreshes_total",
    "platform_rows_purged_total",
    "platform_second_factors_used_total",
    "platform_seeds_rotated_total",
    "platform_sign_outs_total",
}


# --- Dashboards -----------------------------------------------------------------------------------
def test_there_are_three():
    assert [path.stem for path in DASHBOARDS] == ["application", "business", "database"]
    all_of_them = [monitoring.dashboard(path) for path in DASHBOARDS]
    assert len({one["uid"] for one in all_of_them}) == 3
    assert len({one["title"] for one in all_of_them}) == 3


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_what_grafana_takes(path):
    said = monitoring.dashboard(path)
    assert said["id"] is None, "Grafana gives the number"
    assert said["schemaVersion"] >= 39
    variables = {one["name"] for one in said["templating"]["list"]}
    panels = said["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["type"] in {"row", "stat", "timeseries", "table"}
        place = panel["gridPos"]
        assert place["x"] >= 0, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        if panel["type"] == "row":
            assert not panel["collapsed"]
            continue
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"].get("unit", "short") in UNITS
        refs = [target["refId"] for target in panel["targets"]]
        assert refs, panel["title"]
        assert len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert target["expr"]
            assert target["datasource"] == panel["datasource"]
            used = set(re.findall(r"\$(?!__)(\w+)", target["expr"]))
            assert used <= variables
    for first, second in combinations(panels, 2):
        assert not _overlap(first["gridPos"], second["gridPos"]), (first["title"], second["title"])


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_grafana_finds_prometheus_and_the_dashboards():
    provisioning = FOLDER / "grafana" / "provisioning"
    (source,) = _read(provisioning / "datasources" / "prometheus.yml")["datasources"]
    configuration = _read(FOLDER / "prometheus.yml")
    assert source["type"] == "prometheus"
    # Rates over less than four scrapes would have holes.
    assert source["jsonData"]["timeInterval"] == configuration["global"]["scrape_interval"]
    (provider,) = _read(provisioning / "dashboards" / "platform.yml")["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_no_token_is_kept_here():
    (scraped,) = _read(FOLDER / "prometheus.yml")["scrape_configs"]
    assert scraped["authorization"] == {"type": "Bearer", "credentials_file": "metrics-token"}
    placeholder = (FOLDER / "metrics-token").read_text(encoding="ascii")
    assert placeholder == "here-goes-the-value-of-METRICS_TOKEN\n"


def _read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
