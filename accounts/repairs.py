"""What `repair_integrity` does about points and merges, and says of what it leaves alone."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.integrity import LIFETIME, MERGED_ACCOUNTS, MERGED_INTO, POINTS, lifetime_points
from accounts.models import AccountMerge, PointsEntry, PointsSource, User
from accounts.services.adjusting import correct
from accounts.services.merged_accounts import survivors
from accounts.services.points import lock_person
from ops.services import repair
from ops.services.heads import is_whole
from ops.services.integrity import Subject
from ops.services.ledgers import UNACCOUNTED
from ops.services.repair import RESTORE, Author, Beyond, BeyondRepair, Findings, Mend

_PROOF = gettext_lazy("a cause without a right proof was written by hand, and nothing makes one")
BEYOND = {
    "welcome": Beyond(_PROOF),
    "merge": Beyond(_PROOF),
    "adjustment": Beyond(_PROOF),
}


def register() -> None:
    """Register the repairs of points, and what is said of rules that nothing sets right."""
    repair.repairers.register(LIFETIME, _lifetime)
    repair.repairers.register(MERGED_INTO, _merged_into)
    repair.repairers.register(MERGED_ACCOUNTS, _merged_accounts)
    repair.repairers.register(f"{UNACCOUNTED}: {POINTS.entry_name}", _unaccounted)
    for rule, said in BEYOND.items():
        repair.beyond.register(rule, said)


# --- Entries that nothing accounts for ----------------------------------------------------------
def _unaccounted(subject: Subject, findings: Findings) -> Mend | Beyond:
    """Take back what an entry did where no service can have written it, or once too often."""
    facts = subject.facts
    # A service writes cause and entry together, and names the cause by its number.
    never = facts["kind"] == PointsSource.ADJUST and not facts["cause"].isdecimal()
    account_id, numbers = facts["account_id"], facts["numbers"]
    is_decided = any(POINTS.name_entry(account_id, one) in findings.decided for one in numbers)
    if not (facts["never"] or facts["is_surplus"] or never or is_decided):
        return repair.beyond["cause"]
    entries = PointsEntry.objects.filter(user=account_id, sequence__in=numbers)
    points = -sum(entries.values_list("points", flat=True))
    person = User.objects.filter(pk=account_id).first()
    if person is None or person.is_merged:
        return Beyond(_("the account is closed: nothing is booked there any more"), RESTORE)
    if person.total_points + points < 0:
        return Beyond(
            _("%(points)d would have to be taken, and only %(balance)d are left")
            % {"points": -points, "balance": person.total_points},
            _("the points were spent: let somebody decide who bears it"),
        )
    name = POINTS.name_entry(account_id, numbers[0])
    said = _("book an adjustment of %(points)+d, which takes back %(entry)s") % {
        "points": points,
        "entry": ", ".join(POINTS.name_entry(account_id, number) for number in numbers),
    }
    return Mend(says=said, make=lambda author: _take_back(account_id, numbers, name, author=author))


def _take_back(account_id: int, numbers: tuple[int, ...], name: str, *, author: Author) -> bool:
    lock_person(account_id)
    if not is_whole(POINTS, account_id):
        raise BeyondRepair(_("the chain or the head of the account is broken"))
    entries = PointsEntry.objects.filter(
        user=account_id, sequence__in=numbers, correction__isnull=True
    )
    ids = list(entries.order_by("sequence").values_list("pk", flat=True))
    for entry_id in ids:
        correct(
            entry_id=entry_id, reason=author.reason, author_id=author.person_id,
            finding=_("nothing accounts for %(entry)s") % {"entry": name},
        )  # fmt: skip
    return bool(ids)


# --- What is kept at people -----------------------------------------------------------------------
def _lifetime(subject: Subject, findings: Findings) -> Mend | Beyond:
    person_id = subject.facts["person_id"]
    if _is_doubted(person_id, findings):
        return repair.IN_QUESTION
    due = _due_lifetime(person_id)

    def make(author: Author) -> bool:
        person = lock_person(person_id)
        return _set(person, "lifetime_points", _due_lifetime(person_id), author=author)

    return Mend(says=_("set the lifetime points to %(due)d") % {"due": due}, make=make)


def _due_lifetime(person_id: int) -> int:
    for _pk, _told, due in lifetime_points(User.objects.filter(pk=person_id)):
        return due
    # Of somebody with whom all is well nothing is said.
    kept: int = User.objects.values_list("lifetime_points", flat=True).get(pk=person_id)
    return kept


def _merged_into(subject: Subject, findings: Findings) -> Mend | Beyond:
    person_id = subject.facts["person_id"]
    if _is_doubted(person_id, findings):
        return repair.IN_QUESTION

    def make(author: Author) -> bool:
        person = lock_person(person_id)
        chain = survivors().get(person_id)
        return _set(person, "merged_into_id", chain[-1] if chain else None, author=author)

    said = _("say that it is a part of account %(due)s") % subject.facts
    return Mend(says=said, make=make)


def _merged_accounts(subject: Subject, findings: Findings) -> Mend | Beyond:
    person_id = subject.facts["person_id"]
    if _is_doubted(person_id, findings):
        return repair.IN_QUESTION

    def make(author: Author) -> bool:
        person = lock_person(person_id)
        number = sum(chain[-1:] == [person_id] for chain in survivors().values())
        return _set(person, "merged_accounts", number, author=author)

    said = _("say that %(due)d accounts were merged into it") % subject.facts
    return Mend(says=said, make=make)


def _is_doubted(person_id: int, findings: Findings) -> bool:
    """Whether what is kept at a person follows from entries or merges that are in question."""
    if findings.question(POINTS.name_account(person_id)):
        return True
    ids = [int(pk) for pk in findings.ids("merge")]
    merges = AccountMerge.objects.filter(Q(merged=person_id) | Q(survivor=person_id), pk__in=ids)
    # Where somebody says into whom they were merged and no merge does, one may have been removed.
    return merges.exists() or any(
        subject.facts["due"] is None
        and person_id in (subject.facts["person_id"], subject.facts["told"])
        for subject in findings.of_kind(MERGED_INTO)
    )


def _set(person: User, column: str, due: Any, *, author: Author) -> bool:
    """Set a column of somebody, who is held; audited. Returns whether it was another before."""
    before = {column: getattr(person, column)}
    if before[column] == due:
        return False
    User.objects.filter(pk=person.pk).update(**{column: due})
    repair.record(person, before=before, after={column: due}, author=author)
    return True
