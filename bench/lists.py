"""What lists, details and changes cost on the large set: server time, endpoint by endpoint.

    python -m bench.lists [--database postgres://…] [--people 0] [--rounds 5] [--only TEXT]
        [--explain]

Asks a database that `bench.data` filled (DATABASE_URL if --database is left out), or with --people
one of its own, filled first. Requests go through the whole of Django in this process, signed in by
real tokens; no network is in the figures. Lists are read on their first page, in their middle and
on their last page, in every sort and every combination of filters. The goals: p95 of a list or a
detail 100 ms, the mean of a change 100 ms, a page of the console 1 s. What misses its goal is
marked, and with --explain its slowest statement is explained; the exit status is 0 all the same.
The changes are made and stay: the set is one to throw away afterwards.
"""

import argparse
import io
import itertools
import os
import random
import statistics
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tests.servers import running_servers

GOAL = 100.0  # ms
CONSOLE_GOAL = 1000.0  # ms
WRITES = 20  # of each kind
SECTIONS = ("lists", "details", "changes", "forms", "console")


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench.lists")
    parser.add_argument("--database", help="postgres://…; DATABASE_URL if left out")
    parser.add_argument("--people", type=int, default=0, help="fill a database of one's own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", default="", help="a part of the report, or what has this in its name"
    )
    parser.add_argument("--explain", action="store_true")
    options = parser.parse_args(arguments)
    with running_servers(durable=True) if options.people else nullcontext() as servers:
        # Before Django is set up: the settings read their addresses once.
        if servers:
            os.environ.update(servers.environment)
        if options.database:
            os.environ["DATABASE_URL"] = options.database
        os.environ.update(
            DJANGO_SETTINGS_MODULE="config.settings", REQUESTS_PER_PERSON="100000000/min"
        )
        import django

        django.setup()
        if servers:
            from bench.data import make

            make(people=options.people, products=10_000)
        measure(rounds=options.rounds, only=options.only, explain=options.explain)
    return 0


# --- Measuring ----------------------------------------------------------------------------------
@dataclass
class Case:
    """Requests that are one line of the report: `ask` sends one of them and returns the answer."""

    name: str
    ask: object
    said: str = ""
    goal: float = GOAL
    is_mean: bool = False
    answers: tuple = (200, 201, 302)


@dataclass
class Line:
    """What was measured for one line, in ms, and by which request it took longest."""

    goal: float
    is_mean: bool
    times: list[float] = field(default_factory=list)
    worst: tuple[float, object] = (0.0, None)

    @property
    def judged(self):
        if self.is_mean or len(self.times) < 2:
            return statistics.fmean(self.times)
        return statistics.quantiles(self.times, n=20, method="inclusive")[-1]


def measure(*, rounds, only, explain):
    from django.conf import settings

    # Else every statement is kept, and pages tell of themselves.
    settings.DEBUG, settings.ALLOWED_HOSTS = False, ["*"]
    print(f"load {os.getloadavg()[0]:.1f}")
    head = f"{'':<34}{'requests':>9}{'p50':>9}{'p95':>9}{'mean':>9}{'most':>9}   ms"
    for title, cases in (
        ("lists", _lists()),
        ("details", _details()),
        ("changes", _changes()),
        ("forms", _forms()),
        ("console", _console()),
    ):
        if only in SECTIONS and only != title:
            continue
        lines = _take(cases, rounds=rounds, only="" if only == title else only)
        if lines:
            print(f"\n{title:<34}{head[34:]}")
        for name, line in lines.items():
            _print(name, line, explain=explain)


def _take(cases, *, rounds, only):
    lines: dict[str, Line] = {}
    for case in cases:
        if only not in case.name:
            continue
        line = lines.setdefault(case.name, Line(goal=case.goal, is_mean=case.is_mean))
        times = []
        for number in range(1 if case.is_mean else rounds + 1):
            begun = time.perf_counter()
            answer = case.ask()
            taken = 1000 * (time.perf_counter() - begun)
            if answer.status_code not in case.answers:
                print(f"  {case.name} {case.said}: {answer.status_code} {answer.content[:300]!r}")
                break
            if number or case.is_mean:  # the first one warms up
                times.append(taken)
        line.times += times
        line.worst = max(
            line.worst, (statistics.median(times or [0]), case), key=lambda one: one[0]
        )
    return {name: line for name, line in lines.items() if line.times}


def _print(name, line, *, explain):
    times = sorted(line.times)
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
    figures = (statistics.median(times), p95, statistics.fmean(times), times[-1])
    told = "".join(f"{figure:>9.1f}" for figure in figures)
    misses = line.judged > line.goal
    slowest = f"   {line.worst[1].said}" if line.worst[1] else ""
    print(f"{name:<34}{len(times):>9,}{told}{'  !' if misses else '   '}{slowest}", flush=True)
    if misses and explain and line.worst[1]:
        _explain(line.worst[1])


def _explain(case):
    """The plan of the slowest statement of a request."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as statements:
        case.ask()
    slowest = max(statements.captured_queries, key=lambda one: float(one["time"]))
    print(
        f"    {len(statements)} statements; the slowest {slowest['time']} s:\n    {slowest['sql']}"
    )
    if slowest["sql"].startswith("SELECT"):
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + slowest["sql"].replace("%", "%%"), ())
            for (text,) in cursor.fetchall():
                print(f"      {text}")


# --- Who asks -----------------------------------------------------------------------------------
def _client(person):
    """A client with a token of a new sign-in of this person."""
    from datetime import timedelta

    from django.utils import timezone
    from rest_framework.test import APIClient

    from accounts.models import DeviceSession
    from accounts.services import tokens
    from ops.services import key_ring

    now = timezone.now()
    session = DeviceSession.objects.create(
        user=person,
        rotated_at=now,
        expires_at=now + timedelta(days=30),
        key_id=key_ring.newest("token").id,
    )
    client = APIClient(raise_request_exception=False)
    token = tokens.sign_pair(session).access_token
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def _regular():
    """Who comes most often: every list of theirs is long."""
    from accounts.models import User

    return User.objects.get(pk=1)


def _reviewer():
    """Who may review at every shop."""
    from catalog.models import ShopMember

    return ShopMember.objects.order_by("pk").select_related("person")[0].person


def _others(number):
    """People like most of them, others each time."""
    from accounts.models import User

    chosen = User.objects.filter(
        status="active", total_points__gt=500, pk__gt=1000, memberships=None
    )
    return list(chosen.order_by("?")[:number])


# --- Lists --------------------------------------------------------------------------------------
def _lists():
    from rest_framework.test import APIClient

    from accounts.models import PointsEntry, PointsSource
    from catalog.models import Category, Order, OrderStatus, Product, Shop
    from catalog.serializers import SORTS
    from favorites.models import Favorite
    from lottery.models import Draw, WheelVersion
    from reviews.models import Receipt, ReceiptStatus

    person = _regular()
    regular, stranger = _client(person), APIClient(raise_request_exception=False)
    merchant = _client(_reviewer())
    shop, category = Shop.objects.order_by("pk")[0], Category.objects.order_by("pk")[3]

    visible = Product.objects.visible()
    for client, who in ((stranger, "stranger"), (regular, "regular")):
        for sort, ordering in SORTS.items():
            for filters in _combinations(
                category=[None, category.pk],
                shop=[None, shop.pk],
                search=[None, "红糖糍粑", "Product 99", "nothing at all"],
                min_points=[None, 1000],
                affordable=[None, "true"] if client is regular else [None],
            ):
                if "min_points" in filters:
                    filters["max_points"] = 2000
                query = {"sort": sort, **filters}
                yield from _depths(
                    client,
                    f"mall, {who}",
                    "exchange/products",
                    query=query,
                    rows=visible,
                    ordering=ordering,
                )
    yield from _depths(stranger, "shops", "shops", rows=Shop.objects.all())
    yield from _depths(
        stranger,
        "categories",
        "exchange/categories",
        rows=Category.objects.all(),
        ordering=["position", "id"],
    )
    yield from _depths(
        stranger,
        "rules",
        "lottery/rules",
        rows=WheelVersion.objects.all(),
        ordering=["-number"],
    )
    entries = PointsEntry.objects.filter(user=person)
    for filters in _combinations(type=[None, "earn", "spend"], source=[None, *PointsSource.values]):
        yield from _depths(
            regular, "points", "user/points", query=filters, rows=entries, ordering=["-sequence"]
        )
    for filters in _combinations(status=[None, *OrderStatus.values]):
        orders = Order.objects.filter(person=person)
        yield from _depths(regular, "orders", "exchange/orders", query=filters, rows=orders)
    draws = Draw.objects.filter(person=person)
    yield from _depths(regular, "records", "lottery/records", rows=draws)
    for filters in _combinations(status=[None, *ReceiptStatus.values]):
        receipts = Receipt.objects.filter(person=person)
        yield from _depths(regular, "history", "photo/history", query=filters, rows=receipts)
    favorites = Favorite.objects.filter(person=person)
    yield from _depths(regular, "favorites", "favorites", rows=favorites)
    for filters in _combinations(
        status=[None, "all", *ReceiptStatus.values],
        shop=[None, shop.pk, Shop.objects.order_by("-pk")[0].pk],
        risk=[None, 50, 90, 99, 100],
    ):
        yield from _depths(
            merchant, "reviews", "merchant/reviews", query=filters, rows=Receipt.objects.all()
        )
    few = _client(_merchant_of_one_shop())
    for filters in _combinations(status=[None, "all"], risk=[None, 90, 100]):
        yield from _depths(
            few,
            "reviews, one small shop",
            "merchant/reviews",
            query=filters,
            rows=Receipt.objects.all(),
        )


def _merchant_of_one_shop():
    from catalog.models import ShopMember

    return ShopMember.objects.filter(role="reviewer").order_by("-pk")[0].person


def _combinations(**choices):
    for values in itertools.product(*choices.values()):
        yield {
            name: value for name, value in zip(choices, values, strict=True) if value is not None
        }


def _depths(client, name, path, *, rows, query=None, ordering=("-id",)):
    """The first page of a list, one in its middle and its last one.

    `rows` are those of the list without filters, which the cursors come from.
    """
    query = query or {}
    for depth, cursor in _cursors(rows, tuple(ordering)).items():
        asked = {**query, **({"cursor": cursor} if cursor else {})}
        address = f"/api/{path}?{urlencode(asked)}"
        said = f"{depth}; {', '.join(f'{key}={value}' for key, value in query.items())}"
        yield Case(f"{name}, {depth}", lambda address=address: client.get(address), said)


_known_cursors: dict = {}


def _cursors(rows, ordering):
    from ops.api.pagination import cursor_behind

    key = str(rows.query), ordering
    if key not in _known_cursors:
        number = rows.count()
        found: dict[str, str] = {"first": ""}
        for depth, at in (("middle", number // 2), ("last", number - 21)):
            if at > 0:
                row = rows.order_by(*ordering)[at]
                found[depth] = cursor_behind(row, ordering=ordering)
        _known_cursors[key] = found
    return _known_cursors[key]


# --- Details ------------------------------------------------------------------------------------
def _details():
    from rest_framework.test import APIClient

    from catalog.models import Order, Product
    from lottery.models import Draw
    from reviews.models import Receipt

    chance = random.Random(1)
    for person in [_regular(), *_others(10)]:
        client = _client(person)
        client.post("/api/lottery/seed", {})  # a proof is given of seeds that were revealed
        yield Case("profile", lambda client=client: client.get("/api/user/profile"))
        yield Case("verify", lambda client=client: client.get("/api/auth/verify"))
        yield Case("wheel config", lambda client=client: client.get("/api/lottery/config"))
        product = chance.choice(Product.objects.visible()[:1000])
        address = f"/api/exchange/products/{product.pk}"
        yield Case("product", lambda client=client, address=address: client.get(address))
        for name, path, rows in (
            ("order", "exchange/orders/{}", Order.objects),
            ("upload", "photo/uploads/{}", Receipt.objects),
            ("proof", "lottery/draws/{}/proof", Draw.objects),
        ):
            row = rows.filter(person=person).order_by("pk").first()
            if row is None:
                continue
            address = f"/api/{path.format(row.pk)}"
            yield Case(name, lambda client=client, address=address: client.get(address))
        ids = list(Product.objects.order_by("pk").values_list("pk", flat=True)[:100])
        body = {"product_ids": ids}
        yield Case(
            "favorites check",
            lambda client=client, body=body: client.post("/api/favorites/check", body),
        )
    stranger = APIClient(raise_request_exception=False)
    yield Case("wheel config, stranger", lambda: stranger.get("/api/lottery/config"))


# --- Changes ------------------------------------------------------------------------------------
def _changes():
    """One of each kind by somebody else each time; the last ones by who has most rows."""
    from catalog.models import Order, OrderStatus, Product
    from reviews.models import Receipt, ReceiptStatus

    reviewer = _reviewer()
    merchant = _client(reviewer)
    products = list(Product.objects.visible().filter(stock__gt=5, points_price__lte=400)[:500])
    pending = iter(
        Receipt.objects.filter(status=ReceiptStatus.PENDING)
        .exclude(person=reviewer)
        .order_by("?")[: WRITES * 14]
        .values_list("pk", flat=True)
    )
    chance = random.Random(2)

    def case(name, ask):
        return Case(name, ask, is_mean=True)

    for number, person in enumerate([*_others(WRITES), *[_regular()] * 3]):
        client = _client(person)
        product = chance.choice(products)

        def post(path, body, client=client):
            return client.post(f"/api/{path}", body)

        def seen(path, body, post=post):
            return lambda: post(path, body)

        yield case("favorite: create", seen("favorites", {"product_id": product.pk}))
        yield case(
            "favorite: delete",
            lambda client=client, product=product: client.delete(f"/api/favorites/{product.pk}"),
        )
        yield case(
            "profile: update",
            lambda client=client, number=number: client.patch(
                "/api/user/profile", {"nickname": f"客人 {number}"}
            ),
        )
        yield case("exchange", seen("exchange/submit", {"product_id": product.pk}))
        mine = Order.objects.filter(person=person, status=OrderStatus.PENDING, source="exchange")
        if (order := mine.order_by("-pk").first()) is not None:
            yield case("order: cancel", seen(f"exchange/orders/{order.pk}/cancel", {}))
        waiting = Order.objects.filter(status=OrderStatus.PENDING, pk__gt=1000 * number)
        code = {"exchange_code": waiting.order_by("pk")[0].exchange_code}
        yield case(
            "order: redeem",
            lambda code=code: merchant.post("/api/merchant/redeem", code),
        )
        yield case("draw", seen("lottery/draw", {"count": 1}))
        yield case("draw ×10", seen("lottery/draw", {"count": 10}))
        yield case("seeds: change", seen("lottery/seed", {}))
        body = _upload()
        yield case(
            "receipt: create",
            lambda client=client, body=body: client.post(
                "/api/photo/upload", body, format="multipart"
            ),
        )
        for action in ("approve", "reject"):
            decision = {"upload_id": next(pending), "action": action, "reason": "bench"}
            yield case(
                f"receipt: {action}",
                lambda decision=decision: merchant.post("/api/merchant/review", decision),
            )
        items = [{"upload_id": next(pending), "action": "approve"} for _ in range(10)]
        yield case(
            "receipts: review ten",
            lambda items=items: merchant.post("/api/merchant/reviews/batch", {"items": items}),
        )
        yield case("sign-in: end", seen("auth/logout", {}))


# What a merchant types into the form of a new row, and into the one of a row that is there.
FORMS = {
    "catalog.category": ({"name": "架子 {number}", "position": "1"}, {"position": "2"}),
    "catalog.shop": ({"name": "分店 {number}"}, {"phone": "0755-1234567"}),
    "catalog.product": (
        {
            "name": "新品 {number}",
            "kind": "physical",
            "shop": "{shop}",
            "points_price": "100",
            "market_price": "12.50",
        },
        {"points_price": "120"},
    ),
    "lottery.wheel": ({"name": "转盘 {number}", "cost_points": "10"}, {"cost_points": "20"}),
    "accounts.user": (None, {"nickname": "客人 {number}"}),
}
DELETED = ("catalog.category", "catalog.product")


def _forms():
    """Rows made, changed and deleted in the console, each by a form that was opened before."""
    from django.apps import apps
    from django.test import Client
    from django.urls import reverse

    from tests.console import form_of

    browser = Client(raise_request_exception=False)
    browser.force_login(_superuser())
    shop = apps.get_model("catalog.shop").objects.order_by("pk")[0].pk

    def case(name, address, typed):
        form = {**form_of(browser.get(address)), **typed}
        # A page in place of a redirection says what was wrong with the form.
        return Case(name, lambda: browser.post(address, form), is_mean=True, answers=(302,))

    for number in range(WRITES):
        for label, (of_a_new_one, of_one_that_is_there) in FORMS.items():
            model = apps.get_model(label)
            page = f"admin:{model._meta.app_label}_{model._meta.model_name}"

            def filled(facts, number=number):
                said = {"number": number, "shop": shop}
                return {name: text.format(**said) for name, text in facts.items()}

            if of_a_new_one is not None:
                address = reverse(f"{page}_add")
                yield case(f"{model._meta.model_name}: create", address, filled(of_a_new_one))
            row = model.objects.order_by("-pk")[0 if of_a_new_one else number]
            address = reverse(f"{page}_change", args=[row.pk])
            yield case(f"{model._meta.model_name}: update", address, filled(of_one_that_is_there))
            if label in DELETED:
                address = reverse(f"{page}_delete", args=[row.pk])
                yield case(f"{model._meta.model_name}: delete", address, {"post": "yes"})


def _upload():
    from catalog.models import Shop

    shop = Shop.objects.order_by("pk")[0]
    return {"image": _photo(), "amount": "128.50", "shop_id": shop.pk}


def _photo():
    """A picture that nobody sent before."""
    from PIL import Image

    picture = Image.effect_noise((900, 1200), 40 + random.random()).convert("RGB")
    file = io.BytesIO()
    picture.save(file, "JPEG")
    file.name = "receipt.jpg"
    file.seek(0)
    return file


# --- The console --------------------------------------------------------------------------------
CONSOLE_PAGES = {
    "accounts.user": ["q=Guest", "q=10000000001", "q=客人", "status__exact=banned", "o=4", "o=-4"],
    "accounts.pointsentry": [
        "q=Guest+1",
        "q=12345",
        "source__exact=cancel",
        "created_at__year={year}",
        "o=1",
    ],
    "reviews.receipt": [
        "q=R12345",
        "q=Guest+77",
        "status__exact=pending",
        "shop__id__exact={shop}",
    ],
    "catalog.order": ["q=Product+77", "status__exact=pending", "shop__id__exact={shop}"],
    "catalog.product": ["q=umbrella", "status__exact=inactive", "o=6"],
    "catalog.stockentry": ["q=Product+77", "operation__exact=cancel"],
    "accounts.devicesession": ["q=Guest+1", "revoked_at__isnull=True"],
    "accounts.registrationmark": [],
    "lottery.draw": [],
    "lottery.seedpair": [],
    "lottery.pitycounter": [],
    "favorites.favorite": [],
    "ops.auditentry": ["q=12345", "object_type=reviews.receipt"],
    "ops.storedfile": [],
    "reviews.processrecord": [],
}


def _console():
    from django.apps import apps
    from django.contrib import admin
    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    from catalog.models import Shop

    browsers = {}
    for who, person in (("superuser", _superuser()), ("owner", _owner_of_one_shop())):
        browsers[who] = Client(raise_request_exception=False)
        browsers[who].force_login(person)
    said = {"shop": Shop.objects.order_by("pk")[0].pk, "year": timezone.now().year}
    for label, queries in CONSOLE_PAGES.items():
        model = apps.get_model(label)
        if not admin.site.is_registered(model):
            continue
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        address = reverse(f"admin:{name}_changelist")
        for who, browser in browsers.items():
            for query in ("", "p=2", "p=500", *queries):
                query = query.format(**said)
                if query == "" and browser.get(address).status_code == 403:
                    break
                yield Case(
                    f"{label}, {who}, {query or 'first page'}",
                    lambda browser=browser, at=f"{address}?{query}": browser.get(at),
                    query,
                    goal=CONSOLE_GOAL,
                )
    receipt = reverse("admin:reviews_receipt_change", args=[1])
    person = reverse("admin:accounts_user_change", args=[1])
    for who, browser in browsers.items():
        for name, address in (("one receipt", receipt), ("one person", person)):
            yield Case(
                f"{name}, {who}",
                lambda browser=browser, address=address: browser.get(address),
                goal=CONSOLE_GOAL,
            )
        yield Case(
            f"start, {who}",
            lambda browser=browser: browser.get(reverse("admin:index")),
            goal=CONSOLE_GOAL,
        )


def _superuser():
    from accounts.models import User

    found = User.objects.filter(username="bench").first()
    return found or User.objects.create_superuser("bench", None)


def _owner_of_one_shop():
    """Who owns one shop alone, the largest of those that the owner of all does not share."""
    from catalog.models import ShopMember

    members = ShopMember.objects.filter(role="owner").order_by("shop")
    return members.exclude(person=_reviewer()).select_related("person")[0].person


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
