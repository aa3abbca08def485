"""What is there before the first request: people who are signed in, a mall, wheels; all honest."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import DeviceSession, PointsEntry, PointsSource, RegistrationMark, User
from accounts.services import tokens
from accounts.services.welcome import proofs_of
from bench import honest_rows
from catalog.models import (
    Category,
    Product,
    ProductImage,
    ProductKind,
    ProductStatus,
    Shop,
    StockEntry,
    StockOperation,
)
from lottery.decision import hash_seed
from lottery.models import Prize, PrizeType, SeedPair, SeedState, Wheel
from lottery.odds import ANGLES
from lottery.services import publishing, wheels
from ops.models import FilePurpose, StoredFile
from ops.services import key_ring
from ops.services.encryption import encrypt, keyed_hash

WELCOME = 1_000_000  # points
COST = 10
ENOUGH = 200 * COST  # points of somebody who draws in a run
MANY = 1_000_000
BATCH_SIZE = 5_000
SHOP, HOT_WHEEL, HOT_PRODUCT = "Bench", "Hot prize", "Hot product"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person and their access token."""

    person_id: int
    token: str


@transaction.atomic
def fill(*, people: int, with_ledger: int, draws_each: int, products: int) -> None:
    """Write people who are signed in, the first of them with draws behind them, a mall and wheels.

    The default wheel has pity, a prize that runs out, a counted one and one from the stock of a
    product; on the wheel HOT_WHEEL nine draws in ten want one counted prize.
    """
    honest_rows.fill(people=with_ledger, draws_each=draws_each)
    _people(people - with_ledger)
    _missing_seeds()
    _sign_in(User.objects.order_by("pk"))
    shop = Shop.objects.create(name=SHOP)
    _mall(shop, products)
    make_wheels(shop)


def make_wheels(shop: Shop, *, cost: int = COST) -> None:
    """Publish the default wheel and the hot one."""
    stock = _products(shop, [{"name": "Prize", "is_listed": True}], stock=MANY)[0]
    default = _wheel("Default", cost, _sectors(stock), pity_threshold=10, daily_limit=1_000)
    wheels.make_default(wheel_id=default.pk)
    _wheel(HOT_WHEEL, cost, _hot_sectors(), pity_threshold=None, daily_limit=1_000)


def refresh_statistics() -> None:
    """As the database would by itself after a while."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")  # of the requests', which the large set takes
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("RESET statement_timeout")


def signed_in(*, first: int = 0, most: int) -> list[SignedIn]:
    """People with a sign-in, by their ids, from the `first` on."""
    sessions = DeviceSession.objects.filter(
        revoked_at=None, user__total_points__gte=ENOUGH, user__seed_pairs__state=SeedState.ACTIVE
    ).order_by("user_id", "-pk")  # the newest: tokens of an older one may have expired
    return [
        SignedIn(session.user_id, tokens.sign_pair(session).access_token)
        for session in sessions.distinct("user_id")[first : first + most]
    ]


def prepare_existing(*, people: int) -> None:
    """Let so many people of a database that somebody filled draw: sign-ins, seeds, wheels."""
    rows = User.objects.filter(status="active", total_points__gte=ENOUGH).order_by("pk")[:people]
    _missing_seeds(rows)
    _sign_in(rows)
    shop, is_new = Shop.objects.get_or_create(name=SHOP)
    if is_new:
        _products(shop, [{"name": HOT_PRODUCT}], stock=MANY)
        make_wheels(shop)


# --- People --------------------------------------------------------------------------------------
def _people(many: int) -> None:
    """People with their welcome points, and nothing more."""
    now = timezone.now()
    people = User.objects.bulk_create(
        (
            User(
                phone=f"2{number:010d}",
                nickname=f"Guest {number}",
                total_points=WELCOME,
                points_version=1,
            )
            for number in range(many)
        ),
        batch_size=BATCH_SIZE,
    )
    entries, marks = [], []
    for person in people:
        entry = PointsEntry(
            user=person,
            sequence=1,
            points=WELCOME,
            source=PointsSource.REGISTER,
            related_id=str(person.pk),
            balance_after=WELCOME,
            previous_hash=person.points_hash,
            created_at=now,
        )
        entry.entry_hash = person.points_hash = entry.computed_hash()
        entries.append(entry)
        key_hash = keyed_hash("registered phone", person.phone or "")
        proof = proofs_of(key_hash=key_hash, person_id=person.pk, points=WELCOME)[0]
        marks.append(
            RegistrationMark(key_hash=key_hash, person=person, points=WELCOME, proof=proof)
        )
    PointsEntry.objects.bulk_create(entries, batch_size=BATCH_SIZE)
    RegistrationMark.objects.bulk_create(marks, batch_size=BATCH_SIZE)
    User.objects.bulk_update(people, ["points_hash"], batch_size=1_000)


def _missing_seeds(people: Any = None) -> None:
    """The pair in use and the next one, for everybody who has none."""
    now = timezone.now()
    wanted = User.objects.all() if people is None else people
    ids = list(wanted.values_list("pk", flat=True))
    pairs = []
    for state in (SeedState.ACTIVE, SeedState.NEXT):
        has = set(SeedPair.objects.filter(state=state).values_list("person_id", flat=True))
        for person_id in ids:
            if person_id in has:
                continue
            server_seed = secrets.token_hex(32)
            is_active = state == SeedState.ACTIVE
            pairs.append(
                SeedPair(
                    person_id=person_id,
                    server_seed_encrypted=encrypt(server_seed),
                    server_seed_hash=hash_seed(server_seed),
                    client_seed=secrets.token_hex(16) if is_active else "",
                    state=state,
                    activated_at=now if is_active else None,
                )
            )
    SeedPair.objects.bulk_create(pairs, batch_size=BATCH_SIZE)


def _sign_in(people: Any) -> None:
    now, key_id = timezone.now(), key_ring.newest("token").id
    DeviceSession.objects.bulk_create(
        (
            DeviceSession(
                user=person, key_id=key_id, rotated_at=now, expires_at=now + timedelta(days=30)
            )
            for person in people
        ),
        batch_size=BATCH_SIZE,
    )


# --- The mall ------------------------------------------------------------------------------------
def _mall(shop: Shop, many: int) -> None:
    shelves = Category.objects.bulk_create(
        Category(name=f"Shelf {number}", position=number) for number in range(8)
    )
    facts: list[dict[str, Any]] = [
        {
            "name": f"Product {number}",
            "description": "A thing that somebody may like to have. " * 3,
            "category": shelves[number % len(shelves)],
            "points_price": 100 + number,
        }
        for number in range(many - 1)
    ]
    products = _products(shop, facts, stock=100)
    products += _products(shop, [{"name": HOT_PRODUCT, "points_price": 1}], stock=MANY)
    pictures = StoredFile.objects.bulk_create(
        [_file(f"{product.pk}-{size}") for product in products for size in ("whole", "thumbnail")]
    )
    ProductImage.objects.bulk_create(
        ProductImage(product=product, file=pictures[2 * n], thumbnail=pictures[2 * n + 1])
        for n, product in enumerate(products)
    )


def _file(name: str) -> StoredFile:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return StoredFile(
        purpose=FilePurpose.PRODUCT,
        path=f"product/{digest[:2]}/{digest}.jpg",
        media_type="image/jpeg",
        size=100_000,
        sha256=digest,
    )


def _products(shop: Shop, facts: Sequence[dict[str, Any]], *, stock: int) -> list[Product]:
    """Products with this stock, brought in by one entry each."""
    now = timezone.now()
    products = Product.objects.bulk_create(
        Product(
            **{
                "shop": shop,
                "kind": ProductKind.PHYSICAL,
                "points_price": 100,
                "market_price": Decimal("12.50"),
                "status": ProductStatus.ACTIVE,
                "stock": stock,
                "stock_version": 1,
                **fact,
            }
        )
        for fact in facts
    )
    entries = []
    for product in products:
        entry = StockEntry(
            product=product,
            sequence=1,
            quantity=stock,
            operation=StockOperation.RESTOCK,
            stock_after=stock,
            previous_hash=product.stock_hash,
            created_at=now,
        )
        entry.entry_hash = product.stock_hash = entry.computed_hash()
        entries.append(entry)
    StockEntry.objects.bulk_create(entries)
    Product.objects.bulk_update(products, ["stock_hash"])
    return products


# --- Wheels --------------------------------------------------------------------------------------
def _sectors(product: Product) -> list[dict[str, Any]]:
    points = {"type": PrizeType.POINTS}
    return [
        {**points, "value": 50, "probability": "0.10", "is_activity": True},
        {**points, "value": 5, "probability": "0.20"},
        {**points, "value": 500, "probability": "0.05", "quantity": MANY},
        {"type": PrizeType.PHYSICAL, "probability": "0.05", "product": product},
        {"type": PrizeType.COUPON, "value": 3, "probability": "0.05"},
        {**points, "value": 20, "probability": "0.05", "is_pity_prize": True},
        {**points, "value": 200, "probability": "0.02", "quantity": 500},
        {"type": PrizeType.EMPTY, "probability": "0.48"},
    ]


def _hot_sectors() -> list[dict[str, Any]]:
    nothing = {"type": PrizeType.EMPTY, "probability": "0"}
    hot = {"type": PrizeType.POINTS, "value": 1, "probability": "0.90", "quantity": 100 * MANY}
    return [hot, *([nothing] * 6), {**nothing, "probability": "0.10"}]


def _wheel(name: str, cost: int, sectors: list[dict[str, Any]], **facts: Any) -> Wheel:
    wheel = Wheel.objects.create(name=name, cost_points=cost, **facts)
    for angle, sector in zip(ANGLES, sectors, strict=True):
        wheel.fallback_prize = Prize.objects.create(
            wheel=wheel, name=f"{name} at {angle}", angle=angle, color="#c8261b", **sector
        )
    wheel.save()
    publishing.publish(wheel_id=wheel.pk)
    return wheel
