"""The opening of a platform: the first staff account, shop and owner, and what they begin with.

Each part is all there or not at all, and is made once: whoever was interrupted does it again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext as _

from accounts.models import Tier, User, UserStatus
from accounts.services import identities, staff
from catalog.models import Category, Shop, ShopMember, ShopRole
from catalog.services.members import join
from config import demo_accounts
from lottery.models import PrizeType, Wheel
from lottery.services.wheels import Sector, make_draft
from ops.errors import DomainError, ValidationFailed
from ops.services import audit

COST_OF_A_DRAW = 100  # points
DRAWS_A_DAY = 10
PITY_THRESHOLD = 10  # draws
PITY_PRIZE = 100  # points
PALE, GOLD, RED = "#F6E3CF", "#E0A030", "#C8261B"


class NotOpened(Exception):
    """Why a platform cannot be opened so, in a sentence. Nothing was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Who and what it begins with. Of a part that is there already nothing has to be said.

    Unless the password `is_own_choice` of that person, they change it at their first sign-in.
    """

    staff_username: str | None = None
    staff_phone: str | None = None
    staff_password: str | None = None
    is_own_choice: bool = False
    shop_name: str | None = None
    owner_phone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part in words, and whether it was made just now."""

    title: str
    name: str
    is_new: bool


def refuse_demo() -> None:
    """Raise NotOpened where the demo was loaded: anybody knows its accounts."""
    if demo_accounts.is_loaded():
        raise NotOpened(
            _("This database holds the demo, whose accounts anybody knows: take an empty one.")
        )


def first_staff() -> User | None:
    """The first superuser; None before there is one."""
    superusers = User.objects.filter(is_superuser=True, status=UserStatus.ACTIVE)
    person: User | None = superusers.order_by("pk").first()
    return person


def first_shop() -> Shop | None:
    """The first shop; None before there is one."""
    return Shop.objects.order_by("pk").first()


def owners_of(shop: Shop | None) -> list[User]:
    """Who owns it."""
    owners = ShopMember.objects.filter(shop=shop, role=ShopRole.OWNER).select_related("person")
    return [member.person for member in owners.order_by("pk")]


def open_platform(wanted: Wanted) -> list[Part]:
    """Make what is missing, each part in a transaction of its own; returns all parts.

    Raises NotOpened before anything is made: all of it is tried first, and taken back.
    """
    refuse_demo()
    parts = (_staff, _tiers, _categories, _shop, _owner, _wheel)
    try:
        with transaction.atomic():
            for make in parts:
                make(wanted)
            transaction.set_rollback(True)
    except (DomainError, ValidationError) as refusal:
        raise NotOpened(_sentence(refusal)) from refusal
    made = []
    for make in parts:
        with transaction.atomic():
            made.append(make(wanted))
    return made


def _sentence(refusal: DomainError | ValidationError) -> str:
    if isinstance(refusal, ValidationFailed):
        return " ".join(chain(*refusal.data.values()))
    return " ".join(refusal.messages) if isinstance(refusal, ValidationError) else str(refusal)


# --- The parts ------------------------------------------------------------------------------------
def _staff(wanted: Wanted) -> Part:
    title, name, phone = _("Staff account"), wanted.staff_username, wanted.staff_phone
    if present := first_staff():
        if name not in {None, present.username}:
            raise NotOpened(
                _("The first staff account is %(name)s already: they let others in.")
                % {"name": present}
            )
        if phone not in {None, present.phone}:
            raise NotOpened(_("%(name)s has another phone number.") % {"name": present})
        return Part(title=title, name=str(present), is_new=False)
    if not name or not wanted.staff_password:
        raise NotOpened(_("The first staff account needs a user name and a password."))
    _refuse_phone_of_demo(phone)
    made = staff.make_superuser(
        username=name,
        phone=phone,
        password=wanted.staff_password,
        is_own_choice=wanted.is_own_choice,
    )
    return Part(title=title, name=str(made), is_new=True)


def _tiers(_wanted: Wanted) -> Part:
    is_new = not Tier.objects.exists()
    if is_new:
        for name, threshold, multiplier in (
            (_("Bronze"), 0, "1.00"),
            (_("Silver"), 5_000, "1.10"),
            (_("Gold"), 20_000, "1.25"),
        ):
            _add(Tier(name=name, threshold=threshold, multiplier=Decimal(multiplier)))
    names = Tier.objects.values_list("name", flat=True)
    return Part(title=_("Tiers"), name=", ".join(names), is_new=is_new)


def _categories(_wanted: Wanted) -> Part:
    is_new = not Category.objects.exists()
    if is_new:
        names = (_("Drinks"), _("Snacks"), _("Coupons"), _("Gift cards"))
        for position, name in enumerate(names):
            _add(Category(name=name, position=position))
    present = Category.objects.values_list("name", flat=True)
    return Part(title=_("Categories"), name=", ".join(present), is_new=is_new)


def _shop(wanted: Wanted) -> Part:
    title, name = _("Shop"), wanted.shop_name
    if present := first_shop():
        if name not in {None, present.name}:
            raise NotOpened(
                _("The first shop is %(name)s already: others are made in the console.")
                % {"name": present}
            )
        return Part(title=title, name=str(present), is_new=False)
    if not name or not name.strip():
        raise NotOpened(_("The first shop needs a name."))
    shop = Shop(name=name.strip())
    _add(shop)
    return Part(title=title, name=str(shop), is_new=True)


def _owner(wanted: Wanted) -> Part:
    title, phone, shop = _("Owner"), wanted.owner_phone, Shop.objects.order_by("pk")[0]
    if owners := owners_of(shop):
        if phone not in {None, *(owner.phone for owner in owners)}:
            raise NotOpened(
                _("%(shop)s has an owner already: others are added in the console.")
                % {"shop": shop}
            )
        return Part(title=title, name=", ".join(map(str, owners)), is_new=False)
    if not phone:
        raise NotOpened(_("The first shop needs an owner, by phone number."))
    _refuse_phone_of_demo(phone)
    person = identities.account_for(phone)
    join(shop_id=shop.pk, person=person, role=ShopRole.OWNER)
    return Part(title=title, name=f"{person} {person.masked_phone}", is_new=True)


def _wheel(_wanted: Wanted) -> Part:
    title, shop = _("Wheel, a draft"), Shop.objects.order_by("pk")[0]
    if present := Wheel.objects.order_by("pk").first():
        return Part(title=title, name=str(present), is_new=False)
    made = make_draft(
        name=_("Lucky wheel"),
        sectors=list(_sectors()),
        cost_points=COST_OF_A_DRAW,
        shop_id=shop.pk,
        organiser=shop.name,
        daily_limit=DRAWS_A_DAY,
        pity_threshold=PITY_THRESHOLD,
    )
    return Part(title=title, name=str(made), is_new=True)


def _sectors() -> Iterator[Sector]:
    """Points and nothing else, so that it could be published as it is."""
    yield Sector(
        name=_("Better luck next time"),
        type=PrizeType.EMPTY,
        probability=Decimal("0.3000"),
        color=PALE,
    )
    for points, probability, color in (
        (20, "0.2500", GOLD),
        (10, "0.0500", PALE),
        (50, "0.1500", GOLD),
        (500, "0.0100", RED),
        (30, "0.1200", GOLD),
        (100, "0.1000", PALE),
        (200, "0.0200", GOLD),
    ):
        yield Sector(
            name=_("%(points)d points") % {"points": points},
            type=PrizeType.POINTS,
            value=Decimal(points),
            probability=Decimal(probability),
            color=color,
            is_pity_prize=points == PITY_PRIZE,
        )


def _add(row: models.Model) -> None:
    """Save a new row as the form of the console would: checked, and audited."""
    row.full_clean()
    row.save()
    audit.record_form(action="add", row=row, after=audit.values_of(row))


def _refuse_phone_of_demo(phone: str | None) -> None:
    if phone in demo_accounts.PHONES:
        raise NotOpened(_("%(phone)s is the demo's: name a phone of your own.") % {"phone": phone})
