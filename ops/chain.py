"""Ledgers whose entries carry the hash of the one before them, made in Python or in SQL."""

import hashlib
import json
from datetime import UTC, date, datetime
from typing import Any, ClassVar, override

from django.db import models
from django.db.models import F, Func, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext_lazy as _

GENESIS_HASH = "0" * 64


class ChainedEntry(models.Model):
    """An entry of a ledger, numbered per account and chained by its hash.

    No row can be altered, taken out or slipped in without breaking the chain of its account, and
    the account keeps the head: the number and the hash of its newest entry.
    """

    # What the hash covers: everything that the entry says.
    hashed_fields: ClassVar[tuple[str, ...]] = ()

    sequence = models.PositiveBigIntegerField(_("number"))
    previous_hash = models.CharField(_("previous hash"), max_length=64)
    entry_hash = models.CharField(_("hash"), max_length=64)

    class Meta:
        abstract = True

    def computed_hash(self) -> str:
        """The hash this entry must carry.

        SHA-256, in hex, of the canonical JSON of its hashed fields: UTF-8, sorted keys, no spaces.
        A time is written in UTC, as ISO 8601 with microseconds
        (2026-01-31T04:05:06.000007+00:00), a day as 2026-01-31.
        """
        facts: dict[str, Any] = {name: getattr(self, name) for name in self.hashed_fields}
        for name, value in facts.items():
            if isinstance(value, datetime):
                facts[name] = value.astimezone(UTC).isoformat(timespec="microseconds")
            elif isinstance(value, date):
                facts[name] = value.isoformat()
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @classmethod
    def hash_in_sql(cls) -> Combinable:
        """What `computed_hash` says, worked out by the database for millions of rows at once."""
        pieces: list[Combinable] = []
        for name in sorted(cls.hashed_fields):
            pieces += [Value(f'{"," if pieces else "{"}"{name}":'), _as_json(cls, name)]
        return _Sha256(_Joined(*pieces, Value("}")))


def _as_json(model: type[models.Model], name: str) -> Combinable:
    field = model._meta.get_field(name)
    if isinstance(field, models.DateTimeField):
        return _JsonTime(name)
    if isinstance(field, models.CharField | models.TextField):
        return _JsonText(name)
    number = Cast(F(name), models.TextField())
    return Coalesce(number, Value("null")) if field.null else number


class _Joined(Func):
    """Texts one after the other. `Concat` of Django would guard every one of them against NULL."""

    template = "(%(expressions)s)"
    arg_joiner = " || "
    output_field = models.TextField()


class _JsonText(Func):
    """A text as `json.dumps` writes it; both databases escape what it escapes, as it does."""

    template = "pg_catalog.to_json(%(expressions)s)::text"
    output_field = models.TextField()

    @override
    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="json_quote(%(expressions)s)", **context)


class _JsonTime(Func):
    """A time in quotes, in UTC with microseconds."""

    template = (
        "('\"' || pg_catalog.to_char(%(expressions)s AT TIME ZONE 'UTC', "
        "'YYYY-MM-DD\"T\"HH24:MI:SS.US') || '+00:00\"')"
    )
    output_field = models.TextField()

    @override
    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """SQLite keeps times as texts, in UTC, and leaves out microseconds when there are none."""
        template = (
            "CASE WHEN length(%(expressions)s) IN (19, 26) THEN "
            "('\"' || substr(%(expressions)s, 1, 10) || 'T' || substr(%(expressions)s, 12, 8) "
            "|| '.' || substr(substr(%(expressions)s, 21) || '000000', 1, 6) || '+00:00\"') END"
        )
        return self.as_sql(compiler, connection, template=template, **context)


class _Sha256(Func):
    """SHA-256 of a text in UTF-8, in hex; in SQLite by the function that Django brings."""

    # By their whole names: whoever sets a search path cannot put other functions before them.
    template = (
        "pg_catalog.encode(pg_catalog.sha256("
        "pg_catalog.convert_to(%(expressions)s, 'UTF8')), 'hex')"
    )
    output_field = models.CharField()

    @override
    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="SHA256(%(expressions)s)", **context)
