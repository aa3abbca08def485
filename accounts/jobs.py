"""What the scheduler runs for people and their sign-ins."""

from accounts.services import console_sessions, console_sign_in, sign_in, sign_in_codes
from ops.services.jobs import jobs


def register() -> None:
    """Register the periodic jobs of people and their sign-ins."""
    jobs.register("old sign-in codes", sign_in_codes.forget_old)
    jobs.register("ended sign-ins", sign_in.forget_ended)
    jobs.register("expired console sessions", console_sessions.forget_expired)
    jobs.register("old tries to sign in", console_sign_in.forget_old_tries)
