"""The second factor of the console: codes of a phone (TOTP, RFC 6238) and recovery codes.

How often somebody may try is counted in `console_sign_in`; here is what is right.
"""

import base64
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from accounts.errors import (
    NoSecondFactor,
    OwnSecondFactor,
    SecondFactorNeeded,
    WrongSecondFactor,
)
from accounts.metrics import SECOND_FACTORS_USED
from accounts.models import RecoveryCode, SecondFactor, User
from accounts.services import console_devices
from accounts.services.staff import check_may_act_on
from ops import security_log
from ops.access import access_of
from ops.services import audit, key_ring
from ops.services.encryption import decrypt, encrypt, keyed_hash, keyed_hashes
from ops.transactions import in_transaction

DIGITS = 6
STEP = timedelta(seconds=30)
DRIFT = 1  # steps that a phone's clock may be before ours or behind it
SECRET_BYTES = 20  # as long as the hash, which RFC 4226 recommends
RECOVERY_CODES = 10
LONGEST_REASON = 500  # characters

HASH_PURPOSE = "recovery code"
# Without 0 and O, 1, I and L, which are read one for the other: 10 of them are 49 bits.
LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
RECOVERY_LENGTH = 10
OF_PHONE = re.compile(rf"[0-9]{{{DIGITS}}}", re.ASCII)
OF_RECOVERY = re.compile(rf"[{LETTERS}]{{{RECOVERY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class Passed:
    """An answer that was right. `left` is how many recovery codes are, where one was used."""

    factor_id: int
    left: int | None = None


# --- Who ------------------------------------------------------------------------------------------
def factor_of(person: User) -> SecondFactor | None:
    """The second factor that a person's sign-ins ask for; None for most people."""
    found: SecondFactor | None = SecondFactor.objects.of(person).first()
    return found


def must_have(person: User) -> bool:
    """Whether the console opens to a person with a second factor alone.

    So it does for whoever has a right that holds everywhere, outside of development.
    """
    access = access_of(person)
    return settings.SECOND_FACTOR_ASKED and (access.is_unlimited or bool(access.everywhere))


def codes_left(person: User) -> int:
    """How many recovery codes a person has left."""
    return RecoveryCode.objects.unused().filter(factor__person=person).count()


# --- The secret -----------------------------------------------------------------------------------
def new_secret() -> str:
    """A secret as people type it and apps read it: base32, 32 letters."""
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


@sensitive_variables("secret")
def address_of(secret: str, *, account: str, issuer: str) -> str:
    """The otpauth:// address that apps read from a picture."""
    return _totp(secret).get_provisioning_uri(account, issuer)


@sensitive_variables("secret")
def code_at(secret: str, moment: datetime) -> str:
    """The code that a phone shows at a moment."""
    return _totp(secret).generate(int(moment.timestamp())).decode()


@sensitive_variables("secret")
def _totp(secret: str) -> TOTP:
    key = base64.b32decode(secret)
    return TOTP(key, DIGITS, SHA1(), int(STEP.total_seconds()))  # noqa: S303  what apps know


@sensitive_variables("secret", "code")
def _step_of(secret: str, code: str, *, now: datetime) -> int | None:
    """The newest step, within the drift, whose code this is; None where it is none of theirs.

    Every step is compared, so that the time it takes says nothing.
    """
    if not OF_PHONE.fullmatch(code):
        return None
    totp, seconds = _totp(secret), int(STEP.total_seconds())
    current, found = int(now.timestamp()) // seconds, None
    for step in range(current - DRIFT, current + DRIFT + 1):
        try:
            totp.verify(code.encode(), step * seconds)
        except InvalidToken:
            continue
        found = step
    return found


# --- Having one -----------------------------------------------------------------------------------
@sensitive_variables("secret", "code")
@in_transaction
def enrol(*, person: User, secret: str, code: str) -> tuple[SecondFactor, list[str]]:
    """Let sign-ins of a person ask for a code of this secret, in the place of what they had.

    Returns the factor and its recovery codes, which nobody can read again. Sessions that know of
    no factor, or of the one before, end. Raises WrongSecondFactor unless `code` shows that the
    phone has the secret.
    """
    step = _step_of(secret, tidy(code), now=timezone.now())
    if step is None:
        security_log.note("second_factor_failed", person_id=person.pk, what="enrolment")
        raise WrongSecondFactor
    User.objects.locked().get(pk=person.pk)  # two pages at once make one factor
    is_new = not SecondFactor.objects.of(person).delete()[0]
    factor = SecondFactor.objects.create(
        person=person, secret_encrypted=encrypt(secret), last_step=step
    )
    codes = _make_codes(factor)
    security_log.note_change("second_factor_enrolled", person_id=person.pk)
    audit.record(
        action="user.enrol_second_factor" if is_new else "user.replace_second_factor",
        row=person,
        actor_id=person.pk,
    )
    return factor, codes


@in_transaction
def renew_recovery_codes(*, person: User) -> list[str]:
    """Give a person new recovery codes; those of before are worth nothing. Returns the new ones.

    Raises NoSecondFactor.
    """
    factor = _held(person)
    codes = _make_codes(factor)
    security_log.note_change("recovery_codes_renewed", person_id=person.pk)
    audit.record(action="user.renew_recovery_codes", row=person, actor_id=person.pk)
    return codes


@in_transaction
def remove(*, person: User) -> None:
    """Let a person's own sign-ins ask for no code any more.

    Raises SecondFactorNeeded for whoever has to have one, and NoSecondFactor.
    """
    if must_have(person):
        raise SecondFactorNeeded
    _held(person).delete()
    security_log.note_change("second_factor_removed", person_id=person.pk)
    audit.record(action="user.remove_second_factor", row=person, actor_id=person.pk)


@in_transaction
def reset(*, person_id: int, reason: str, author_id: int | None = None) -> None:
    """Take away the second factor of somebody who lost their phone, and end their sign-ins.

    Who has to have one makes a new one at the next sign-in. Raises OwnSecondFactor for one's own,
    HoldsMoreRights for somebody with rights that the author has not, and NoSecondFactor. A command
    may do anything: `author_id` is None.
    """
    if person_id == author_id:
        raise OwnSecondFactor
    person = User.objects.get(pk=person_id)
    if author_id is not None:
        check_may_act_on(author=User.objects.get(pk=author_id), person=person)
    _held(person).delete()
    console_devices.end_all(person)
    security_log.note_change("second_factor_reset", person_id=person_id)
    audit.record(action="user.reset_second_factor", row=person, reason=reason, actor_id=author_id)


def _held(person: User) -> SecondFactor:
    """Hold the person, and with them their factor. Raises NoSecondFactor."""
    User.objects.locked().get(pk=person.pk)
    if factor := factor_of(person):
        return factor
    raise NoSecondFactor


@sensitive_variables("code", "codes")
def _make_codes(factor: SecondFactor) -> list[str]:
    factor.recovery_codes.all().delete()
    codes = [
        "".join(secrets.choice(LETTERS) for _letter in range(RECOVERY_LENGTH))
        for _number in range(RECOVERY_CODES)
    ]
    key_id = key_ring.newest("hash").id
    RecoveryCode.objects.bulk_create(
        [
            RecoveryCode(factor=factor, code_hash=keyed_hash(HASH_PURPOSE, code), key_id=key_id)
            for code in codes
        ]
    )
    return [f"{code[:5]}-{code[5:]}" for code in codes]


# --- An answer ------------------------------------------------------------------------------------
def tidy(typed: str) -> str:
    """A code as it is compared: people type spaces and small letters, and the stroke or not.

    A Chinese keyboard types digits of full width, which are the same ones to whoever reads them.
    """
    return re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", typed)).upper()


@sensitive_variables("answer")
@in_transaction
def use(*, person: User, answer: str) -> Passed | None:
    """Take a code of the phone or a recovery code, for good; None for a wrong or used one.

    One row decides, so that of the same code sent many times at once one is taken. For
    `console_sign_in`, which counts the tries. Raises NoSecondFactor.
    """
    factor = factor_of(person)
    if factor is None:
        raise NoSecondFactor
    code = tidy(answer)
    if OF_RECOVERY.fullmatch(code):
        return _use_recovery_code(person, factor, code)
    step = _step_of(decrypt(factor.secret_encrypted), code, now=timezone.now())
    if step is None:
        return None
    newer = SecondFactor.objects.filter(pk=factor.pk, last_step__lt=step)
    if not newer.update(last_step=step):
        return None
    SECOND_FACTORS_USED.add_on_commit(1, "phone")
    return Passed(factor.pk)


@sensitive_variables("code")
def _use_recovery_code(person: User, factor: SecondFactor, code: str) -> Passed | None:
    unused = RecoveryCode.objects.unused().filter(factor=factor)
    known = Q(code_hash__in=keyed_hashes(HASH_PURPOSE, code))
    if not unused.filter(known).update(used_at=timezone.now()):
        return None
    left = unused.count()
    security_log.note_change("recovery_code_used", person_id=person.pk, left=left)
    SECOND_FACTORS_USED.add_on_commit(1, "recovery")
    return Passed(factor.pk, left)
