"""Choosing the paid total among everything a slip says.

Confidence is the product of three parts, rounded to four places:

* the weaker of the recogniser's scores for the label's box and the amount's box,
* how sure the rule is of its kind of label (`_SURENESS`), times `_FACTORS` for whatever makes
  the find less plain (words in between, the amount on another line, no cents, ...),
* agreement: a second label with the same sum halves the doubt left by the rule; an unexplained
  different one takes a sixth of the sureness.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from reviews.ocr.amounts import CENT, LARGEST, SMALLEST, Sum, sums_in, tidy
from reviews.ocr.labels import Kind, Label, labels_in
from reviews.ocr.lines import Line, text_lines
from reviews.ocr.types import TextBox

_NOTHING = Decimal("0.0000")
_PLACES = Decimal("0.0001")

_SURENESS = {
    Kind.PAID: 0.97,
    Kind.RECEIVED: 0.95,
    Kind.SETTLED: 0.92,
    Kind.DUE: 0.93,
    Kind.TOTAL: 0.93,
    Kind.METHOD: 0.75,
    Kind.MINOR: 0.65,
    Kind.CASH: 0.65,
}
_TOTALS = (Kind.PAID, Kind.RECEIVED, Kind.SETTLED, Kind.DUE, Kind.TOTAL)
_PAYMENTS = (Kind.PAID, Kind.RECEIVED, Kind.SETTLED)
_WAYS = (Kind.METHOD, Kind.CASH)

_WORDS_BETWEEN = 0.85
_OTHER_LINE = 0.85
_NO_CENTS = 0.9
_NO_CENTS_AMONG_CENTS = 0.6
_REPAIRED = 0.8
_WORKED_OUT = 0.75
_CONTRADICTED = 5 / 6
_ONLY_SUM = 0.4
_LARGEST_SUM = 0.25

# 实付(已优惠9.50): 128.50
_REMARK = re.compile(r"\s*\([^()]*\)")
# What may stand between a label and its sum without raising a doubt.
_PLAIN_GAP = re.compile(
    r"(?:[\s:;=.,\-_~…·*()\[\]【】<>|/¥]|人民币|金额|元|共|为|含税|大写|小写|rmb|cny"
    r"|\d+\s?[件份个项位道样])*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A label together with the sum it seems to announce."""

    kind: Kind
    sum: Sum
    score: float
    sureness: float
    place: int
    weak: bool = False

    @property
    def value(self) -> Decimal:
        return self.sum.value


@dataclass(frozen=True, slots=True)
class _Parsed:
    line: Line
    labels: tuple[Label, ...]
    sums: tuple[Sum, ...]

    @property
    def is_only_sums(self) -> bool:
        """Whether nothing but sums stands here: the amounts of a label in another line."""
        rest = self.line.text
        for found in self.sums:
            rest = rest[: found.start] + " " * (found.end - found.start) + rest[found.end :]
        return bool(self.sums) and not any(character.isalnum() for character in rest)


def choose_total(boxes: Iterable[TextBox]) -> tuple[Decimal | None, Decimal]:
    """Return the total that was paid and how sure that is.

    The amount is in yuan with two places, 0.01 to 9999.99, or None when the slip names none or
    says that nothing was paid; the confidence has four places, 0 to 1.
    """
    slip = [_parse(line) for line in text_lines(boxes)]
    claims = list(_claims(slip))
    payments = [claim for claim in claims if claim.kind in _PAYMENTS]
    if payments and not any(claim.value for claim in payments):
        return None, _NOTHING
    claims = [claim for claim in claims if claim.sum.is_plausible]
    found = _best(claims)
    if found is None:
        return _unlabelled(slip)
    found = _without_misread_sign(found, claims)
    found = _less_change(found, claims)
    found = _less_discount(found, claims)
    if not SMALLEST <= found.value <= LARGEST:
        return None, _NOTHING
    sureness = _weigh(found, claims)
    return found.value.quantize(CENT), _confidence(found.score * sureness)


def _confidence(value: float) -> Decimal:
    return Decimal(min(1.0, max(0.0, value))).quantize(_PLACES)


def _parse(line: Line) -> _Parsed:
    text = tidy(line.text)
    return _Parsed(line, tuple(labels_in(text)), tuple(sums_in(text)))


def _claims(slip: Sequence[_Parsed]) -> Iterator[_Claim]:
    prints_cents = any(found.has_cents for parsed in slip for found in parsed.sums)
    for place, parsed in enumerate(slip):
        text = tidy(parsed.line.text)
        for index, label in enumerate(parsed.labels):
            found, begins = _sum_after(parsed, index)
            if found is not None:
                label_score = parsed.line.piece_at(label.start).score
                amount_score = parsed.line.piece_at(found.start).score
                sureness = 1.0
                if not _PLAIN_GAP.fullmatch(
                    _without_sums(text, parsed, begins=begins, ends=found.start)
                ):
                    sureness *= _WORDS_BETWEEN
            elif elsewhere := _sum_on_another_line(slip, place, label):
                other, found = elsewhere
                label_score = parsed.line.piece_at(label.start).score
                amount_score = other.line.piece_at(found.start).score
                sureness = _OTHER_LINE
            else:
                continue
            bare = not found.has_cents and not found.marked
            # 合计 3 may count dishes; nobody counts with 实付.
            counts_perhaps = bare and prints_cents and label.kind in (Kind.TOTAL, Kind.MINOR)
            if counts_perhaps:
                sureness *= _NO_CENTS_AMONG_CENTS
            elif bare:
                sureness *= _NO_CENTS
            if found.repaired:
                sureness *= _REPAIRED
            yield _Claim(
                kind=label.kind,
                sum=found,
                score=min(label_score, amount_score),
                sureness=sureness * _SURENESS.get(label.kind, 0.0),
                place=place,
                weak=counts_perhaps,
            )


def _sum_after(parsed: _Parsed, index: int) -> tuple[Sum | None, int]:
    """The sum a label announces on its own line, and where the gap before it begins."""
    begins = parsed.labels[index].end
    if parsed.labels[index].kind in _TOTALS and (remark := _REMARK.match(parsed.line.text, begins)):
        remarked = [label for label in parsed.labels if begins <= label.start < remark.end()]
        if remarked and remarked[-1].kind not in (*_TOTALS, *_WAYS):
            begins = remark.end()
            index += len(remarked)
    while True:
        is_last = index + 1 == len(parsed.labels)
        ends = len(parsed.line.text) if is_last else parsed.labels[index + 1].start
        sums = [found for found in parsed.sums if begins <= found.start and found.end <= ends]
        if sums:
            return _likeliest(parsed.line.text, sums), begins
        # 实付(微信) 128.50, 合计/实付 128.50: the next label's sum is this one's as well.
        if is_last or not _PLAIN_GAP.fullmatch(parsed.line.text[begins:ends]):
            return None, begins
        index += 1
        is_one_word = begins == ends  # 优惠后 and 金额
        if parsed.labels[index].kind not in (*_TOTALS, *_WAYS) and not (
            is_one_word and parsed.labels[index].kind is Kind.MINOR
        ):
            return None, begins
        begins = parsed.labels[index].end


def _likeliest(text: str, sums: Sequence[Sum]) -> Sum:
    """Of the sums after one label: marked before with cents before whole, then the last column.

    Columns end where words begin: in `合计 128.50 会员省 9.50` the second is another matter.
    """
    row = [sums[0]]
    for found in sums[1:]:
        between = text[row[-1].end : found.start]
        if any(character.isalpha() for character in between):
            break
        row.append(found)
    best = max(
        (not found.negative, found.marked, found.has_cents, not found.repaired) for found in row
    )
    return [
        found
        for found in row
        if (not found.negative, found.marked, found.has_cents, not found.repaired) == best
    ][-1]


def _without_sums(text: str, parsed: _Parsed, *, begins: int, ends: int) -> str:
    gap = list(text[begins:ends])
    for found in parsed.sums:
        if begins <= found.start and found.end <= ends:
            gap[found.start - begins : found.end - begins] = " " * (found.end - found.start)
    return "".join(gap)


def _sum_on_another_line(
    slip: Sequence[_Parsed], place: int, label: Label
) -> tuple[_Parsed, Sum] | None:
    """The sum of a label that has none beside it: nearest among lines that are only sums.

    The line beneath as columns or in larger print, or beside it but bent off the line.
    """
    if label.kind in (Kind.MINOR, Kind.OTHER, Kind.METHOD):  # column heads and mere mentions
        return None
    line = slip[place].line
    labels = slip[place].labels
    if len(labels) > 2 and any(other.kind is Kind.OTHER for other in labels):
        return None  # 品名 单价 数量 合计 heads the dishes
    left, right = line.across(label.start), _right_of(line, label.end)
    nearest: tuple[float, _Parsed, Sum] | None = None
    for other in slip[max(0, place - 1) : place + 3]:
        if other.line is line or not other.is_only_sums:
            continue
        height = max(line.height, other.line.height)
        beneath = other.line.middle - line.middle
        for found in other.sums:
            found_left = other.line.across(found.start)
            found_right = _right_of(other.line, found.end)
            aside = max(found_left - right, left - found_right, 0.0)
            if beneath >= height / 2:
                fits = beneath < 2.6 * height and aside < 2 * height
                distance = beneath + abs(found_left + found_right - left - right) / 4
            else:
                fits = abs(beneath) < height and found_left > right
                distance = abs(beneath)
            if fits and (nearest is None or distance < nearest[0]):
                nearest = distance, other, found
    return None if nearest is None else nearest[1:]


def _right_of(line: Line, end: int) -> float:
    piece = line.piece_at(end - 1)
    start = line.starts[line.pieces.index(piece)]
    return piece.right if end >= start + len(piece.text) else line.across(end)


def _best(claims: Sequence[_Claim]) -> _Claim | None:
    """The best kind of label; a bare whole number on a slip of cents only if nothing else."""
    able = [claim for claim in claims if claim.kind in _SURENESS]
    if not able:
        return None
    # Of two alike the last on the slip counts: intermediate sums stand above.
    return min(able, key=lambda claim: (claim.weak, claim.kind, -claim.place))


def _without_misread_sign(found: _Claim, claims: Sequence[_Claim]) -> _Claim:
    """A yen sign read as a digit: 7128.50 where another label says 128.50."""
    if found.sum.marked:
        return found
    for claim in claims:
        if claim.kind in _TOTALS and str(found.value)[1:] == str(claim.value):
            return claim
    return found


def _less_change(found: _Claim, claims: Sequence[_Claim]) -> _Claim:
    """What was paid when `found` may be the banknotes handed over."""
    if found.kind not in (*_PAYMENTS, *_WAYS):
        return found
    billed = [claim for claim in claims if claim.kind in (Kind.DUE, Kind.TOTAL) and not claim.weak]
    if any(claim.value == found.value for claim in billed):
        return found
    cash = {claim.value for claim in claims if claim.kind is Kind.CASH and claim is not found}
    changes = [claim.value for claim in claims if claim.kind is Kind.CHANGE]
    if changes and changes[-1] < found.value:
        kept = found.value - changes[-1]
        for claim in claims:
            if claim.kind in (*_TOTALS, *_WAYS, Kind.MINOR) and claim.value == kept:
                return replace(claim, sureness=max(claim.sureness, found.sureness))
        if found.kind in _PAYMENTS and any(value - changes[-1] == found.value for value in cash):
            return found
        if not billed or found.value > max(claim.value for claim in billed):
            return replace(
                found,
                sum=replace(found.sum, value=kept),
                sureness=found.sureness * _WORKED_OUT,
            )
        return found
    # More received than was due: banknotes, and the change was not read.
    if found.kind is Kind.RECEIVED:
        for claim in billed:
            is_bound = claim.kind is Kind.DUE or found.value in cash
            if is_bound and claim.value < found.value:
                return replace(claim, sureness=claim.sureness * _WORKED_OUT)
    return found


def _less_discount(found: _Claim, claims: Sequence[_Claim]) -> _Claim:
    """A discounted slip without a word for the paid total: what the ways of paying took."""
    if found.kind not in (Kind.DUE, Kind.TOTAL):
        return found
    discounts = [claim.value for claim in claims if claim.kind is Kind.DISCOUNT]
    ways = [claim for claim in claims if claim.kind in _WAYS and not claim.weak]
    if not discounts or not ways:
        return found
    change = [claim.value for claim in claims if claim.kind is Kind.CHANGE][-1:]
    taken = sum((claim.value for claim in ways), -sum(change, Decimal(0)))
    if not 0 < taken < found.value:
        return found
    adds_up = found.value - taken in (sum(discounts), *discounts)
    return replace(
        ways[-1],
        sum=replace(ways[-1].sum, value=taken),
        sureness=found.sureness * (1.0 if adds_up else _WORKED_OUT),
    )


def _weigh(found: _Claim, claims: Sequence[_Claim]) -> float:
    others = [
        claim for claim in claims if claim.kind in (*_TOTALS, *_WAYS) and claim.sum != found.sum
    ]
    if any(claim.value == found.value for claim in others):
        return 1 - (1 - found.sureness) / 2
    explained = any(claim.kind in (Kind.DISCOUNT, Kind.CHANGE) for claim in claims)
    contradicted = any(claim.kind in _TOTALS and not claim.weak for claim in others)
    return found.sureness * (_CONTRADICTED if contradicted and not explained else 1.0)


def _unlabelled(slip: Sequence[_Parsed]) -> tuple[Decimal | None, Decimal]:
    """The only or the largest sum with a currency that no other word lays claim to."""
    free = [
        (found.value, parsed.line.piece_at(found.start).score)
        for parsed in slip
        for found in parsed.sums
        if found.marked
        and found.is_plausible
        and not found.negative
        and not any(label.end <= found.start for label in parsed.labels)
    ]
    if not free:
        return None, _NOTHING
    value, score = max(free)
    sureness = _ONLY_SUM if len({amount for amount, _ in free}) == 1 else _LARGEST_SUM
    return value.quantize(CENT), _confidence(score * sureness)
