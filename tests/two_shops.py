"""Rows of every page of the console at two shops, told apart by a word in their names."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

from django.db.models import Model
from django.utils import timezone

from accounts.models import (
    ConsoleDevice,
    DeviceSession,
    PointsEntry,
    RegistrationMark,
    SecondFactor,
    SignInCode,
    Tier,
    User,
)
from accounts.services import console_devices
from accounts.services.sign_in_codes import ask_code
from accounts.tests.factories import make_sign_in
from catalog.models import (
    Category,
    ProductTemplate,
    Selection,
    Shop,
    ShopMember,
    ShopRole,
    StockEntry,
    VirtualCode,
)
from catalog.services import invitations
from catalog.tests.factories import make_member, make_order, make_product
from favorites.models import Favorite
from lottery.models import PityCounter, SeedPair, Wheel, WheelStatus, WheelVersion
from lottery.tests.factories import draw_once, make_draft, make_wheel, points_prize, prize_at
from ops.models import (
    Alert,
    AlertChannel,
    AlertNotice,
    AlertRule,
    AuditEntry,
    Backup,
    ErrorGroup,
    FailedRow,
    IdempotencyRecord,
    JobRun,
    LedgerSeal,
    LiveSetting,
    MigrationRun,
    OperationalEvent,
    ProcessBeat,
    Schedule,
    StoredFile,
)
from ops.monitoring.channels import sealed
from ops.services import audit, processes
from ops.services.seals import seal_ledgers
from reviews.models import ProcessRecord
from reviews.tests.factories import make_receipt
from tests.people import Cast, give, make_cast, make_person

HERE, THERE = "Herein", "Elsewhere"  # in the name of whatever lies at a shop

type Rows = dict[str, Model]  # by the label of their model, or by what they are


@dataclass(frozen=True)
class TwoShops:
    """`here` are the rows of `cast.shop`, `there` those of `cast.other_shop`, `common` no shop's.

    Every row may be deleted whose page lets rows be deleted at all.
    """

    cast: Cast
    here: Rows
    there: Rows
    common: Rows


def make_two_shops() -> TwoShops:
    """Two shops with the same kinds of rows, and rows of the platform."""
    cast = make_cast()
    for shop, word in ((cast.shop, HERE), (cast.other_shop, THERE)):
        Shop.objects.filter(pk=shop.pk).update(name=f"{word} shop")
        shop.refresh_from_db()
    return TwoShops(
        cast=cast,
        here=_rows_at(cast.shop, cast.customer, word=HERE),
        there=_rows_at(cast.other_shop, cast.other_customer, word=THERE),
        common=_rows_of_the_platform(),
    )


def _rows_at(shop: Shop, customer: User, *, word: str) -> Rows:
    customer.nickname = f"{word} customer"
    customer.save()
    give(customer, 10_000)
    SecondFactor.objects.create(person=customer, secret_encrypted="", last_step=0)
    stocked = make_product(shop=shop, name=f"{word} stocked")
    virtual = make_product(shop=shop, name=f"{word} virtual", codes=[f"{word}-1"])
    published = make_wheel(
        points_prize(probability="0.5", name=f"{word} prize"), shop=shop, name=f"{word} published"
    )
    member = make_member(shop=shop, role=ShopRole.CASHIER)
    member.nickname = f"{word} member"
    member.save()
    receipt = make_receipt(shop=shop, person=customer, receipt_number=f"{word}1")
    rows: list[Model] = [
        shop,
        customer,
        ShopMember.objects.get(person=member),
        invitations.invite(
            shop_id=shop.pk, phone=f"1990000000{shop.pk % 10}", role=ShopRole.CASHIER
        ),
        make_product(shop=shop, name=f"{word} product", stock=0),
        make_order(person=customer, product=stocked),
        StockEntry.objects.filter(product=stocked).earliest("pk"),
        VirtualCode.objects.get(product=virtual),
        ProductTemplate.objects.create(shop=shop, title=f"{word} template", **TERMS),
        Selection.objects.create(
            shop=shop,
            name=f"{word} selection",
            cost=1,
            market_price=2,
            suggested_points=1,
            score=1,
        ),
        make_draft(shop=shop, name=f"{word} wheel", status=WheelStatus.PAUSED),
        WheelVersion.objects.get(wheel=published),
        prize_at(published, 0),
        draw_once(customer, published),
        receipt,
        ProcessRecord.objects.get(receipt=receipt),
        AuditEntry.objects.filter(shop_id=shop.pk).earliest("pk"),
    ]
    return {
        **{row._meta.label: row for row in rows},
        "a product with stock": stocked,
        "a virtual product": virtual,
        "a published wheel": published,
    }


def _rows_of_the_platform() -> Rows:
    person = make_person(nickname="Nobody's guest", points=5)
    make_person(nickname="Nobody's other guest", phone="13900139000")
    product = make_product(name="Nobody's product")
    ask_code(phone="13800138000", address="")
    make_sign_in(person)
    draft: Wheel = make_draft(name="Nobody's wheel", status=WheelStatus.PAUSED)
    draw_once(give(person, 1000).user, make_wheel())
    make_receipt(shop=product.shop, person=person)
    seal_ledgers(now=timezone.now())
    console_devices.remember(person=person, token="", address="127.0.0.1", user_agent="")
    processes.beat()
    rule = {"metric": "m", "comparison": "above", "threshold": 1}
    channel = AlertChannel.objects.create(name="Channel", kind="webhook", **sealed("https://a.b/c"))
    rows: list[Model] = [
        person,
        ConsoleDevice.objects.get(person=person),
        DeviceSession.objects.get(user=person),
        PointsEntry.objects.filter(user=person).earliest("pk"),
        SignInCode.objects.latest("pk"),
        RegistrationMark.objects.get_or_create(key_hash="a" * 64)[0],
        Tier.objects.create(name="Tier", threshold=7, multiplier=1),
        Category.objects.create(name="Category"),
        ProductTemplate.objects.create(title="Nobody's template", **TERMS),
        draft,
        PityCounter.objects.create(person=person, wheel=draft),
        SeedPair.objects.filter(person=person).earliest("pk"),
        Favorite.objects.create(person=person, product=product),
        AlertRule.objects.create(name="Rule", **rule),
        Alert.objects.create(rule=AlertRule.objects.create(name="Raised", **rule), value=2),
        channel,
        AlertNotice.objects.create(channel=channel, kind="test", message={}),
        Backup.objects.create(),
        MigrationRun.objects.create(),
        OperationalEvent.objects.create(kind="demo_loaded", host="h"),
        ErrorGroup.objects.create(
            fingerprint="f",
            kind="E",
            count=1,
            first_seen=timezone.now(),
            last_seen=timezone.now(),
        ),
        FailedRow.objects.create(job="j", row_id="1", error="E", set_aside_at=timezone.now()),
        StoredFile.objects.filter(owner_id=person.pk).earliest("pk"),
        IdempotencyRecord.objects.create(owner_id=person.pk, path="/", key=str(uuid4())),
        LedgerSeal.objects.earliest("pk"),
        Schedule.objects.create(
            job="expire orders", timing="every 5 s", next_due_at=timezone.now() + timedelta(days=1)
        ),
        JobRun.objects.create(
            job="expire orders", due_at=timezone.now(), started_at=timezone.now(), worker="w"
        ),
        ProcessBeat.objects.latest("pk"),
        LiveSetting.objects.create(key="points.register_bonus", value=500),
        audit.record(action="user.set_password", row=person),
    ]
    return {row._meta.label: row for row in rows}


TERMS = {"name": "T", "kind": "physical", "points_price": 1, "market_price": Decimal(1)}
