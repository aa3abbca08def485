"""The e-mail of a person: it counts once a link was opened in its mailbox."""

import hmac
import logging
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import IntegrityError, transaction
from django.tasks import task
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.errors import EmailLinkVoid, EmailTaken, NoMail
from accounts.limits import EMAIL_LINK_LIFETIME, EMAIL_LINKS_A_DAY, RESEND_LINK_AFTER
from accounts.metrics import EMAIL_STEPS, EMAILS
from accounts.models import EmailLink, User, UserStatus
from accounts.services.points import lock_person
from ops import security_log
from ops.days import seconds_left
from ops.errors import TooManyRequests
from ops.identifiers import find, read_identifier
from ops.services.encryption import decrypt, encrypt, keyed_hash, keyed_hashes
from ops.services.purge import purge
from ops.transactions import in_transaction

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=30)  # from when a link was asked for; limits look back one day
BATCH_SIZE = 1000  # old links that one round of the job deletes
HASH_PURPOSE = "e-mail link"
PROOF_DIGITS = 32  # of the keyed hash, in hex: nobody guesses 128 bits, and the link fits a line


@in_transaction
def ask_link(*, person_id: int, email: str) -> None:
    """Send a link to an address that a person wants for theirs; it replaces the one before.

    Nothing tells whether the address is another person's: its mailbox gets a letter, with a link
    only where it is free. Does nothing for the address that the person has. Raises NoMail, and
    TooManyRequests per person (60 seconds, five a day) and per mailbox (five a day).
    """
    if not settings.LINKS_URL:
        raise NoMail
    person = lock_person(person_id)
    now = timezone.now()
    own = EmailLink.objects.filter(person=person)
    own.filter(closed_at=None).update(closed_at=now)
    if email == person.email:
        return
    today = timezone.localdate(now)
    newest = own.order_by("-created_at").first()
    if newest and (wait := newest.created_at + RESEND_LINK_AFTER - now) > timedelta():
        raise TooManyRequests(retry_after=_seconds(wait))
    to_it = EmailLink.objects.to(email).filter(day=today).count()
    if max(own.filter(day=today).count(), to_it) >= EMAIL_LINKS_A_DAY:
        raise TooManyRequests(retry_after=seconds_left(now))
    try:
        with transaction.atomic():
            link = EmailLink.objects.create(
                person=person,
                email=email,
                day=today,
                number=to_it + 1,
                created_at=now,
                expires_at=now + EMAIL_LINK_LIFETIME,
            )
    except IntegrityError as error:  # somebody else asked for the same address at this moment
        raise TooManyRequests(retry_after=_seconds(RESEND_LINK_AFTER)) from error
    language = translation.get_language() or settings.LANGUAGE_CODE
    # robust: whoever gets no letter asks for another one.
    transaction.on_commit(partial(send_link.enqueue, link.pk, language), robust=True)
    EMAIL_STEPS.add_on_commit(1, "asked")


@in_transaction
def remove(*, person_id: int) -> None:
    """Let a person have no e-mail; a link that is on its way does nothing any more."""
    person = lock_person(person_id)
    EmailLink.objects.filter(person=person, closed_at=None).update(closed_at=timezone.now())
    if person.email and User.objects.filter(pk=person.pk).update(email=None):
        EMAIL_STEPS.add_on_commit(1, "removed")
        security_log.note_change("email_removed", person_id=person.pk)
        _tell_old_mailbox(person.email)


def _tell_old_mailbox(email: str) -> None:
    """Tell the mailbox that was somebody's until now: whoever reads it may not have wanted this."""
    language = translation.get_language() or settings.LANGUAGE_CODE
    # robust: that a letter is lost takes nothing back.
    transaction.on_commit(partial(send_notice.enqueue, encrypt(email), language), robust=True)


def link_named(token: str) -> EmailLink:
    """The link that an address names, with its person. Raises EmailLinkVoid unless it is good."""
    pk, _dash, proof = token.partition("-")
    links = EmailLink.objects.open(timezone.now()).select_related("person")
    link = find(links, read_identifier(pk))
    if link is None or link.person.status != UserStatus.ACTIVE:
        raise EmailLinkVoid
    # Under any key: the newest one may have come while the letter was on its way.
    made = [_proof(digest) for digest in keyed_hashes(HASH_PURPOSE, _said_by(link))]
    if not any(hmac.compare_digest(proof.encode(), each.encode()) for each in made):
        raise EmailLinkVoid
    return link


@in_transaction
def confirm(*, token: str) -> User:
    """Make an address its person's: the link was opened in the mailbox. It works once.

    Raises EmailLinkVoid, and EmailTaken where another person was first.
    """
    link = link_named(token)
    person = lock_person(link.person_id)  # first, as whoever asks for another link does
    now = timezone.now()
    if not EmailLink.objects.open(now).filter(pk=link.pk).update(closed_at=now):
        raise EmailLinkVoid
    try:
        with transaction.atomic():
            User.objects.filter(pk=link.person_id).update(email=link.email)
    except IntegrityError as error:
        raise EmailTaken from error
    EMAIL_STEPS.add_on_commit(1, "confirmed")
    security_log.note_change("email_changed", person_id=person.pk)
    if person.email and person.email.lower() != link.email.lower():
        _tell_old_mailbox(person.email)
    link.person.email = link.email
    return link.person


@task()
def send_link(link_id: int, language: str) -> None:
    """Write to the mailbox of a link, in this language; of one that is closed there is no letter.

    An address that is another person's gets a letter without a link: nobody else reads it.
    """
    link = EmailLink.objects.open(timezone.now()).filter(pk=link_id).first()
    if link is None:
        return
    is_taken = User.objects.by_email(link.email).exclude(pk=link.person_id).exists()
    with translation.override(language):
        letter = _letter_to_its_owner() if is_taken else _letter_with(link)
    _send(letter, to=link.email)


@task()
def send_notice(encrypted: str, language: str) -> None:
    """Tell a mailbox, in this language, that it is not the address of an account any more.

    The queue keeps what it is given; an address is personal, and so it comes as a ciphertext.
    """
    with translation.override(language):
        text = _(
            "This address was that of your account until now. It was changed or removed there, by "
            "somebody who is signed in. If that was not you, sign in with your phone, end the "
            "devices that you do not know, and ask the shop."
        )
        letter = EmailMessage(_("Your e-mail address was changed"), text)
    _send(letter, to=decrypt(encrypted))


def _send(letter: EmailMessage, *, to: str) -> None:
    letter.to = [to]
    try:
        letter.send()
    except OSError as error:
        # Without what it says: that names the address.
        logger.error("A letter was not sent: %s", type(error).__name__)  # noqa: TRY400
        EMAILS.add(1, "failed")
        return
    EMAILS.add(1, "sent")


def forget_old(*, now: datetime) -> int:
    """Delete links asked for 30 days ago and earlier, BATCH_SIZE at most; returns how many."""
    old = EmailLink.objects.filter(created_at__lte=now - KEPT_FOR)
    return purge(old.order_by("created_at"), batch_size=BATCH_SIZE)


def _letter_with(link: EmailLink) -> EmailMessage:
    token = f"{link.pk}-{_proof(keyed_hash(HASH_PURPOSE, _said_by(link)))}"
    text = _(
        "Somebody who uses our points wants this address for theirs. If that is you, open this "
        "page and confirm it:\n\n%(link)s\n\nIt is good for %(hours)d hours, and once. If it is "
        "not you, do nothing."
    ) % {
        "link": f"{settings.LINKS_URL}/email/{token}",
        "hours": EMAIL_LINK_LIFETIME // timedelta(hours=1),
    }
    return EmailMessage(_("Confirm your e-mail address"), text)


def _letter_to_its_owner() -> EmailMessage:
    text = _(
        "Somebody wants this address for another account. It stays with yours, and they were not "
        "told that it is. If that was you, remove it from this account first. If it was not you, "
        "do nothing."
    )
    return EmailMessage(_("Your e-mail address was asked for"), text)


def _said_by(link: EmailLink) -> str:
    return f"{link.pk}:{link.person_id}:{link.email}"


def _proof(digest: str) -> str:
    return digest[:PROOF_DIGITS]


def _seconds(wait: timedelta) -> int:
    return max(1, -int(-wait.total_seconds() // 1))
