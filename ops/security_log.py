"""What whoever guards the platform wants to read: who came in, who was refused, who raised whom."""

import json
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from django.db import transaction

from ops import request_context

logger = logging.getLogger("security")

type Event = Literal[
    # The console: a sign-in, a wrong password, a try that has to wait, a closed account or one
    # without rights after the right password, a sign-out, the end of a sign-in by hand.
    "console_sign_in",
    "console_sign_in_failed",
    "console_sign_in_delayed",
    "console_sign_in_refused",
    "console_sign_out",
    "console_device_ended",
    # The second factor of the console: made or replaced, a wrong code, a try that has to wait, a
    # recovery code, new ones of them, taken away by its person, by staff.
    "second_factor_enrolled",
    "second_factor_failed",
    "second_factor_delayed",
    "recovery_code_used",
    "recovery_codes_renewed",
    "second_factor_removed",
    "second_factor_reset",
    # A fresh factor before something dangerous: asked for and given.
    "fresh_factor_given",
    # The API.
    "sign_in",
    "sign_in_failed",
    "sign_in_delayed",
    "sign_in_refused",
    "sign_out",
    "refresh_reused",
    "device_ended",
    # Accounts.
    "identity_joined",
    "email_changed",
    "email_removed",
    "account_activated",
    "account_deactivated",
    "account_banned",
    "accounts_merged",
    "password_set",
    # Rights.
    "wall_refused",
    "membership_changed",
    "member_invited",
    "invitation_withdrawn",
    "invitation_declined",
    "shop_without_owner",
    "permission_changed",
    # Keys.
    "keys_rotated",
]


def note(event: Event, *, person_id: int | None = None, **facts: str | int | None) -> None:
    """Write one line of the `security` log: the event, who acted, from where, and these facts.

    `person_id` is whom it concerns. Facts are ids and words, never a phone number, a password, a
    token or a code. The time is the log line's own. What happened whatever becomes of the request,
    such as a refusal, is noted so; a change by `note_change`.
    """
    logger.info(_line(event, person_id=person_id, **facts), extra=_where(facts))


def note_change(event: Event, *, person_id: int | None = None, **facts: str | int | None) -> None:
    """Write such a line once the change is committed; of one that is taken back there is none."""
    line = _line(event, person_id=person_id, **facts)  # now: who acts is known now
    transaction.on_commit(partial(logger.info, line, extra=_where(facts)), robust=True)


def _where(facts: Mapping[str, str | int | None]) -> dict[str, Any]:
    """At which shop it was, as every line of the log says it."""
    shop_id = facts.get("shop_id")
    return {} if shop_id is None else {"facts": {"shop_id": shop_id}}


def _line(event: Event, *, person_id: int | None, **facts: str | int | None) -> str:
    acting = request_context.actor()
    line = {
        "event": event,
        "actor_id": acting.person_id,
        "system_user": acting.system_user or None,
        "address": acting.address or None,
        "person_id": person_id,
        **facts,
    }
    told = {name: value for name, value in line.items() if value is not None}
    return json.dumps(told, ensure_ascii=False)
