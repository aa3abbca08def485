"""Finding sums of money in the text of a till."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

SMALLEST = Decimal("0.01")
LARGEST = Decimal("9999.99")
CENT = Decimal("0.01")

# Letters a recogniser takes digits for; believed only in the company of digits and a point.
_LOOKALIKES = str.maketrans("OoQDIl|SBZ", "0000111582")
_DIGIT = r"[0-9OoQDIl|SBZ]"
_NUMBER = re.compile(
    rf"""
    (?<![0-9A-Za-z])(?<![0-9][.,])
    (?P<minus>-\s?)?
    # The yen sign comes out as a capital Y and as a sheep, the character drawn most like it.
    (?P<currency>(?:[¥$羊]|[Yy](?=\s?-?\d)|RMB|rmb|CNY)\s?:?\s?)?
    (?P<inner_minus>-\s?)?
    (?P<body>{_DIGIT}+(?:\s?[.,]\s?{_DIGIT}+)*)
    (?![0-9]|\s?[.,]\s?[0-9])
    (?P<yuan>\s?(?:元|圆|块|RMB|rmb|CNY|yuan))?
    (?![A-Za-z]{{1,2}}(?![A-Za-z]))
    """,
    re.VERBOSE,
)
_WHOLE = re.compile(r"0|[1-9]\d{0,3}")
_CENTS = re.compile(r"(?P<yuan>0|[1-9]\d{0,3})[.,](?P<cents>\d{1,2})")
_THOUSANDS = re.compile(r"(?P<thousands>[1-9])[.,](?P<yuan>\d{3})[.,](?P<cents>\d{1,2})")
_WHOLE_THOUSANDS = re.compile(r"(?P<thousands>[1-9]),(?P<yuan>\d{3})")

# After a whole number these say that it counts things; after a fraction only the attached ones.
_COUNTED = re.compile(
    r"\s?(?:[件份个個人位桌次分折张張瓶杯碗盘盤只条盒袋斤两克号號项項道笔样种天年月日楼层店联"
    r"串打扎听罐桶例套粒%]|公斤|千克|积分|小时)"
)
_MEASURED = re.compile(r"(?:[折斤两克%分]|公斤|千克|积分|[kK]?[gG]\b|[mM]?[lL]\b)")

_DATE = re.compile(r"(?<!\d)20\d\d\s?[-/.年]\s?\d{1,2}\s?[-/.月]\s?\d{1,2}(?!\d{3})\s?日?")
_TIME = re.compile(r"(?<!\d)(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?![\d.])")
_STRETCHED = re.compile(r"(?<![0-9A-Za-z.])[0-9](?: [0-9.,]){3,}(?![0-9])")  # 1 2 8 . 5 0
_CHINESE_POINT = re.compile(r"(?<=\d)[。·•](?=\d)")


@dataclass(frozen=True, slots=True)
class Sum:
    """A number that can be money, and where it stands in its text.

    `marked`: it bears a currency; `has_cents`: printed with decimals; `repaired`: letters were
    taken for digits.
    """

    value: Decimal
    start: int
    end: int
    marked: bool
    has_cents: bool
    repaired: bool
    negative: bool

    @property
    def is_plausible(self) -> bool:
        return SMALLEST <= self.value <= LARGEST


def tidy(text: str) -> str:
    """Blank dates and times, mend Chinese points and stretched digits; positions stay true."""
    text = _CHINESE_POINT.sub(".", text)
    text = _STRETCHED.sub(lambda match: match[0].replace(" ", "").ljust(len(match[0])), text)
    for pattern in (_DATE, _TIME):
        text = pattern.sub(lambda match: " " * len(match[0]), text)
    return text


def sums_in(text: str) -> Iterator[Sum]:
    """Yield the sums of an NFKC text without dates, left to right; zero is one as well.

    Counts (3 件, ×2), measures (0.5kg, 8.8折), and digits too many for a sum are left out.
    """
    for match in _NUMBER.finditer(text):
        parsed = _parse(match["body"])
        if parsed is None:
            continue
        value, has_cents, repaired = parsed
        marked = bool(match["currency"] or match["yuan"])
        if not marked and _is_other_number(text, match, has_cents=has_cents):
            continue
        yield Sum(
            value=value,
            start=match.start(),
            end=match.end(),
            marked=marked,
            has_cents=has_cents,
            repaired=repaired,
            negative=bool(match["minus"] or match["inner_minus"]),
        )


def _parse(body: str) -> tuple[Decimal, bool, bool] | None:
    """Value, whether it has cents, and whether letters had to become digits."""
    written = body.replace(" ", "")
    text = written.translate(_LOOKALIKES)
    repaired = text != written
    digits = sum(character.isdigit() for character in written)
    if repaired and digits * 2 < sum(character.isdigit() for character in text):
        return None
    if not repaired and _WHOLE.fullmatch(text):
        return Decimal(text), False, False
    # A comma before one or two last digits is a point: a till writes thousands by threes.
    if match := _CENTS.fullmatch(text):
        return _decimal(match["yuan"], match["cents"]), True, repaired
    if match := _THOUSANDS.fullmatch(text):
        return _decimal(match["thousands"] + match["yuan"], match["cents"]), True, repaired
    if not repaired and (match := _WHOLE_THOUSANDS.fullmatch(text)):
        return Decimal(match["thousands"] + match["yuan"]), False, False
    return None


def _decimal(yuan: str, cents: str) -> Decimal:
    return Decimal(f"{yuan}.{cents}").quantize(CENT)


def _is_other_number(text: str, match: re.Match[str], *, has_cents: bool) -> bool:
    start, end = match.start(), match.end()
    before, after = text[:start].rstrip(" ")[-1:], text[end : end + 1]
    if before and before in "×*#":
        return True
    if match["minus"] and text[:start][-1:].isalnum():  # 0571-8888
        return True
    if after and after in "-/:×*#~":
        return True
    if has_cents:
        return bool(_MEASURED.match(text, end))
    in_brackets = before == "(" and text[end:].lstrip(" ")[:1] == ")"
    return in_brackets or bool(_COUNTED.match(text, end))
