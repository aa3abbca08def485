"""Debian's Prometheus scrapes a server of three processes, with the files that we ship."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import yaml

from bench import programs
from tests import monitoring, prometheus, promql
from tests.api import data_of
from tests.live import Platform, own_database
from tests.monitoring import DASHBOARDS, FOLDER

IN_TIME = 60  # seconds, on a machine that has much else to do
REQUESTS_OF_EACH = 20
SHOPS = 'sum(platform_requests_total{route="api/shops", status="200"})'


class Asked(BaseHTTPRequestHandler):
    """A machine whose job is late, and that remembers by which tokens it was asked."""

    tokens: set[str | None] = set()

    def do_GET(self):
        self.tokens.add(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b'platform_job_late_seconds{job="ledgers.seal"} 400\n')

    def log_message(self, *_said):
        """Say nothing."""


@contextmanager
def late_machine() -> Iterator[int]:
    """Listen on the loopback as `Asked`; yields the port."""
    server = HTTPServer((programs.LOOPBACK, 0), Asked)
    listening = threading.Thread(target=server.serve_forever, args=(0.05,))
    listening.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        listening.join()
        server.server_close()


@contextmanager
def three_processes(folder, environment) -> Iterator[tuple[str, str]]:
    """Two processes of HTTP and one of sockets, as in production, on one database and folder."""
    with ExitStack() as stack:
        addresses = []
        for name, command in (
            ("web", lambda port: programs.granian(port, workers=2)),
            ("sockets", programs.sockets),
        ):
            port = programs.free_port()
            log = folder / f"{name}.log"
            stack.enter_context(
                programs.running(command(port), port=port, log=log, environment=environment)
            )
            addresses.append(f"http://{programs.LOOPBACK}:{port}")
        web, sockets = addresses
        yield web, sockets


def configure(folder, targets, token):
    """The files that we ship, for these machines and a test that is in a hurry."""
    for path in monitoring.RULES:
        text = path.read_text(encoding="utf-8")
        (folder / path.name).write_text(text.replace("interval: 1m", "interval: 1s"), "utf-8")
    said = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    said["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    (scraped,) = said["scrape_configs"]
    scraped["static_configs"] = [{"targets": targets}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(said), encoding="utf-8")
    (folder / scraped["authorization"]["credentials_file"]).write_text(f"{token}\n", "ascii")


def ask_for_shops(base, times):
    """Ask so often, each time by a connection of its own, so that any process may answer."""
    with httpx.Client(base_url=base, headers={"Connection": "close"}, timeout=30) as client:
        for _time in range(times):
            assert client.get("/api/shops").status_code == 200


def test_its_sums_are_right_and_every_rule_and_panel_can_be_worked_out(tmp_path):
    token = secrets.token_hex(16)
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with own_database() as database, late_machine() as late:
        given = {**database, "METRICS_TOKEN": token, "DEBUG": "1"}
        platform = Platform(tmp_path, given)
        migrated = platform.manage("migrate")
        assert migrated.returncode == 0, migrated.stderr
        with three_processes(tmp_path, platform.environment) as (web, sockets):
            targets = [
                address.removeprefix("http://") for address in (web, f"http://127.0.0.1:{late}")
            ]
            configure(folder, targets, token)
            with prometheus.running(folder) as asked:
                the_sums_are_right(asked, web, sockets)
                every_rule_can_be_worked_out(asked)
                every_panel_can_be_worked_out(asked)
    assert Asked.tokens == {f"Bearer {token}"}


def the_sums_are_right(asked, web, sockets):
    ask_for_shops(sockets, REQUESTS_OF_EACH)
    ask_for_shops(web, 2 * REQUESTS_OF_EACH)
    sent = 3 * REQUESTS_OF_EACH

    def both_were_asked():
        """Which of the two answers is chosen by the kernel: one more until both have."""
        nonlocal sent
        ask_for_shops(web, 1)
        sent += 1
        return asked.value('sum(platform_processes{kind="web"})') == 2

    asked.wait_until(both_were_asked, seconds=IN_TIME)
    body = {"phone": "13800138001", "code": "123456"}
    signed_in = data_of(httpx.post(f"{web}/api/auth/login", json=body, timeout=30))

    asked.wait_for(SHOPS, sent)
    asked.wait_for('sum(platform_processes{kind="sockets"})', 1)
    asked.wait_for('sum(platform_sign_ins_total{way="code"})', 1)
    asked.wait_for("sum(platform_new_people_total)", 1)
    asked.wait_for(
        'sum(platform_points_issued_total{source="register"})',
        signed_in["user_info"]["total_points"],
    )
    # Two scrapes later it was never more. A scrape that took too long makes it nothing for a while.
    scrapes = f'count_over_time(up{{instance="{web.removeprefix("http://")}"}}[10m])'
    seen = asked.value(scrapes)
    asked.wait_until(lambda: asked.value(scrapes) >= seen + 2, seconds=IN_TIME)
    assert asked.value(f"max_over_time(({SHOPS})[10m:1s])") == sent
    asked.wait_for(SHOPS, sent)
    asked.wait_for('sum(platform_request_seconds_count{route="api/shops"})', sent)
    asked.wait_for("sum(platform_new_people_total)", 1)
    asked.wait_for("sum(platform_unread_gauges)", 0)


def every_rule_can_be_worked_out(asked):
    def rules():
        return [rule for group in asked.get("/rules")["groups"] for rule in group["rules"]]

    asked.wait_until(lambda: {rule["health"] for rule in rules()} == {"ok"}, seconds=IN_TIME)
    assert len(rules()) == len(monitoring.rules())
    assert {rule["lastError"] for rule in rules() if "lastError" in rule} <= {""}
    for name in monitoring.recorded().keys() - NOT_HERE:
        asked.wait_until(partial(asked.query, name), seconds=IN_TIME)
    # The label of a periodic job, as the rules expect it of Prometheus.
    asked.wait_for('ALERTS{alertname="JobLate", exported_job="ledgers.seal"}', 1)


def every_panel_can_be_worked_out(asked):
    for path in DASHBOARDS:
        for said in monitoring.of_dashboard(path):
            found = asked.query(said.expression)  # or Prometheus says what is wrong with it
            if not found and not is_of_something_else(said.expression):
                asked.wait_until(partial(asked.query, said.expression), seconds=IN_TIME)


# What three processes without a worker, without Redis or on SQLite have no series of.
NOT_HERE = {
    "ALERTS", "platform_backup_proven_age_seconds", "platform_wal_archive_behind_seconds",
    "platform_certificate_days", "platform_database_connections",
    "platform_database_deadlocks", "platform_database_lock_waits",
    "platform_database_longest_lock_wait_seconds", "platform_database_longest_transaction_seconds",
    "platform_database_sessions", "platform_database_sessions_allowed", "platform_file_bytes",
    "platform_files", "platform_job_failures_in_a_row", "platform_job_runs_total",
    "platform_job_running_seconds", "platform_job_seconds_total", "platform_redis_up",
    "platform_sign_in_codes_used_ratio", "platform_silent_seconds", "platform_sms_tries_total",
    "platform_sockets", "platform_wechat_seconds_bucket", "platform:database_sessions:share",
}  # fmt: skip


def is_of_something_else(expression):
    """Whether it asks for what was not there: failures, refusals, a week ago."""
    asked_for = promql.read(expression).selectors
    labels = {label for one in asked_for for label, _is, _value in one.matchers}
    names = {one.name for one in asked_for}
    return bool(
        names & NOT_HERE
        or labels & {"status", "code"}
        or "offset" in expression
        or expression.endswith("> 0")
    )
