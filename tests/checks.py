"""What check_integrity runs, without what costs a second each time."""

from ops.registry import Registry
from ops.services import integrity
from ops.services.integrity import Check

EVERY_CHECK = integrity.checks


def leave_tables_out(monkeypatch):
    """All checks but that of tables: on SQLite it parses the text of each of them."""
    checks = Registry[Check]()
    for name, check in EVERY_CHECK.items():
        if name != "tables":
            checks.register(name, check)
    monkeypatch.setattr(integrity, "checks", checks)
