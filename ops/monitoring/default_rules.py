"""The words of the rules that every platform begins with.

A migration makes their rows, which staff then change as they like; the words stay here, so that
they are there in both languages. docs/operations/alerts/ has a page for each that says what to do.
"""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Words:
    """Title and text of a rule, lazy, with the facts that they name in braces."""

    title: Any
    text: Any


# Of a rule that people made and gave no words.
PLAIN_WORDS = Words(
    _("{rule}: {value}"),
    _("{rule} reads {value}, the threshold is {threshold} ({series}), since {since}."),
)

WORDS = {
    "error-rate": Words(
        _("Requests fail"),
        _("Of all requests of the last minutes, {value} (1 is all) were answered with an error."),
    ),
    "slow-requests": Words(
        _("Requests take more than five seconds"),
        _("{value} of them in the last minutes; the newest: {details}."),
    ),
    "database-away": Words(
        _("The database cannot be reached"),
        _(
            "Machine {series} has not reached it since {since}. Nobody can be served. Each machine "
            "that does not reach it tells so by itself."
        ),
    ),
    "database-connections": Words(
        _("The database's connections run out"),
        _("{value} threads wait for a connection ({series})."),
    ),
    "database-sessions": Words(
        _("The database server is nearly out of connections"),
        _("Of all connections that it allows, {value} (1 is all) are taken, whoever has them."),
    ),
    "gauges-unread": Words(
        _("Metrics of the database cannot be read"),
        _("{value} of them were not read in time on {series}: the rules on them are blind."),
    ),
    "redis-away": Words(
        _("Redis cannot be reached"),
        _("Since {since} ({series}). Limits are counted by each process alone, pushes stay away."),
    ),
    "storage-away": Words(
        _("Files cannot be stored"),
        _("Since {since} ({series}). Receipts cannot be submitted."),
    ),
    "disk-nearly-full": Words(
        _("The disk is nearly full"),
        _("{value} bytes are free on {series}, the threshold is {threshold}."),
    ),
    "queue-old": Words(
        _("Background work is late"),
        _("The oldest task has waited for {value} seconds."),
    ),
    "job-failing": Words(
        _("A periodic job keeps failing"),
        _("{series}: {value} times in a row."),
    ),
    "tasks-lost": Words(
        _("Background tasks fail or lose their worker"),
        _("{value} of them in the last hour ({series})."),
    ),
    "job-late": Words(
        _("A periodic job is not taken up"),
        _("{series}: due for {value} seconds."),
    ),
    "worker-silent": Words(
        _("No worker does the background work"),
        _("None has been heard of for {value} seconds ({series})."),
    ),
    "review-queue-old": Words(
        _("Receipts wait for a decision"),
        _("The oldest has waited for {value} seconds."),
    ),
    "stock-low": Words(
        _("Products run out"),
        _("{value} products of the mall are at or below the threshold of their stock."),
    ),
    "memory": Words(
        _("A process takes much memory"),
        _("{value} bytes ({series}), the threshold is {threshold}."),
    ),
    "certificate-near-end": Words(
        _("The certificate ends soon"),
        _("The platform's certificate is good for {value} more days."),
    ),
    "sms-pumping": Words(
        _("Sign-in codes are sent and not used"),
        _(
            "Somebody may have them sent for the sake of sending: phones that never signed in "
            "before wait ({details})."
        ),
    ),
    "sms-budget-used-up": Words(
        _("The day's budget of sign-in codes is used up"),
        _("Nobody gets a code by SMS until midnight ({details})."),
    ),
    "seals-contradict": Words(
        _("Seals and database contradict each other"),
        _("The ledgers are not sealed any more: {details}."),
    ),
    "wal-behind": Words(
        _("What PostgreSQL writes is not received"),
        _(
            "The WAL in the {series} ends {value} seconds ago. Of what was written since, only "
            "what the next backup keeps could be restored."
        ),
    ),
    "backup-overdue": Words(
        _("There is no young proven backup"),
        _("There should have been one {value} seconds ago, by the schedule and two hours."),
    ),
    "backup-failed": Words(
        _("A backup was not made"),
        _("{details}"),
    ),
    "backup-not-proven": Words(
        _("A backup could not be proven"),
        _("It was restored to a scratch database, and is not what it should be: {details}"),
    ),
    "backup-started": Words(
        _("A backup was begun"),
        _("{details}"),
    ),
    "backup-made": Words(
        _("A backup was made"),
        _("{details}"),
    ),
}
