"""A row of everything there is: the demo, and what its people did."""

from datetime import time

from django.utils import timezone

from accounts.models import CodeCount, LimitPurpose, SignInLimit, User
from accounts.services import console_devices, emails, second_factors, sign_in
from accounts.services.adjusting import adjust
from accounts.tests.factories import merge_into
from catalog.models import Product, ProductTemplate, Selection, Shop, ShopRole
from catalog.services import invitations
from config import demo
from favorites.models import Favorite
from lottery.services.draws import draw
from ops.models import (
    Alert,
    AlertChannel,
    AlertNotice,
    AlertRule,
    Backup,
    ChartSample,
    ErrorGroup,
    FailedRow,
    IdempotencyRecord,
    LiveSetting,
    Maintenance,
    MetricSample,
    MigrationRun,
    ServingProcess,
)
from ops.monitoring.channels import sealed
from ops.services import processes, scheduler
from ops.services.seals import seal_ledgers
from reviews.tests.factories import make_receipt
from tests.api import client_of
from tests.people import make_person


def make_world():
    """At least one row of every model; returns the customer whose they are."""
    demo.load()
    customer = make_person(points=100_000)
    shop = Shop.objects.get()
    make_receipt(shop=shop, person=customer)
    draw(person_id=customer.pk, default_wheel=True, count=10)
    client_of(customer).post(
        "/api/exchange/submit",
        {"product_id": Product.objects.order_by("pk")[0].pk},
        headers={"Idempotency-Key": "k"},
    )
    product = Product.objects.order_by("pk")[0]
    Favorite.objects.create(person=customer, product=product)
    invitations.invite(shop_id=shop.pk, phone="13900000009", role=ShopRole.CASHIER)
    template = {"name": "T", "kind": "physical", "points_price": 1, "market_price": 1}
    ProductTemplate.objects.create(title="T", **template)
    Selection.objects.create(
        shop=shop, name="S", cost=1, market_price=2, suggested_points=1, score=1
    )
    device = sign_in.Device(address="127.0.0.1")
    for phone in (str(customer.phone), "13800138009"):  # the second is new: it leaves a mark
        sign_in.sign_in_by_code(phone=phone, code="123456", device=device)
    client_of(None).post("/api/auth/code", {"phone": "13800138000"})
    console_devices.remember(person=customer, token="", address="127.0.0.1", user_agent="")
    emails.ask_link(person_id=customer.pk, email="customer.of.the.world@example.com")
    User.objects.filter(pk=customer.pk).update(email="customer.of.the.world@example.com")
    SignInLimit.objects.create(
        purpose=LimitPurpose.ACCOUNT, key_hash="a1" * 32, last_failed_at=timezone.now()
    )
    secret = second_factors.new_secret()
    code = second_factors.code_at(secret, timezone.now())
    second_factors.enrol(person=customer, secret=secret, code=code)
    CodeCount.objects.create(purpose="platform", key_hash="b2" * 32, since=timezone.now())
    adjust(person_id=make_person(points=5).pk, points=-1, reason="Counted wrong")
    merge_into(make_person(nickname="goes on"), make_person(nickname="was merged"))
    seal_ledgers(now=timezone.now())
    quiet = {"quiet_from": time(22), "quiet_until": time(7)}
    rule = AlertRule.objects.create(name="r", metric="m", comparison="above", threshold=1, **quiet)
    alert = Alert.objects.create(rule=rule, value=2)
    channel = AlertChannel.objects.create(name="c", kind="webhook", **sealed("https://a.b/c"))
    AlertNotice.objects.create(alert=alert, channel=channel, kind="raised", message={})
    Backup.objects.create()
    MetricSample.objects.create(host="here", taken_at=timezone.now(), readings={})
    ChartSample.objects.create(host="here", taken_at=timezone.now(), figures={})
    LiveSetting.objects.create(key="points.register_bonus", value=500)
    Maintenance.objects.create()
    ServingProcess.objects.create(name="here:1:abc")
    processes.beat()
    MigrationRun.objects.create()
    FailedRow.objects.create(job="j", row_id="1", error="E")
    scheduler.run_by_hand("old job runs")
    now = timezone.now()
    ErrorGroup.objects.create(fingerprint="f", kind="E", count=1, first_seen=now, last_seen=now)
    assert IdempotencyRecord.objects.exists()
    return customer
