"""All of a change or nothing of it, wherever it is called from."""

from django.db import DEFAULT_DB_ALIAS
from django.db.transaction import Atomic


class Joining(Atomic):
    """A block that joins the transaction around it, and begins one where there is none.

    `transaction.atomic` would set a savepoint inside of another block, which is two statements, and
    is of use only to whoever goes on after a failure. Nobody does: what a joined block raises takes
    back the whole transaction, and a query that comes after it fails. Whoever goes on after a
    refusal, as with many rows that are each decided on their own, opens a savepoint there, by
    `transaction.atomic()`.
    """


# For services: `@in_transaction`.
in_transaction = Joining(DEFAULT_DB_ALIAS, savepoint=False, durable=False)
