"""The peer of the bench keeps the platform's promises: else its figures would say nothing."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import httpx
import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import DeviceSession, PointsEntry, User
from accounts.services import tokens
from bench import programs
from catalog.models import Order, Product, StockEntry
from catalog.tests.factories import make_product
from lottery.models import Draw, PityCounter, Prize, PrizeType, SeedPair, WheelStatus
from lottery.services import seeds, wheels
from lottery.tests.factories import fix_seeds, goods_prize, make_wheel, points_prize
from ops.models import IdempotencyRecord
from ops.services import integrity, key_ring
from tests.api import answer_of, data_of
from tests.people import make_person

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

DRAWS = 80
KEYS = ("HASH_KEYS", "TOKEN_KEYS", "FIELD_ENCRYPTION_KEYS")
FORMS = {"steps": "/api/lottery/draw/steps", "few": "/api/lottery/draw"}
NEW_EACH_TIME = ("draw_id", "exchange_id", "exchange_code", "created_at", "expires_at")


@pytest.fixture
def peer(settings, tmp_path):
    """A client of the peer, on the database, the Redis and the keys of the tests."""
    of = connection.get_connection_params()
    known = {name: of[name] for name in ("dbname", "user", "password", "host", "port")}
    environment = {
        "DATABASE_URL": psycopg.conninfo.make_conninfo(**known),
        "REDIS_URL": settings.REDIS_URL,
        "PEER_CONNECTIONS": "4",
        **{name: ",".join(getattr(settings, name)) for name in KEYS},
    }
    port = programs.free_port()
    with (
        programs.running(
            programs.peer(port),
            port=port,
            log=tmp_path / "peer.log",
            environment=environment,
        ),
        httpx.Client(base_url=f"http://{programs.LOOPBACK}:{port}") as client,
    ):
        yield client


def signed_in(person):
    """The headers of a person who signed in."""
    now = timezone.now()
    session = DeviceSession.objects.create(
        user=person,
        key_id=key_ring.newest("token").id,
        rotated_at=now,
        expires_at=now + timedelta(days=30),
    )
    return {"Authorization": f"Bearer {tokens.sign_pair(session).access_token}"}


def make_default_wheel():
    """A wheel with everything that a draw can come to; most of it runs out soon."""
    wheel = make_wheel(
        points_prize("50", probability="0.1", is_activity=True),
        points_prize("500", probability="0.1", quantity=2),
        goods_prize(make_product(stock=2), probability="0.1"),
        goods_prize(make_product(stock=9), probability="0.1", daily_cap=1),
        {"type": PrizeType.COUPON, "value": 3, "probability": "0.1", "daily_cap": 2},
        points_prize("20", probability="0.05", is_pity_prize=True),
        points_prize("200", probability="0.05", is_pity_prize=True, quantity=1),
        cost_points=10,
        daily_limit=1000,
        pity_threshold=6,
    )
    wheels.make_default(wheel_id=wheel.pk)
    return wheel


@contextmanager
def taken_back():
    """A transaction whose changes are gone afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def rows_of(person):
    """All that draws wrote, without what is new each time: ids, hashes, times."""
    draws = list(Draw.objects.filter(person=person).order_by("nonce"))
    number = {str(draw.pk): draw.nonce for draw in draws}
    mine = Draw.objects.filter(person=person).order_by("nonce")
    facts = ("nonce", "ticket", "landed_prize_id", "prize_id", "is_pity", "pity_before")
    more = ("stock_out", "near_miss", "cost_points", "value_given", "version", "wheel", "seed_pair")
    order_facts = ("shop", "product", "product_name", "kind", "unit_points", "quantity")
    order_more = ("total_points", "limit_per_person", "source", "status", "redeemed_by")
    entry_facts = ("sequence", "points", "source", "balance_after")
    stock_facts = ("product", "sequence", "quantity", "operation", "stock_after", "author")
    return {
        "draws": list(mine.values_list(*facts, *more)),
        "orders": [
            (number[related], *row)
            for related, *row in Order.objects.order_by("draw__nonce").values_list(
                "related_id", *order_facts, *order_more
            )
        ],
        "entries": [
            (number.get(related), *row)
            for related, *row in PointsEntry.objects.filter(user=person)
            .order_by("sequence")
            .values_list("related_id", *entry_facts)
        ],
        "stock": [
            (number.get(related), *row)
            for related, *row in StockEntry.objects.order_by("product", "sequence").values_list(
                "related_id", *stock_facts, "reason"
            )
        ],
        "prizes": list(
            Prize.objects.order_by("pk").values_list("pk", "given", "given_on", "given_that_day")
        ),
        "products": list(
            Product.objects.order_by("pk").values_list(
                "pk", "stock", "stock_version", "sales_count"
            )
        ),
        "pairs": list(SeedPair.objects.order_by("pk").values_list("pk", "next_nonce", "state")),
        "pity": list(PityCounter.objects.values_list("person", "wheel", "current")),
        "person": list(
            User.objects.filter(pk=person.pk).values_list(
                "total_points", "points_version", "lifetime_points"
            )
        ),
        "records": list(
            IdempotencyRecord.objects.order_by("pk").values_list(
                "owner_id", "path", "key", "fingerprint"
            )
        ),
    }


def plain(answer):
    """An answer without what is new each time."""
    if isinstance(answer, dict):
        return {
            name: type(value) if name in NEW_EACH_TIME else plain(value)
            for name, value in answer.items()
        }
    return [plain(one) for one in answer] if isinstance(answer, list) else answer


def draw_with(client, path, headers, *, count=DRAWS):
    """The answers to so many draws, each with a key of its own."""
    return [
        plain(
            data_of(
                client.post(
                    path, **_json_of(client, {}), headers={**headers, "Idempotency-Key": f"k{n}"}
                )
            )
        )
        for n in range(count)
    ]


def _json_of(client, body):
    if isinstance(client, httpx.Client):
        return {"json": body}
    return {"data": body, "content_type": "application/json"}


def found():
    return [one for name in integrity.checks.names() for one in integrity.run(name)]


@pytest.mark.parametrize("form", FORMS)
def test_it_writes_and_answers_what_the_platform_does(peer, client, form):
    person = make_person(points=5_000)
    fix_seeds(person)
    make_default_wheel()
    headers = signed_in(person)
    with taken_back():
        ours = draw_with(client, FORMS["few"], headers), rows_of(person)
    assert Draw.objects.count() == 0
    theirs = draw_with(peer, FORMS[form], headers), rows_of(person)
    assert theirs == ours
    # All of it was met: prizes that were gone, orders, stock, pity, and points that were won.
    drawn = Draw.objects.all()
    assert drawn.exclude(stock_out=[]).filter(is_pity=True).exists()
    assert drawn.exclude(stock_out=[]).filter(is_pity=False).exists()
    assert StockEntry.objects.filter(operation="prize").count() == 3
    assert found() == []


@pytest.mark.parametrize("path", FORMS.values(), ids=FORMS)
def test_a_key_has_one_effect(peer, path):
    person = make_person(points=500)
    make_default_wheel()
    fix_seeds(person)
    headers = {**signed_in(person), "Idempotency-Key": uuid.uuid4().hex}
    first, second = (peer.post(path, json={}, headers=headers) for _n in range(2))
    assert second.content == first.content
    assert "Idempotent-Replay" not in first.headers
    assert second.headers["Idempotent-Replay"] == "true"
    assert answer_of(peer.post(path, json={"wheel_id": 1}, headers=headers)).code == 1014
    assert Draw.objects.count() == 1
    assert found() == []


@pytest.mark.parametrize("path", FORMS.values(), ids=FORMS)
def test_who_may_not_draw_changes_nothing(peer, path):
    person = make_person(points=5)
    wheel = make_default_wheel()
    fix_seeds(person)
    headers = {**signed_in(person), "Idempotency-Key": "key"}
    assert answer_of(peer.post(path, json={}, headers=headers)).code == 3001
    wheels.change_status(wheel_id=wheel.pk, status=WheelStatus.PAUSED)
    assert answer_of(peer.post(path, json={}, headers=headers)).code == 3002
    User.objects.filter(pk=person.pk).update(status="banned")
    assert answer_of(peer.post(path, json={}, headers=headers)).code == 1005
    User.objects.filter(pk=person.pk).update(status="active")
    DeviceSession.objects.update(revoked_at=timezone.now())
    assert answer_of(peer.post(path, json={}, headers=headers)).code == 1006
    assert Draw.objects.count() == IdempotencyRecord.objects.count() == 0
    assert found() == []


@pytest.mark.parametrize("path", FORMS.values(), ids=FORMS)
def test_many_at_once_get_no_more_than_there_is(peer, path):
    """Several people, and each of them several times at once, after the same scarce prize."""
    wheel = make_wheel(points_prize("5", probability="1", quantity=7), cost_points=10)
    wheels.make_default(wheel_id=wheel.pk)
    people = [make_person(points=500) for _n in range(4)]
    for person in people:
        seeds.pairs_of(person.pk)
    senders = [signed_in(person) for person in people]

    def attempt(number):
        headers = {**senders[number % 4], "Idempotency-Key": f"k{number}"}
        return answer_of(peer.post(path, json={}, headers=headers)).code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(attempt, range(24))) == {0}
    assert Draw.objects.filter(stock_out=[]).count() == Prize.objects.get(quantity=7).given == 7
    assert Draw.objects.count() == 24
    assert found() == []


def test_its_exchange_is_the_platforms(peer, client):
    person = make_person(points=5_000)
    product = make_product(stock=3, limit_per_person=2)
    headers = signed_in(person)
    body = {"product_id": product.pk, "quantity": 1}

    def exchanged(by):
        answers = [
            answer_of(
                by.post(
                    "/api/exchange/submit",
                    **_json_of(by, body),
                    headers={**headers, "Idempotency-Key": f"k{n}"},
                )
            )
            for n in range(3)
        ]
        return [(one.code, plain(one.data) if one.code == 0 else None) for one in answers]

    with taken_back():
        ours = exchanged(client), rows_of_orders()
    assert exchanged(peer) == ours[0]
    assert rows_of_orders() == ours[1]
    assert [code for code, _data in ours[0]] == [0, 0, 4006]
    assert found() == []


def rows_of_orders():
    facts = ("person", "shop", "product", "product_name", "kind", "unit_points", "quantity")
    more = ("total_points", "limit_per_person", "source", "related_id", "status")
    return (
        list(Order.objects.order_by("pk").values_list(*facts, *more)),
        list(PointsEntry.objects.order_by("pk").values_list("sequence", "points", "source")),
        list(StockEntry.objects.order_by("pk").values_list("sequence", "quantity", "operation")),
        list(Product.objects.values_list("stock", "stock_version", "sales_count")),
    )


@pytest.mark.parametrize("path", ["/api/lottery/config", "/api/exchange/products"])
def test_its_reads_are_the_platforms(peer, client, path):
    person = make_person(points=5_000)
    make_default_wheel()
    fix_seeds(person)
    headers = signed_in(person)
    strangers: dict[str, str] = {}
    for sent in (strangers, headers):
        assert data_of(peer.get(path, headers=sent)) == data_of(client.get(path, headers=sent))


def test_its_ledger_is_the_platforms(peer, client):
    person = make_person(points=5_000)
    make_default_wheel()
    fix_seeds(person)
    headers = signed_in(person)
    draw_with(peer, FORMS["few"], headers, count=30)
    ours, theirs = (data_of(one.get("/api/user/points", headers=headers)) for one in (client, peer))
    assert [list(item) for item in theirs["items"]] == [list(item) for item in ours["items"]]
    assert [item["id"] for item in theirs["items"]] == [item["id"] for item in ours["items"]]
    following = data_of(peer.get(f"/api/user/points?cursor={theirs['next']}", headers=headers))
    assert following["items"][0]["version"] == ours["items"][-1]["version"] - 1
