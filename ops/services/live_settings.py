"""Live settings: what is stored, who changed it, and how every process comes to know of it.

A process keeps all stored values in its memory (`ops.setting_kinds`) and reads them anew every two
seconds, by one statement beside its requests; the process that changes one reads at once. Whatever
cannot be read leaves the last known values in force. Redis plays no part.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import Error, connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from ops import setting_kinds
from ops.errors import NoSuchSetting, SettingRefused
from ops.models import AuditEntry, LiveSetting
from ops.services import audit
from ops.setting_kinds import NotAccepted, Setting, declared

logger = logging.getLogger(__name__)

TOPIC = "settings"
REFRESH_EVERY = 2  # seconds
CHANGED, RESET = "livesetting.change", "livesetting.reset"

# What was told of stored values that this process does not take: once each, not every two seconds.
_told: set[tuple[str, str]] = set()


# --- What this process knows --------------------------------------------------------------------
def refresh() -> None:
    """Read what is stored, by one statement; raises what the database raises, and knows on."""
    setting_kinds.swap(_taken(_stored()))


def read_at_first_use() -> Mapping[str, Any] | None:
    """The stored values; None when they cannot be read: the defaults hold until they can.

    The transaction at hand, if there is one, goes on after a failure.
    """
    try:
        if connection.in_atomic_block:
            with transaction.atomic():
                return _taken(_stored())
        return _taken(_stored())
    except (Error, SynchronousOnlyOperation) as error:
        logger.warning("Live settings cannot be read, and are at their defaults: %s", error)
        return None


def forget() -> None:
    """Take everything for at its default, until it is read or changed. For tests."""
    setting_kinds.swap({})
    _told.clear()


def _stored() -> dict[str, Any]:
    return dict(LiveSetting.objects.values_list("key", "value"))


def _taken(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The values of what is stored. What this process does not take stays as it was known.

    So it is while two versions run side by side; what the start finds, stops the start.
    """
    known, values = setting_kinds.known(), {}
    for key, setting in declared.items():
        if key not in stored:
            continue
        try:
            values[key] = setting.from_json(stored[key])
        except NotAccepted as why:
            if key in known:
                values[key] = known[key]
            if (key, repr(stored[key])) not in _told:
                _told.add((key, repr(stored[key])))
                logger.warning("The setting %s is stored as what is not accepted: %s", key, why)
    return values


# --- The start ----------------------------------------------------------------------------------
def sentences_about_stored() -> list[str]:
    """What is stored, or said in the environment, and not accepted: a sentence for each.

    Raises OperationalError when the database is away.
    """
    sentences = []
    for key, setting in declared.items():
        try:
            setting.check(setting.default_value)
        except NotAccepted as why:
            name = setting.environment or key
            sentences.append(_("%(name)s: %(why)s") % {"name": name, "why": why})
    with connection.cursor() as cursor:
        if LiveSetting._meta.db_table not in connection.introspection.table_names(cursor):
            return sentences  # a start may come before its migrations
    for key, stored in sorted(_stored().items()):
        if key not in declared.names():
            logger.warning(
                "The setting %s is stored, and this version knows none of that name", key
            )
            continue
        try:
            declared[key].from_json(stored)
        except NotAccepted as why:
            text = _(
                "The setting %(key)s is stored as %(value)s, which this version does not accept: "
                "%(why)s manage.py settings set %(key)s VALUE stores another one, "
                "manage.py settings reset %(key)s goes back to the default."
            )
            value = json.dumps(stored, ensure_ascii=False)[:100]
            sentences.append(text % {"key": key, "value": value, "why": why})
    return sentences


def refuse_stored_settings() -> None:
    """Raise ImproperlyConfigured when something is stored that this version does not accept.

    A database that cannot be asked is logged instead: the start goes on.
    """
    try:
        sentences = sentences_about_stored()
    except Error as error:
        logger.warning("The settings could not be compared with the database: %s", error)
        return
    if sentences:
        raise ImproperlyConfigured("\n".join(sentences))


# --- Changing -----------------------------------------------------------------------------------
def setting_named(key: str) -> Setting[Any]:
    """The declared setting of this key; raises NoSuchSetting."""
    if key not in declared.names():
        raise NoSuchSetting(key=key)
    return declared[key]


def value_of_text(*, key: str, text: str) -> Any:
    """The value that people write so; raises NoSuchSetting and SettingRefused."""
    setting = setting_named(key)
    try:
        value = setting.parse(text)
        setting.check(value)
    except NotAccepted as why:
        raise SettingRefused(key=key, why=str(why)) from why
    return value


@transaction.atomic
def change(
    *,
    key: str,
    value: Any,
    reason: str = "",
    author_id: int | None = None,
    instead_of: str | None = None,
) -> bool:
    """Let a setting have this value from now on; False when it has it already.

    It is in force in this process as soon as it is committed, and in all others within 5 seconds.
    `instead_of` is what whoever decides saw as its value, as text. Raises NoSuchSetting, and
    SettingRefused for a value that it does not take, or when it is not what was seen any more.
    """
    setting = setting_named(key)
    try:
        setting.check(value)
    except NotAccepted as why:
        raise SettingRefused(key=key, why=str(why)) from why
    stored = setting.as_json(value)
    if stored == _of_default(setting)["value"] and not LiveSetting.objects.filter(pk=key).exists():
        return False
    row, is_new = LiveSetting.objects.locked().get_or_create(key=key, defaults={"value": stored})
    before = _of_default(setting) if is_new else _of_row(row)
    _refuse_unless_seen(setting, before, instead_of)
    after = {"value": stored, "is_default": False}
    if before == after:
        return False
    if not is_new:
        row.value = stored
        row.save(update_fields=["value"])
    audit.record(
        action=CHANGED, row=row, before=before, after=after, reason=reason, actor_id=author_id
    )
    _see_once_committed()
    return True


@transaction.atomic
def reset(
    *, key: str, reason: str = "", author_id: int | None = None, instead_of: str | None = None
) -> bool:
    """Let a setting be at its default again; False when it is already.

    It also takes away what this version knows nothing of. Raises NoSuchSetting where nothing is
    stored under such a key either, and SettingRefused as `change` does.
    """
    row = LiveSetting.objects.locked().filter(key=key).first()
    if row is None:
        setting_named(key)
        return False
    before = _of_row(row)
    after: dict[str, Any] = {"value": None, "is_default": True}
    if key in declared.names():
        _refuse_unless_seen(declared[key], before, instead_of)
        after = _of_default(declared[key])
    row.delete()
    row.key = key  # whose it was, for the entry
    audit.record(
        action=RESET, row=row, before=before, after=after, reason=reason, actor_id=author_id
    )
    _see_once_committed()
    return True


def _of_default(setting: Setting[Any]) -> dict[str, Any]:
    return {"value": setting.as_json(setting.default_value), "is_default": True}


def _of_row(row: LiveSetting) -> dict[str, Any]:
    return {"value": row.value, "is_default": False}


def _refuse_unless_seen(
    setting: Setting[Any], before: Mapping[str, Any], instead_of: str | None
) -> None:
    now = _text_of(setting, before["value"])
    if instead_of is not None and instead_of != now:
        why = _("Somebody changed it meanwhile: it is %(value)s now.") % {"value": now}
        raise SettingRefused(key=setting.key, why=why)


def _text_of(setting: Setting[Any], stored: Any) -> str:
    """What is stored, as people write it; as JSON where this version does not take it."""
    try:
        return setting.as_text(setting.from_json(stored))
    except NotAccepted:
        return json.dumps(stored, ensure_ascii=False)


def _see_once_committed() -> None:
    transaction.on_commit(refresh, robust=True)


# --- Looking ------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A setting as it stands: its value as text, and the audit entry of whoever changed it last."""

    setting: Setting[Any]
    text: str
    default_text: str
    is_default: bool
    entry: AuditEntry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What a setting became by a change, as text, and the audit entry of that."""

    text: str
    is_default: bool
    entry: AuditEntry


def standings(*, keys: Sequence[str] | None = None) -> list[Standing]:
    """All settings, or those of these keys, as the database has them; three statements."""
    stored = _stored()
    wanted = [setting for key, setting in declared.items() if keys is None or key in keys]
    newest = _newest_entries([setting.key for setting in wanted])
    return [
        Standing(
            setting=setting,
            text=_text_of(setting, stored[setting.key])
            if setting.key in stored
            else setting.as_text(setting.default_value),
            default_text=setting.as_text(setting.default_value),
            is_default=setting.key not in stored,
            entry=newest.get(setting.key),
        )
        for setting in wanted
    ]


def _entries() -> Any:
    return AuditEntry.objects.filter(object_type=LiveSetting._meta.label_lower)


def _newest_entries(keys: Sequence[str]) -> dict[str, AuditEntry]:
    newest = (
        _entries().filter(object_id__in=keys).order_by().values("object_id").annotate(id=Max("id"))
    )
    ids = [row["id"] for row in newest]
    return {entry.object_id: entry for entry in AuditEntry.objects.filter(pk__in=ids)}


def history(key: str, *, most: int = 50) -> list[Earlier]:
    """What a setting was changed to, the newest first: the audit trail tells it."""
    setting = declared[key] if key in declared.names() else None
    earlier = []
    for entry in _entries().filter(object_id=key).order_by("-id")[:most]:
        facts = {column: after for column, _before, after in entry.changes}
        stored = facts.get("value")
        if "value" not in facts:  # what changed is whether it stands at its default
            continue
        text = _text_of(setting, stored) if setting else json.dumps(stored, ensure_ascii=False)
        is_default = entry.action == RESET
        earlier.append(Earlier(text=text, is_default=is_default, entry=entry))
    return earlier


def public_values() -> dict[str, Any]:
    """The public settings as clients read them, of what is stored now; one statement."""
    stored = _stored()
    values = _taken(stored)
    return {
        key: setting.as_json(values.get(key, setting.default_value))
        for key, setting in sorted(declared.items())
        if setting.is_public
    }
