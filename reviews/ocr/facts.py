"""Finding what tells one slip from the next: its number and its time."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from reviews.ocr.lines import Line

NOON = 12

# Best first: a till's own number of the slip before the number of a payment.
_NUMBER_LABELS = (
    r"小\s*票\s*(?:编?\s*号|单\s*号|流\s*水\s*号?)",
    r"(?:结\s*[账帐]|[账帐]|收\s*银)\s*(?:单|流\s*水)\s*(?:编\s*)?号",
    r"订\s*单\s*(?:编\s*)?(?:号\s*码?)|訂\s*單\s*(?:編\s*)?號",
    r"(?<![快运])单\s*(?:据\s*)?(?:编\s*)?号\s*码?|單\s*號",
    r"流\s*水\s*(?:单\s*)?号?|收\s*银\s*流\s*水",
    r"(?<!发)票\s*(?:据\s*)?(?:编\s*)?号",
    r"交\s*易\s*(?:单|流\s*水|订\s*单)?\s*号",
    r"(?:商\s*户|支\s*付)\s*(?:订\s*)?单\s*号",
    r"收\s*据\s*(?:编\s*)?号",
    r"(?<![A-Za-z])(?:Order|Receipt|Bill|Ticket)\s*(?:No|#|ID)?\s*(?=[.:#\s])",
    r"(?<![A-Za-z])No\s*(?=[.:#\s]|\d)",
)
_VALUE = re.compile(
    r"[\s.:;#=\-]*(?P<number>[A-Za-z]{0,6}-?[0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){1,39})(?![A-Za-z0-9])"
)
_CONTINUED = re.compile(r"[A-Za-z0-9-]*\d[A-Za-z0-9-]{5,}")
_LETTERS_FOR_ZEROS = re.compile(r"(?<=\d)O+(?=\d|$)")
# What makes the number that of a table, a card, a terminal or a telephone.
_OF_SOMETHING_ELSE = re.compile(
    r"(?:[桌台卡](?:号|位)?|终端号?|电话|card|term(?:inal)?|merchant|batch|tel|phone|table)[\s:.(]*$",
    re.IGNORECASE,
)

_DATE = re.compile(
    r"(?<!\d)(?P<year>20\d\d)\s?[-/.年]\s?(?P<month>\d{1,2})\s?[-/.月]\s?(?P<day>\d{1,2})\s?[日号]?"
)
_PACKED_DATE = re.compile(
    r"(?<!\d)(?P<year>20\d\d)(?P<month>[01]\d)(?P<day>[0-3]\d)(?=\s*\d{1,2}:\d\d)"
)
_CLOCK = (
    r"(?P<hour>\d{1,2})\s?[:时時點点]\s?(?P<minute>\d\d)"
    r"(?:\s?[:分]\s?(?P<second>\d\d))?(?!\d)(?P<afternoon>\s?[Pp]\.?[Mm])?"
)
_TIME = re.compile(rf"(?<!\d){_CLOCK}")
# Right after a date, whose last digit it may touch where a space was lost: 2026-11-2218:35.
_TIME_AT_ONCE = re.compile(_CLOCK)
_AFTERNOON = re.compile(r"下午\s*$")
# Within a line, what may stand between a date and its time.
_DATE_TO_TIME = re.compile(r"[\s,;T|]*(?:(?:时间|星期.|周.|上午|下午)[\s:]*)*")
_PAYING = re.compile(r"结\s*[账帐算]|支付|付款|交易|收款|买单|消费")
_EARLIER_OR_LATER = re.compile(
    r"下单|点[单菜餐]|开[台单桌]|打印|打单|出票|有效|截[止至]|到期|预[订约]"
)
_BARE_TIME_LINE = re.compile(r"(?:.{0,4}时间|时刻)?[\s:]*$")


def find_receipt_number(lines: Sequence[Line]) -> str:
    """Return the slip's number in capitals, or an empty string.

    Of several kinds of numbers the same is chosen whenever the same slip is photographed; a
    number on its own in the line beneath its label counts.
    """
    for label in _NUMBER_LABELS:
        pattern = re.compile(label, re.IGNORECASE)
        for index, line in enumerate(lines):
            for match in pattern.finditer(line.text):
                if _OF_SOMETHING_ELSE.search(line.text[: match.start()]):
                    continue
                rest = line.text[match.end() :]
                if (value := _VALUE.match(rest)) and not _DATE.fullmatch(value["number"]):
                    return _clean_number(value["number"])
                below = lines[index + 1].text if index + 1 < len(lines) else ""
                if not rest.strip(" .:#") and _CONTINUED.fullmatch(below):
                    return _clean_number(below)
    return ""


def find_issued_at(lines: Sequence[Line], zone: tzinfo) -> datetime | None:
    """Return when the slip was issued, aware in `zone`, or None.

    A date with a time comes before one without, the time of paying before that of ordering or
    printing, then the topmost. A date alone means midnight.
    """
    best: tuple[tuple[bool, int, int], datetime] | None = None
    for place, (line_index, date, moment) in enumerate(_moments(lines, zone)):
        text = lines[line_index].text
        rank = 0 if _PAYING.search(text) else 2 if _EARLIER_OR_LATER.search(text) else 1
        key = (not date, rank, place)
        if best is None or key < best[0]:
            best = key, moment
    return None if best is None else best[1]


def _moments(lines: Sequence[Line], zone: tzinfo) -> Iterator[tuple[int, bool, datetime]]:
    """Each date on the slip: its line, whether a time belongs to it, and the moment."""
    for index, line in enumerate(lines):
        for pattern in (_DATE, _PACKED_DATE):
            for match in pattern.finditer(line.text):
                time = _time_after(line.text, match.end()) or _time_beside(lines, index)
                moment = _moment(match, time, zone)
                if moment is not None:
                    yield index, time is not None, moment


def _time_after(text: str, position: int) -> re.Match[str] | None:
    gap = _DATE_TO_TIME.match(text, position)
    start = gap.end() if gap else position
    found = _TIME_AT_ONCE.match(text, start)
    return found if found and _is_clock(found) else None


def _time_beside(lines: Sequence[Line], index: int) -> re.Match[str] | None:
    """A time elsewhere on the line, or alone on the next or the previous one."""
    for match in _TIME.finditer(lines[index].text):
        if _is_clock(match):
            return match
    for neighbour in (index + 1, index - 1):
        if 0 <= neighbour < len(lines) and not _DATE.search(lines[neighbour].text):
            found = _TIME.search(lines[neighbour].text)
            if found and _is_clock(found) and _BARE_TIME_LINE.match(found.string[: found.start()]):
                return found
    return None


def _is_clock(match: re.Match[str]) -> bool:
    return int(match["hour"]) < 24 and int(match["minute"]) < 60 and int(match["second"] or 0) < 60


def _moment(date: re.Match[str], time: re.Match[str] | None, zone: tzinfo) -> datetime | None:
    hour = minute = second = 0
    if time:
        hour, minute, second = int(time["hour"]), int(time["minute"]), int(time["second"] or 0)
        is_afternoon = time["afternoon"] or _AFTERNOON.search(time.string[: time.start()])
        if is_afternoon and hour < NOON:
            hour += NOON
    try:
        return datetime(
            int(date["year"]),
            int(date["month"]),
            int(date["day"]),
            hour,
            minute,
            second,
            tzinfo=zone,
        )
    except ValueError:  # the 31st of February is a misreading
        return None


def _clean_number(number: str) -> str:
    return _LETTERS_FOR_ZEROS.sub(lambda match: "0" * len(match[0]), number.upper())
