"""What apps do on a database that was restored, before anybody sees it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from ops.registry import Registry


class AfterRestore(Protocol):
    """Something that the past does not know and has to be done again, such as an erasure.

    `moment` is that which the database shows. It may be done several times, and what it returns is
    told to staff. It may read the files of the platform, such as a list of what has to be done
    again; it changes none and reaches no other server, since the copy may never live. A file whose
    row it deletes does not come back. Raising keeps the restored database from taking the place of
    the live one.
    """

    def __call__(self, *, moment: datetime) -> object: ...


# By name; in the order in which apps handed them in.
steps: Registry[AfterRestore] = Registry()


def run(*, moment: datetime) -> Mapping[str, object]:
    """Do all of them; returns what each said."""
    return {name: step(moment=moment) for name, step in steps.items()}
