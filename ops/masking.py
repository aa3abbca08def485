"""Text without what nobody may read there: lines of the log, and what error pages say."""

import copy
import logging
import re
import traceback
from functools import cache
from typing import override

from django.apps import apps
from django.db import models

from ops import sensitive
from ops.sensitive import Kind

STANDS_FOR_IT = "***"

# What requests, their headers and settings call what no column is named after.
OF_REQUESTS = frozenset(
    {
        "authorization",
        "code",
        "codes",
        "console_device",
        "csrfmiddlewaretoken",
        "csrftoken",
        "email",
        "exchange_code",
        "idempotency_key",
        "key",  # of an idempotent request; a live setting is called by its key as well
        "mobile",
        "second_factor",
        "server_seed",
        "sessionid",
        "sms_fixed_code",
    }
)
# These hide whatever ends with them as well: `refresh_token`, `new_password1`, `user_phone`.
ENDINGS = (
    "api_key",
    "openid",
    "passwd",
    "password",
    "phone",
    "pwd",
    "secret",
    "secret_key",
    "token",
    "unionid",
    *(f"{use}_keys" for use in ("encryption", "hash", "seal", "token")),  # of the settings
)

# What is known by its look, wherever it stands.
KNOWN_BY_LOOK = re.compile(
    r"""
      (?P<digest> (?<![0-9A-Za-z%]) (?=[0-9]*[a-f]) [0-9a-f]{12,} (?![0-9A-Za-z]) )  # stays
    | eyJ[\w-]{5,} \. [\w-]{5,} \. [\w-]+               # a JWT
    | gAAAAA[\w-]{20,} =*                               # what `encrypt` makes
    | (?<=://) [^\s:/@]* : [^\s/"'<>]+ (?=@)           # user and password of an address
    | (?P<scheme> \b(?i:bearer)\s+ ) (?=[\w.~+/=-]*[0-9]|[\w.~+/=-]{16}) [\w.~+/=-]{8,}
    | (?<!\d) (?<!\d\.) (?:(?:\+|00)?86[ -]?)? (?P<phone> 1[3-9]\d{9} ) (?!\d|\.\d)
    | (?<![\w-]) (?:(?:\+|00)?86[ -]?)? (?P<spaced> 1[3-9]\d[ -]\d{4}[ -]\d{4} ) (?![\w-]|\.\d)
    """,
    re.VERBOSE | re.ASCII,
)
# PostgreSQL says the values of a row whole, however its columns are called, in many lines as well.
FAILING_ROW = re.compile(r"(Failing row contains )\(.*\)", re.DOTALL)
# The echo of SQL: every text in it may be one that nobody may read.
SQL_TEXT = re.compile(r"'(?:[^']|'')*'")
SQL_VALUES = re.compile(r"; args=.*?(?=; alias=|$)", re.DOTALL)

# What prose says after such a word is harmless, unless it is quoted, listed or long. So is the
# number of a status or an error, which has few digits: what opens something has six or more.
HARMLESS = r"""
    (?: answer | codes | key ) [ \t]*(?:=>|:?=|==|:)[ \t]* (?! b?["'\\\[] | [^\s,;&(){}>"']{12} )
    | codes? \\*["']? [ \t]*(?:=>|:?=|==|:)[ \t]* \d{1,5} (?![\w-])
"""
VALUE = r"""
    (?! (?:None|null|True|true|False|false)\b )
    (?: \\+(?P<inner>["']) .*? \\+(?P=inner)            # quoted inside of something quoted
      | b?"(?:[^"\\]|\\.)*" | b?'(?:[^'\\]|\\.)*'
      | \[[^\]]*\] | \([^)]*\) | \{[^}]*\}
      | (?:(?:bearer|basic)\s+)? ["']?[^\s,;&)\]}>"']+  # and what was cut off in its middle
    )
"""


def mask(text: str) -> str:
    """The text without what is sensitive: what looks so, and the values of what is called so.

    Of a phone of the mainland its ends stay. Ids, digests and amounts are left alone.
    """
    names = _patterns()
    text = names.named.sub(_without_value, text)
    text = names.key_detail.sub(rf"\1({STANDS_FOR_IT})", text)
    text = FAILING_ROW.sub(rf"\1({STANDS_FOR_IT})", text)
    return mask_by_look(text)


def mask_by_look(text: str) -> str:
    """The text without what looks sensitive, whatever it is called."""
    return KNOWN_BY_LOOK.sub(_without_known, text)


def hides(name: str) -> bool:
    """Whether a variable, a parameter or a header of this name has a sensitive value."""
    return _patterns().name.fullmatch(name.replace("-", "_")) is not None


class MaskingFilter(logging.Filter):
    """Masks what a handler writes: the line, its stack trace, its SQL. Never raises.

    Other handlers get the record as it was.
    """

    @override
    def filter(self, record: logging.LogRecord) -> logging.LogRecord:
        told = copy.copy(record)
        try:
            told.msg = mask(_message(record))
            told.exc_text = _stack_trace(record)
            told.stack_info = record.stack_info and mask_by_look(record.stack_info)
        except Exception:  # noqa: BLE001  a line less is better than a request less
            told.msg = "A line that could not be masked was left out."
            told.exc_info = told.exc_text = told.stack_info = None
        told.args = ()
        return told


class _Patterns:
    """What is compiled of the names that the models declare."""

    def __init__(self) -> None:
        names = "|".join(
            name.replace("_", "[-_]") for name in sorted(_names(), key=len, reverse=True)
        )
        endings = "|".join(ENDINGS).replace("_", "[-_]")
        name = rf"(?:(?:\w+[-_])?(?:{endings})\d?|{names})"
        flags = re.IGNORECASE | re.VERBOSE
        self.name = re.compile(name, flags)
        self.named = re.compile(
            rf"""(?<!\w)(?<!\w-) (?!{HARMLESS}) (?P<name> {name} (?P<quote>\\*["']?) )
            (?P<sign> [ \t]*(?:=>|:?=|==|:)[ \t]* ) {VALUE}""",
            flags,
        )
        # PostgreSQL's `Key (phone)=(13800138001) already exists.`
        self.key_detail = re.compile(
            rf"(\((?:[^()\n]*\W)?{name}(?:\W[^()\n]*)?\)=)\([^\n]*?\)(?=[\s.]|$)", flags
        )


def _patterns() -> _Patterns:
    # Lines are logged before the models are there as well.
    return _lasting_patterns() if apps.models_ready else _Patterns()


@cache
def _lasting_patterns() -> _Patterns:
    return _Patterns()


def _names() -> frozenset[str]:
    """The names whose values are masked, in lower case.

    A personal field whose name is harmless in other models (`name`) is not known by its name.
    """
    if not apps.models_ready:
        return OF_REQUESTS
    harmless = {
        field.name
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, models.CharField) and not sensitive.is_sensitive(model, field.name)
    }
    return OF_REQUESTS | {
        name
        for model in apps.get_models()
        for name, kind in sensitive.of(model).items()
        if kind is not Kind.PERSONAL or name not in harmless
    }


def _without_value(match: re.Match[str]) -> str:
    quote = match["quote"]
    return f"{match['name']}{match['sign']}{quote}{STANDS_FOR_IT}{quote}"


def _without_known(match: re.Match[str]) -> str:
    if digest := match["digest"]:
        return digest
    if phone := match["phone"] or match["spaced"]:
        return sensitive.masked(re.sub("[ -]", "", phone))
    return f"{match['scheme'] or ''}{STANDS_FOR_IT}"


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  a line whose values do not fit says so by itself
        return str(record.msg)
    if record.name.startswith("django.db.backends"):
        return SQL_TEXT.sub(f"'{STANDS_FOR_IT}'", SQL_VALUES.sub("", message))
    return message


def _stack_trace(record: logging.LogRecord) -> str | None:
    """What the exceptions say, masked; the lines of the source stay readable."""
    if not record.exc_info or record.exc_info[1] is None:
        return record.exc_text and mask(record.exc_text)
    parts = traceback.TracebackException(*record.exc_info, compact=True).format()
    return "".join(
        mask_by_look(part) if part.lstrip(" |+-").startswith('File "') else mask(part)
        for part in parts
    ).rstrip("\n")
