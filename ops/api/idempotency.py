"""The edge of idempotency: what other apps' views use to answer a POST at most once."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, cast

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import QueryDict
from django.utils.encoding import escape_uri_path
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from ops.api.renderer import encode
from ops.errors import IdempotencyKeyMissing, ValidationFailed
from ops.live_settings import REQUIRE_IDEMPOTENCY_KEY
from ops.models.idempotency import LONGEST_KEY
from ops.services import idempotency

_KEY = re.compile(rf"\A[\x21-\x7e]{{1,{LONGEST_KEY}}}\Z")


def answer_once(
    request: Request, effect: Callable[[], Any], *, may_demand_key: bool = True
) -> Response:
    """Answer with what `effect` returns, once per Idempotency-Key of this person.

    Call it when the shape of the body is known to be right and before anything is looked up:
    that is where 1014 and 1015 stand in the contract's order.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        if REQUIRE_IDEMPOTENCY_KEY.value and may_demand_key:
            raise IdempotencyKeyMissing
        # Written here as well: what cannot be sent must not be committed.
        with transaction.atomic():
            data = effect()
            encode(data)
        return Response(data)
    if not _KEY.match(key):
        why = _("1 to %(limit)d visible ASCII characters.") % {"limit": LONGEST_KEY}
        raise ValidationFailed({"Idempotency-Key": [why]})
    outcome = idempotency.run_once(
        owner_id=cast("int", request.user.pk),
        path=escape_uri_path(request.path)[:255],
        key=key,
        fingerprint=_fingerprint(request.data),
        effect=effect,
    )
    return Response(
        outcome.data, headers={"Idempotent-Replay": "true"} if outcome.is_replay else {}
    )


def _fingerprint(data: Any) -> str:
    """Equal for bodies that say the same: JSON by value, forms by fields and file contents."""
    if isinstance(data, QueryDict):
        data = {
            name: [_content(value) for value in values] for name, values in sorted(data.lists())
        }
    # Not orjson: a field nobody reads may hold a number or a text that it cannot write.
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _content(value: Any) -> Any:
    if not isinstance(value, UploadedFile):
        return value
    value.seek(0)
    digest = hashlib.file_digest(value, "sha256").hexdigest()
    value.seek(0)
    return {"sha256": digest}
