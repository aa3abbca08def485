"""The browsers in which people are signed in to the console."""

import re
import secrets
from datetime import timedelta

from django.db.models import Count, Max
from django.utils import timezone

from accounts.metrics import SIGN_INS
from accounts.models import ConsoleDevice, User
from accounts.models.console_devices import KNOWN_FOR
from ops import security_log
from ops.services import audit
from ops.services.encryption import keyed_hash, keyed_hashes
from ops.services.key_uses import Alive
from ops.transactions import in_transaction

HASH_PURPOSE = "console device"
OUR_TOKEN = re.compile(r"\A[A-Za-z0-9_-]{43}\Z")
ACTIVITY_MOVES_AFTER = timedelta(minutes=1)


@in_transaction
def remember(
    *, person: User, token: str, address: str, user_agent: str
) -> tuple[ConsoleDevice, str]:
    """Note that a person signed in, in the browser with this token; returns its row and its token.

    The token stays the browser's where it is a known one; where it is none of ours, or this
    person's sign-in on it was ended, there is a new one.
    """
    now = timezone.now()
    known = ConsoleDevice.objects.filter(token_hash__in=_hashes(token))
    own = known.of(person).first()
    if (own and own.ended_at) or not known.live(now).exists():
        token, own = secrets.token_urlsafe(32), None
    facts = {
        "token_hash": keyed_hash(HASH_PURPOSE, token),  # under the newest key from now on
        "address": address or None,
        "user_agent": user_agent[:255],
        "last_activity_at": now,
    }
    if own is None:
        # Who signs in twice at once makes one row.
        device, _is_new = ConsoleDevice.objects.get_or_create(
            person=person, token_hash=facts.pop("token_hash"), defaults=facts
        )
    else:
        ConsoleDevice.objects.filter(pk=own.pk).update(**facts)
        device = ConsoleDevice.objects.get(pk=own.pk)
    security_log.note_change("console_sign_in", person_id=person.pk, device_id=device.pk)
    SIGN_INS.add_on_commit(1, "console")
    return device, token


def known_device(*, person: User | None, token: str) -> ConsoleDevice | None:
    """The device of this person that the token belongs to; None where it is not one of theirs.

    It asks the database the same whether or not there is such a person.
    """
    devices = ConsoleDevice.objects.live(timezone.now()).filter(token_hash__in=_hashes(token))
    owned = {device.person_id: device for device in devices}
    return owned.get(person.pk) if person else None


def is_live(*, device_id: int | None, person: User, factor_id: int | None = None) -> bool:
    """Whether a session of this device goes on; moves its last activity once a minute.

    `factor_id` is the second factor that the session was begun with. It does not go on where the
    person has another one by now, or has one and the session was begun without.
    """
    if device_id is None:
        return False
    now = timezone.now()
    own = ConsoleDevice.objects.live(now).of(person).filter(pk=device_id)
    found = own.values_list("last_activity_at", "person__second_factor").first()
    if found is None:
        return False
    seen_at, needed_id = found
    if needed_id not in {None, factor_id}:
        return False
    if now - seen_at > ACTIVITY_MOVES_AFTER:
        own.update(last_activity_at=now)
    return True


@in_transaction
def end(device: ConsoleDevice, *, author_id: int | None = None) -> None:
    """End the sessions on a device: it is not a known one any more, on any process. Audited."""
    now = timezone.now()
    live = ConsoleDevice.objects.filter(pk=device.pk, ended_at=None)
    if not live.update(ended_at=now):
        return
    security_log.note_change(
        "console_device_ended", person_id=device.person_id, device_id=device.pk
    )
    audit.record(
        action="consoledevice.end",
        row=device,
        before={"ended_at": None},
        after={"ended_at": now},
        actor_id=author_id,
    )


def end_all(person: User) -> None:
    """End all sessions of a person in the console."""
    ConsoleDevice.objects.of(person).filter(ended_at=None).update(ended_at=timezone.now())


def alive(_key_id: str) -> Alive:
    """The devices that are known still. They do not say under which key their hash was made."""
    devices = ConsoleDevice.objects.live(timezone.now())
    found = devices.aggregate(count=Count("pk"), until=Max("last_activity_at"))
    until = found["until"] and found["until"] + KNOWN_FOR
    return Alive(count=found["count"], until=until)


def _hashes(token: str) -> list[str]:
    return keyed_hashes(HASH_PURPOSE, token) if OUR_TOKEN.match(token) else []
