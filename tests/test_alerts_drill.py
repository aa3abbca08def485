"""What matters most goes wrong, and who is told is told: the short form of `make bench-alerts`."""

import pytest

from bench.alerts import FAULTS, HEADINGS, measure, scene

pytestmark = pytest.mark.postgresql

# All at once, and the database last: while it is away nothing else is found out.
TOGETHER = {
    "error-rate",
    "redis-away",
    "disk-nearly-full",
    "job-failing",
    "stock-low",
    "queue-old",
}


def test_each_fault_is_told_and_told_to_be_over():
    with scene() as one:
        done = measure(one, [fault for fault in FAULTS if fault.rule in TOGETHER])
        done += measure(one, [fault for fault in FAULTS if fault.rule == "database-away"])
    print("\n".join([HEADINGS, *(measured.line for measured in done)]))  # noqa: T201
    assert {measured.fault.rule for measured in done} == {*TOGETHER, "database-away"}
    assert [one.line for one in done if one.raised is None or one.resolved is None] == []
