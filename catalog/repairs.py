"""What `repair_integrity` does about stock and sales, and says of what it leaves alone."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from catalog.integrity import FREE_CODES, SALES, STOCK, with_sales
from catalog.models import Order, Product, ProductKind, StockEntry
from catalog.services.stock import correct, lock_product
from ops.services import repair
from ops.services.heads import end_of, is_whole
from ops.services.integrity import Subject
from ops.services.ledgers import HEAD, UNACCOUNTED
from ops.services.repair import RESTORE, Author, Beyond, BeyondRepair, Findings, Mend

_CODES = gettext_lazy("a code that was altered, removed or handed out elsewhere is not made anew")
_DECIDE = gettext_lazy("it happened: somebody has to decide what becomes of it")
BEYOND = {
    "codes": Beyond(_CODES),
    "exchange code": Beyond(_DECIDE, gettext_lazy("look at both orders, and cancel one")),
    "limit": Beyond(_DECIDE, gettext_lazy("look at it in the console; an order can be cancelled")),
}


def register() -> None:
    """Register the repairs of stock, and what is said of rules that nothing sets right."""
    repair.repairers.register(SALES, _sales)
    repair.repairers.register(FREE_CODES, _free_codes)
    repair.repairers.register(f"{UNACCOUNTED}: {STOCK.entry_name}", _unaccounted)
    for rule, said in BEYOND.items():
        repair.beyond.register(rule, said)


def _unaccounted(subject: Subject, findings: Findings) -> Mend | Beyond:
    """Take back what an entry did where no service can have written it, or once too often."""
    facts = subject.facts
    product_id, numbers = facts["account_id"], facts["numbers"]
    is_decided = any(STOCK.name_entry(product_id, one) in findings.decided for one in numbers)
    if not (facts["never"] or facts["is_surplus"] or is_decided):
        return repair.beyond["cause"]
    product = Product.objects.filter(pk=product_id).first()
    if product is None or product.kind == ProductKind.VIRTUAL:
        return Beyond(_("its stock is its free codes, or it is not there any more"), RESTORE)
    entries = StockEntry.objects.filter(product=product_id, sequence__in=numbers)
    units = -sum(entries.values_list("quantity", flat=True))
    if product.stock + units < 0:
        return Beyond(
            _("%(units)d would have to be taken, and only %(stock)d are left")
            % {"units": -units, "stock": product.stock},
            _("count the shelf, and book what is there"),
        )
    said = _("book an adjustment of stock of %(units)+d, which takes back %(entry)s") % {
        "units": units,
        "entry": ", ".join(STOCK.name_entry(product_id, number) for number in numbers),
    }
    return Mend(says=said, make=lambda author: _take_back(product_id, numbers, author))


def _take_back(product_id: int, numbers: tuple[int, ...], author: Author) -> bool:
    lock_product(product_id)
    if not is_whole(STOCK, product_id):
        raise BeyondRepair(_("the chain or the head of the product is broken"))
    entries = STOCK.standing.filter(product=product_id, sequence__in=numbers)
    ids = list(entries.order_by("sequence").values_list("pk", flat=True))
    for entry_id in ids:
        correct(entry_id=entry_id, reason=author.reason, author_id=author.person_id)
    return bool(ids)


def _sales(subject: Subject, findings: Findings) -> Mend | Beyond:
    product_id: int = subject.facts["product_id"]
    named = [int(pk) for pk in findings.ids("order")]
    is_doubted = findings.question(STOCK.name_account(product_id))
    if is_doubted or Order.objects.filter(product=product_id, pk__in=named).exists():
        return repair.IN_QUESTION

    def make(author: Author) -> bool:
        product = lock_product(product_id)
        due = with_sales(Product.objects.filter(pk=product_id)).values_list("sold", flat=True)[0]
        if product.sales_count == due:
            return False
        Product.objects.filter(pk=product_id).update(sales_count=due)
        before = {"sales_count": product.sales_count}
        repair.record(product, before=before, after={"sales_count": due}, author=author)
        return True

    return Mend(says=_("set the number sold to %(due)d") % subject.facts, make=make)


def _free_codes(subject: Subject, findings: Findings) -> Mend | Beyond:
    """Where the stock that is kept was altered, the codes agree with the ledger: it is the head."""
    product_id: int = subject.facts["product_id"]
    has_wrong_head = any(
        one.facts["ledger"] is STOCK and one.facts["account_id"] == product_id
        for one in findings.of_kind(HEAD)
    )
    is_free = end_of(STOCK, product_id).balance == subject.facts["free"]
    answer = repair.answer_of_head(STOCK, product_id, findings)
    agrees = has_wrong_head and is_free and isinstance(answer, Mend)
    return answer if agrees else BEYOND["codes"]
