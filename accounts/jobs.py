"""What the scheduler runs for people and their sign-ins."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from accounts.services import (
    code_counts,
    console_sessions,
    console_sign_in,
    emails,
    sign_in,
    sign_in_codes,
)
from ops.services.jobs import Job, jobs


def register() -> None:
    """Register the periodic jobs of people and their sign-ins."""
    jobs.register(
        "old sign-in codes",
        Job(
            run=sign_in_codes.forget_old,
            cron="10 3 * * *",
            in_batches=True,
            label=_("Forget old sign-in codes"),
        ),
    )
    jobs.register(
        "old counts of sign-in codes",
        Job(
            run=code_counts.forget_old,
            cron="15 3 * * *",
            in_batches=True,
            label=_("Forget old counts of sign-in codes"),
        ),
    )
    jobs.register(
        "old e-mail links",
        Job(
            run=emails.forget_old,
            cron="15 3 * * *",
            in_batches=True,
            label=_("Forget old e-mail links"),
        ),
    )
    jobs.register(
        "ended sign-ins",
        Job(
            run=sign_in.forget_ended,
            cron="20 3 * * *",
            in_batches=True,
            label=_("Forget sign-ins that ended long ago"),
        ),
    )
    jobs.register(
        "expired console sessions",
        Job(
            run=console_sessions.forget_expired,
            every=timedelta(hours=1),
            in_batches=True,
            label=_("Forget expired sessions of the console"),
        ),
    )
    jobs.register(
        "old tries to sign in",
        Job(
            run=console_sign_in.forget_old_tries,
            every=timedelta(minutes=10),
            label=_("Forget old tries to sign in"),
        ),
    )
