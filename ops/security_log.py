"""What whoever guards the platform wants to read: who came in, who was refused, who raised whom."""

import json
import logging

from ops import request_context

logger = logging.getLogger("security")


def note(event: str, *, person_id: int | None = None, **facts: str | int | None) -> None:
    """Write one line of the `security` log: the event, who acted, from where, and these facts.

    `event` is a word of the list in docs/security.md, `person_id` is whom it concerns. Facts are
    ids and words, never a phone number, a token or a code. The time is the log line's own.
    """
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
    logger.info(json.dumps(told, ensure_ascii=False))
