"""What check_integrity costs a row, on a database of honest people, draws, points and stock.

    python -m bench.integrity [--people 10000] [--draws-each 10]

Starts a PostgreSQL of its own (tests.servers; it forgets instead of writing to disk), fills it as
the services would have, and runs every check as `manage.py check_integrity --timings` does: in one
snapshot each, over the rows it answers for. The goal is 8 µs a row on 2 cores; a check of less than
a thousand rows is not judged, since it costs what its statements cost. Exits 1 if anything is
found: then it was not the honest case that was measured.
"""

import argparse
import os
import sys
import time

from tests.servers import running_servers

GOAL = 8.0  # µs a row
JUDGED_FROM = 1_000  # rows


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench.integrity")
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--draws-each", type=int, default=10)
    options = parser.parse_args(arguments)
    with running_servers() as servers:
        # Before Django is set up: the settings read their addresses once.
        os.environ.update(servers.environment, DJANGO_SETTINGS_MODULE="config.settings")
        return measure(people=options.people, draws_each=options.draws_each)


def measure(*, people, draws_each):
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from bench.honest_rows import fill
    from ops.services import integrity

    call_command("migrate", verbosity=0)
    begun = time.perf_counter()
    fill(people=people, draws_each=draws_each)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    print(f"filled in {time.perf_counter() - begun:.0f} s; load {os.getloadavg()[0]:.1f}")
    print(f"{'check':<12}{'rows':>10}{'seconds':>10}{'µs a row':>10}   goal {GOAL:.0f}")
    found = 0
    for name in integrity.checks.names():
        begun = time.perf_counter()
        findings = list(integrity.run(name))
        seconds = time.perf_counter() - begun
        rows = integrity.count_rows(name)
        each = seconds / max(rows, 1) * 1_000_000
        verdict = "   above it" if rows >= JUDGED_FROM and each > GOAL else ""
        print(f"{name:<12}{rows:>10,}{seconds:>10.2f}{each:>10.1f}{verdict}")
        for finding in findings[:10]:
            print(f"  {finding}")
        found += len(findings)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
