"""Signing in to the console by a code that was sent to the phone.

Codes are asked for by `sign_in_codes.ask_code`, as in the app, and for whatever phone: whether
somebody may enter by it is told to nobody but whoever reads its messages.
"""

from accounts.errors import AccountClosed, CodeVoid, NoConsoleRights, WrongCode
from accounts.metrics import SIGN_INS_REFUSED
from accounts.models import CodePurpose, User
from accounts.services import admissions, sign_in_codes
from ops import security_log
from ops.errors import TooManyRequests


def check_code(*, phone: str, code: str, address: str) -> User:
    """The person who signs in to the console by this phone and the code that it got for it.

    Nobody gets an account by it but who is awaited (`admissions`). Raises InvalidPhone, WrongCode,
    CodeVoid and TooManyRequests as `use_code` does; after the right code alone AccountClosed, and
    NoConsoleRights where this phone has no account.
    """
    try:
        sign_in_codes.use_code(phone=phone, code=code, address=address, purpose=CodePurpose.CONSOLE)
    except (WrongCode, CodeVoid, TooManyRequests) as refusal:
        is_delay = isinstance(refusal, TooManyRequests)
        of_phone = User.objects.filter(phone=phone).values_list("pk", flat=True)
        security_log.note(
            "console_sign_in_delayed" if is_delay else "console_sign_in_failed",
            person_id=of_phone.first(),
            refusal=refusal.code,
        )
        SIGN_INS_REFUSED.add(1, "console", "delayed" if is_delay else "wrong")
        raise
    person = admissions.person_of(phone)
    if person is None:
        security_log.note("console_sign_in_refused", reason="no account")
        raise NoConsoleRights
    if not person.is_active:
        security_log.note("console_sign_in_refused", person_id=person.pk, reason=person.status)
        SIGN_INS_REFUSED.add(1, "console", "closed")
        raise AccountClosed
    return person
