"""Every operation of the API documents is driven, and each answer is one that they name.

For each operation there is a scene that brings about a success and every refusal of its own. What
it refuses with for what kind of operation it is (no token, another body for a key …) is brought
about for all of them alike, from their examples. What needs a machine that fails is not: 1000,
1503, and 1015 of a twin on another machine have tests of their own.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import LimitPurpose, User, UserStatus
from accounts.services import console_sign_in, sign_in, sign_in_codes
from accounts.tests.factories import enrol
from accounts.tests.fake_wechat import says, wechat_on_loopback
from catalog.models import Product, Shop, ShopInvitation, ShopRole
from catalog.services import invitations, orders
from catalog.tests.factories import make_order, make_product
from lottery.models import Wheel, WheelStatus
from lottery.services.draws import draw
from lottery.services.seeds import rotate
from lottery.tests.factories import goods_prize, make_wheel, points_prize
from ops.registry import Registry
from ops.services import health, idempotency
from reviews.models import ProcessStatus, Receipt
from reviews.tests.factories import make_file, make_receipt
from tests import documents
from tests.documents import Operation
from tests.people import give, make_cast

type Answers = Iterator[tuple[int | None, Any]]

OPERATIONS = documents.operations()
OF_FAILING_MACHINES = {1000, 1015, 1503}
# Brought about for every operation alike, at the end.
OF_ALL_ALIKE = {1005, 1006, 1013, 1014, 1016, 1017, 1018, 1019}
# Some say them of something else as well: of who signs in, or of a limit of their own.
OF_THEIR_OWN = {
    "post_auth_login": {1005, 1013},
    "post_auth_wechat": {1005, 1013},
    "post_auth_refresh": {1005, 1006},
}
PHONE = "13800138001"


class Sender:
    """Somebody with the app: what they ask for is held against the documents."""

    def __init__(self, person: User | None = None) -> None:
        self.headers: dict[str, str] = {"Accept-Language": "en"}
        self.client = Client(raise_request_exception=False)
        if person is not None:
            device = sign_in.Device(address="127.0.0.1")
            person.phone = person.phone or "13900000000"
            signed_in = sign_in.sign_in_by_code(phone=person.phone, code="123456", device=device)
            self.pair = signed_in.pair
            self.headers["Authorization"] = f"Bearer {self.pair.access_token}"

    def __call__(self, *asked: Any, **more: Any) -> Any:
        """Ask; the answer knows as `statements` how many of the database it took."""
        with CaptureQueriesContext(connection) as captured:
            answer = self._send(*asked, **more)
        answer.statements = len(captured)
        return answer

    def _send(
        self, method: str, path: str, body: Any = None, *, form: Any = None, **headers: str
    ) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        send = getattr(self.client, method.lower())
        if form is not None:
            return send(path, form, headers=self.headers | named)
        if body is None:
            return self.client.generic(method, path, headers=self.headers | named)
        return send(
            path, json.dumps(body), content_type="application/json", headers=self.headers | named
        )

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("POST", path, body, **headers)


class Scene:
    """Two shops, a wheel, goods, and one person for each role."""

    def __init__(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings, self.monkeypatch = settings, monkeypatch
        settings.RECEIPT_READER = "reviews.tests.scripted_reader.ScriptedReader"
        self.cast = make_cast()
        self.product = make_product(
            shop=self.cast.shop, stock=20, limit_per_person=3, points_price=100
        )
        self.wheel = make_wheel(
            points_prize("50", probability="0.25", is_activity=True),
            goods_prize(make_product(stock=100), probability="0.25"),
            points_prize("5", probability="0.1", is_pity_prize=True),
            pity_threshold=10,
            daily_limit=15,
            is_default=True,
        )
        give(self.cast.customer, 5000)
        self.stranger = Sender()
        self.customer = Sender(self.cast.customer)

    def as_(self, role: str) -> Sender:
        return Sender(getattr(self.cast, role))


type Act = Callable[[Scene], Answers]
SCENES: dict[str, Act] = {}


def scene_of(name: str) -> Callable[[Act], Act]:
    def keep(act: Act) -> Act:
        assert name not in SCENES
        SCENES[name] = act
        return act

    return keep


@pytest.fixture
def scene(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(settings, monkeypatch)


# --- Signing in ---------------------------------------------------------------------------------
@scene_of("post_auth_code")
def _(scene: Scene) -> Answers:
    ask = "/api/auth/code"
    yield 0, scene.stranger.post(ask, {"phone": PHONE})
    yield 1003, scene.stranger.post(ask, {"phone": PHONE})
    yield 1001, scene.stranger.post(ask, {"phone": "12345"})
    yield 1011, scene.stranger.post(ask, [])


@scene_of("post_auth_login")
def _(scene: Scene) -> Answers:
    def login(phone: str, code: str = "123456", **body: Any) -> Any:
        said = {"phone": phone, "code": code, **body}
        return scene.stranger.post("/api/auth/login", said)

    yield 0, login(PHONE, device_info={"platform": "ios", "model": "iPhone"})
    yield 0, login(PHONE, device_info=None)
    yield 1001, login("1")
    yield 1002, login(PHONE, "000000")
    yield 1011, login(PHONE, device_info={"model": "x" * 3000})
    sign_in_codes.ask_code(phone="13800138002", address="")
    for _try in range(5):
        yield 1002, login("13800138002", "00000x")
    yield 1004, login("13800138002", "00000x")
    User.objects.filter(phone=PHONE).update(status=UserStatus.BANNED)
    yield 1005, login(PHONE)
    scene.settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS = 0
    scene.settings.LIMIT_LOOPBACK_ADDRESSES = True
    yield 1013, login(PHONE)


@scene_of("post_auth_wechat")
def _(scene: Scene) -> Answers:
    def login(code: Any, **body: Any) -> Any:
        return scene.stranger.post("/api/auth/wechat", {"code": code, **body})

    with wechat_on_loopback(scene.settings) as fake:
        yield 0, login(fake.login("openid-1"), device_info={"platform": "ios"})
        yield 0, login(fake.login("openid-1"), phone_code=fake.phone("openid-1", PHONE))
        yield 0, login(fake.login("openid-2"), phone_code=fake.phone("openid-2", "13800138002"))
        yield 1008, login("0c-of-nobody")
        yield 1008, login(None)
        foreign = fake.phone("openid-1", "91234567", "852")
        yield 1001, login(fake.login("openid-1"), phone_code=foreign)
        yield 1011, login(fake.login("openid-1"), device_info={"model": "x" * 3000})
        fake.instead["/sns/jscode2session"] = says(-1)
        yield 1008, login(fake.login("openid-1"))
        del fake.instead["/sns/jscode2session"]
        User.objects.filter(wechat_openid="openid-1").update(status=UserStatus.BANNED)
        yield 1005, login(fake.login("openid-1"))
        scene.settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS = 0
        scene.settings.LIMIT_LOOPBACK_ADDRESSES = True
        yield 1013, login(fake.login("openid-1"))


@scene_of("post_auth_refresh")
def _(scene: Scene) -> Answers:
    def refresh(token: Any) -> Any:
        return scene.stranger.post("/api/auth/refresh", {"refresh_token": token})

    first = scene.customer.pair.refresh_token
    answer = refresh(first)
    yield 0, answer
    yield 0, refresh(answer.json()["data"]["refresh_token"])
    yield 1007, refresh(first)
    yield 1006, refresh("x")
    yield 1011, scene.stranger.post("/api/auth/refresh", [])
    other = scene.as_("other_customer")
    User.objects.filter(pk=scene.cast.other_customer.pk).update(status=UserStatus.INACTIVE)
    yield 1005, refresh(other.pair.refresh_token)


@scene_of("get_auth_verify")
def _(scene: Scene) -> Answers:
    yield 0, scene.customer.get("/api/auth/verify")
    yield 0, scene.as_("owner").get("/api/auth/verify")
    yield 1006, scene.stranger.get("/api/auth/verify")


@scene_of("post_auth_logout")
def _(scene: Scene) -> Answers:
    yield 1011, scene.customer.post("/api/auth/logout", {"everywhere": "yes"})
    yield 0, scene.customer.post("/api/auth/logout", {"everywhere": True})
    yield 1006, scene.customer.post("/api/auth/logout", {})


# --- The person ---------------------------------------------------------------------------------
@scene_of("get_user_profile")
def _(scene: Scene) -> Answers:
    yield 0, scene.customer.get("/api/user/profile")
    yield 1006, scene.stranger.get("/api/user/profile")


@scene_of("patch_user_profile")
def _(scene: Scene) -> Answers:
    def patch(**wanted: Any) -> Any:
        return scene.customer("PATCH", "/api/user/profile", wanted)

    yield 0, patch(nickname="Wang")
    yield 0, patch(email="wang@example.com")
    yield 1013, patch(email="other@example.com")
    yield 0, patch(nickname="Wang", email=None)
    yield 1011, patch(nickname="x" * 41)


@scene_of("post_user_avatar")
def _(scene: Scene) -> Answers:
    def send(content: bytes) -> Any:
        form = {"image": SimpleUploadedFile("a.jpg", content)}
        return scene.customer("POST", "/api/user/avatar", form=form)

    yield 0, send(make_file())
    yield 0, send(make_file())
    yield 5001, send(b"")
    yield 1011, scene.customer.post("/api/user/avatar", [])
    yield 5003, send(b"no picture")
    yield 5005, send(make_file()[:100])
    scene.settings.RECEIPT_MAX_BYTES = 10
    yield 5004, send(make_file())


@scene_of("get_user_statistics")
def _(scene: Scene) -> Answers:
    yield 0, scene.customer.get("/api/user/statistics")
    yield 1006, scene.stranger.get("/api/user/statistics")


@scene_of("get_user_sessions")
def _(scene: Scene) -> Answers:
    scene.as_("customer")
    yield 0, scene.customer.get("/api/user/sessions")
    yield 0, scene.customer.get("/api/user/sessions?page_size=1")
    yield 1011, scene.customer.get("/api/user/sessions?cursor=x")


@scene_of("delete_user_sessions_session_id")
def _(scene: Scene) -> Answers:
    there = sign_in.live_session(scene.as_("customer").pair.access_token)
    end = f"/api/user/sessions/{there.pk}"
    yield 1010, scene.as_("other_customer")("DELETE", end)
    yield 0, scene.customer("DELETE", end)
    yield 1010, scene.customer("DELETE", end)


@scene_of("get_user_invitations")
def _(scene: Scene) -> Answers:
    for shop in (scene.cast.shop, scene.cast.other_shop):
        invite(shop, scene.cast.customer)
    yield 0, scene.customer.get("/api/user/invitations")
    yield 0, scene.customer.get("/api/user/invitations?page_size=1")
    yield 1011, scene.customer.get("/api/user/invitations?cursor=x")


@scene_of("post_user_invitations_invitation_id")
def _(scene: Scene) -> Answers:
    def answer(invitation: ShopInvitation, decision: Any) -> Any:
        address = f"/api/user/invitations/{invitation.pk}"
        return scene.customer.post(address, {"decision": decision})

    person = scene.cast.customer
    accepted, declined = (invite(shop, person) for shop in (scene.cast.shop, scene.cast.other_shop))
    yield 0, answer(accepted, "accept")
    yield 0, answer(declined, "decline")
    yield 1010, answer(accepted, "accept")
    yield 1011, answer(accepted, "yes")
    phone, person.phone = str(person.phone), None
    person.save()
    there = invitations.invite(shop_id=scene.cast.shop.pk, phone=phone, role=ShopRole.CASHIER)
    person.phone = phone
    person.save()
    yield 8005, answer(there, "accept")


def invite(shop: Shop, person: User) -> ShopInvitation:
    return invitations.invite(shop_id=shop.pk, phone=str(person.phone), role=ShopRole.CASHIER)


@scene_of("get_user_points")
def _(scene: Scene) -> Answers:
    give(scene.cast.customer, -10)
    yield 0, scene.customer.get("/api/user/points")
    yield 0, scene.customer.get("/api/user/points?type=earn&source=adjust&page_size=1")
    yield 1011, scene.customer.get("/api/user/points?type=no")


# --- Shops and the mall -------------------------------------------------------------------------
@scene_of("get_config")
def _(scene: Scene) -> Answers:
    yield 0, scene.stranger.get("/api/config")
    yield 0, scene.customer.get("/api/config")
    yield 1006, scene.stranger.get("/api/config", Authorization="Bearer x")


@scene_of("get_shops")
def _(scene: Scene) -> Answers:
    yield 0, scene.stranger.get("/api/shops")
    yield 0, scene.stranger.get("/api/shops?page_size=1")
    yield 1011, scene.stranger.get("/api/shops?page_size=0")


@scene_of("get_exchange_categories")
def _(scene: Scene) -> Answers:
    yield 0, scene.stranger.get("/api/exchange/categories")
    yield 1011, scene.stranger.get("/api/exchange/categories?cursor=x")


@scene_of("get_exchange_products")
def _(scene: Scene) -> Answers:
    products = "/api/exchange/products"
    yield 0, scene.stranger.get(products)
    yield 0, scene.customer.get(f"{products}?affordable=1&sort=points&search=Product&min_points=1")
    yield 1011, scene.stranger.get(f"{products}?shop=0")


@scene_of("get_exchange_products_product_id")
def _(scene: Scene) -> Answers:
    yield 0, scene.customer.get(f"/api/exchange/products/{scene.product.pk}")
    yield 4001, scene.stranger.get("/api/exchange/products/0")


@scene_of("post_exchange_submit")
def _(scene: Scene) -> Answers:
    def submit(product: Product, who: Sender = scene.customer, **body: Any) -> Any:
        said = {"product_id": product.pk, **body}
        return who.post("/api/exchange/submit", said)

    yield 0, submit(scene.product, quantity=2)
    yield 0, submit(make_product(codes=["A-1", "A-2"]))
    yield 4003, submit(scene.product, quantity=0)
    yield 1011, scene.customer.post("/api/exchange/submit", [])
    yield 4001, scene.customer.post("/api/exchange/submit", {"product_id": None})
    yield 4002, submit(make_product(on_sale_from=timezone.now() + timedelta(days=1)))
    yield 4006, submit(scene.product, quantity=2)
    yield 4004, submit(make_product(stock=1), quantity=2)
    yield 4005, submit(scene.product, scene.as_("other_customer"))


@scene_of("get_exchange_orders")
def _(scene: Scene) -> Answers:
    make_order(person=scene.cast.customer, product=scene.product)
    make_order(person=scene.cast.customer, product=make_product(codes=["A-1"]))
    yield 0, scene.customer.get("/api/exchange/orders")
    yield 0, scene.customer.get("/api/exchange/orders?status=delivered")
    yield 1011, scene.customer.get("/api/exchange/orders?status=lost")


@scene_of("get_exchange_orders_exchange_id")
def _(scene: Scene) -> Answers:
    order = make_order(person=scene.cast.customer, product=scene.product)
    yield 0, scene.customer.get(f"/api/exchange/orders/{order.pk}")
    yield 4007, scene.as_("other_customer").get(f"/api/exchange/orders/{order.pk}")


@scene_of("post_exchange_orders_exchange_id_cancel")
def _(scene: Scene) -> Answers:
    order = make_order(person=scene.cast.customer, product=scene.product)
    cancel = f"/api/exchange/orders/{order.pk}/cancel"
    yield 0, scene.customer.post(cancel, Idempotency_Key="k")
    yield 0, scene.customer.post(cancel, Idempotency_Key="k")
    yield 4008, scene.customer.post(cancel)
    yield 4007, scene.customer.post("/api/exchange/orders/0/cancel")
    yield 1011, scene.customer.post(cancel, Idempotency_Key="a b")


@scene_of("post_merchant_redeem")
def _(scene: Scene) -> Answers:
    cashier = scene.as_("cashier")

    def redeem(code: Any, who: Sender = cashier) -> Any:
        return who.post("/api/merchant/redeem", {"exchange_code": code})

    order = make_order(person=scene.cast.customer, product=scene.product)
    gone = make_order(person=scene.cast.customer, product=scene.product)
    orders.cancel(person_id=gone.person_id, order_id=gone.pk)
    yield 0, redeem(order.exchange_code)
    yield 4010, redeem(order.exchange_code)
    yield 4011, redeem(gone.exchange_code)
    yield 4009, redeem(5)
    yield 1011, cashier.post("/api/merchant/redeem", [])
    yield 6001, redeem(order.exchange_code, scene.customer)
    yield 1009, redeem(order.exchange_code, scene.as_("reviewer"))


# --- Favorites ----------------------------------------------------------------------------------
@scene_of("get_favorites")
def _(scene: Scene) -> Answers:
    scene.customer.post("/api/favorites", {"product_id": scene.product.pk})
    yield 0, scene.customer.get("/api/favorites")
    yield 1011, scene.customer.get("/api/favorites?page_size=x")


@scene_of("post_favorites")
def _(scene: Scene) -> Answers:
    yield 0, scene.customer.post("/api/favorites", {"product_id": scene.product.pk})
    yield 7001, scene.customer.post("/api/favorites", {"product_id": "x"})
    yield 1011, scene.customer.post("/api/favorites", [])


@scene_of("delete_favorites_product_id")
def _(scene: Scene) -> Answers:
    yield 0, scene.customer("DELETE", f"/api/favorites/{scene.product.pk}")
    yield 1006, scene.stranger("DELETE", f"/api/favorites/{scene.product.pk}")


@scene_of("post_favorites_check")
def _(scene: Scene) -> Answers:
    yield 0, scene.customer.post("/api/favorites/check", {"product_ids": [1, "2", "x"]})
    yield 1011, scene.customer.post("/api/favorites/check", {"product_ids": 5})


# --- The lottery --------------------------------------------------------------------------------
@scene_of("get_lottery_config")
def _(scene: Scene) -> Answers:
    yield 0, scene.stranger.get("/api/lottery/config")
    yield 0, scene.customer.get(f"/api/lottery/config?wheel_id={scene.wheel.pk}")
    yield 1010, scene.stranger.get("/api/lottery/config?wheel_id=0")
    yield 1011, scene.stranger.get("/api/lottery/config?wheel_id=x")


@scene_of("post_lottery_draw")
def _(scene: Scene) -> Answers:
    def spin(who: Sender = scene.customer, **body: Any) -> Any:
        return who.post("/api/lottery/draw", body, **({"Idempotency_Key": "k"} if body else {}))

    yield 0, spin(count=10)
    yield 0, spin(count=10)
    yield 3004, spin(count=0)
    yield 1011, scene.customer.post("/api/lottery/draw", [])
    yield 1010, scene.customer.post("/api/lottery/draw", {"wheel_id": "x"})
    yield 3003, scene.customer.post("/api/lottery/draw", {"count": 6})
    yield 3001, spin(scene.as_("other_customer"), count=1)
    Wheel.objects.filter(pk=scene.wheel.pk).update(status=WheelStatus.PAUSED)
    yield 3002, spin()


@scene_of("get_lottery_records")
def _(scene: Scene) -> Answers:
    draw(person_id=scene.cast.customer.pk, default_wheel=True, count=10)
    yield 0, scene.customer.get("/api/lottery/records")
    yield 0, scene.customer.get("/api/lottery/records?page_size=3")
    yield 1010, scene.customer.get("/api/lottery/records?wheel_id=0")
    yield 1011, scene.customer.get("/api/lottery/records?cursor=x")


@scene_of("post_lottery_seed")
def _(scene: Scene) -> Answers:
    yield 0, scene.customer.post("/api/lottery/seed", {"client_seed": "mine"}, Idempotency_Key="s")
    yield 0, scene.customer.post("/api/lottery/seed", {"client_seed": "mine"}, Idempotency_Key="s")
    yield 0, scene.customer.post("/api/lottery/seed", {})
    yield 1011, scene.customer.post("/api/lottery/seed", {"client_seed": ""})


@scene_of("get_lottery_draws_draw_id_proof")
def _(scene: Scene) -> Answers:
    person = scene.cast.customer
    (one,) = draw(person_id=person.pk, default_wheel=True, count=1).draws
    proof = f"/api/lottery/draws/{one.pk}/proof"
    yield 3005, scene.customer.get(proof)
    rotate(person_id=person.pk)
    yield 0, scene.customer.get(proof)
    yield 1010, scene.as_("other_customer").get(proof)


@scene_of("get_lottery_rules")
def _(scene: Scene) -> Answers:
    yield 0, scene.stranger.get("/api/lottery/rules")
    yield 1010, scene.stranger.get("/api/lottery/rules?wheel_id=0")
    yield 1011, scene.stranger.get("/api/lottery/rules?page_size=-1")


# --- Receipts -----------------------------------------------------------------------------------
@scene_of("post_photo_upload")
def _(scene: Scene) -> Answers:
    def upload(content: bytes | None, amount: Any = "12.50", who: Sender = scene.customer) -> Any:
        form = {"amount": amount, "shop_id": str(scene.cast.shop.pk)}
        if content is not None:
            form["image"] = SimpleUploadedFile("a.jpg", content)
        return who("POST", "/api/photo/upload", form=form)

    photo, twin = make_file(), make_file()
    yield 0, upload(photo)
    yield 0, upload(twin, who=scene.as_("other_customer"))
    yield 5006, upload(photo)
    yield 5006, upload(twin)
    yield 5001, upload(None)
    yield 5002, upload(make_file(), "many")
    yield 5003, upload(b"no picture")
    yield 5005, upload(make_file()[:200])
    form = {"amount": "1", "shop_id": "0", "image": SimpleUploadedFile("a.jpg", make_file())}
    yield 1011, scene.customer("POST", "/api/photo/upload", form=form)
    scene.settings.RECEIPT_MAX_BYTES = 10
    yield 5004, upload(make_file())
    scene.settings.RECEIPT_MAX_BYTES = 10 * 2**20
    scene.settings.UPLOADS_A_DAY = 1
    yield 5007, upload(make_file())


@scene_of("get_photo_history")
def _(scene: Scene) -> Answers:
    for status in (ProcessStatus.PENDING, ProcessStatus.FAILED, ProcessStatus.COMPLETED):
        make_receipt(shop=scene.cast.shop, person=scene.cast.customer, process=status)
    yield 0, scene.customer.get("/api/photo/history")
    yield 0, scene.customer.get("/api/photo/history?status=approved&page_size=100")
    yield 1011, scene.customer.get("/api/photo/history?status=lost")


@scene_of("get_photo_uploads_upload_id")
def _(scene: Scene) -> Answers:
    receipt = make_receipt(shop=scene.cast.shop, person=scene.cast.customer)
    yield 0, scene.customer.get(f"/api/photo/uploads/{receipt.pk}")
    yield 5008, scene.as_("other_customer").get(f"/api/photo/uploads/{receipt.pk}")


# --- The merchant -------------------------------------------------------------------------------
@scene_of("get_merchant_reviews")
def _(scene: Scene) -> Answers:
    make_receipt(
        shop=scene.cast.shop,
        person=scene.cast.customer,
        risk_score=40,
        risk_reasons=[{"code": "submitted_again", "facts": {}}],
    )
    reviews, reviewer = "/api/merchant/reviews", scene.as_("reviewer")
    yield 0, reviewer.get(reviews)
    yield 0, reviewer.get(f"{reviews}?status=all&shop={scene.cast.shop.pk}&risk=10")
    yield 1011, reviewer.get(f"{reviews}?shop=0")
    yield 6001, scene.customer.get(reviews)
    yield 1009, scene.as_("cashier").get(reviews)


@scene_of("post_merchant_review")
def _(scene: Scene) -> Answers:
    reviewer = scene.as_("reviewer")

    def review(receipt: Receipt, who: Sender = reviewer, **body: Any) -> Any:
        said = {"upload_id": receipt.pk, "action": "approve", **body}
        return who.post("/api/merchant/review", said)

    def receipt(**fields: Any) -> Receipt:
        return make_receipt(shop=scene.cast.shop, **fields)

    paid = receipt(person=scene.cast.customer)
    yield 0, review(paid)
    yield 0, review(receipt(), action="reject", reason="Cannot be read.")
    yield 6004, review(paid)
    yield 6003, review(paid, action="reject")
    yield 1011, reviewer.post("/api/merchant/review", [])
    yield 6002, reviewer.post("/api/merchant/review", {"upload_id": 0, "action": "approve"})
    yield 6006, review(receipt(process=ProcessStatus.PENDING))
    yield 6005, review(receipt(read_as=Receipt.objects.get(pk=paid.pk).read_as))
    yield 1009, review(receipt(person=scene.cast.reviewer))
    yield 1009, review(receipt(), points=1001)
    yield 1009, review(receipt(), scene.as_("owner"), points=100_000)
    yield 6001, review(paid, scene.customer)
    yield 1009, review(paid, scene.as_("cashier"))


@scene_of("post_merchant_reviews_batch")
def _(scene: Scene) -> Answers:
    receipt = make_receipt(shop=scene.cast.shop)
    reviewer, batch = scene.as_("reviewer"), "/api/merchant/reviews/batch"
    items = [
        {"upload_id": receipt.pk, "action": "approve"},
        {"upload_id": "41", "action": "reject", "reason": "Twice."},
        {"action": "approve"},
        {},
    ]
    yield 0, reviewer.post(batch, {"items": items})
    yield 1011, reviewer.post(batch, {"items": [5]})
    yield 6001, scene.customer.post(batch, {"items": items})
    yield 1009, scene.as_("cashier").post(batch, {"items": items})


# --- Members of a shop ---------------------------------------------------------------------------
def members_at(shop: Shop) -> str:
    return f"/api/merchant/shops/{shop.pk}/members"


@scene_of("get_merchant_shops_shop_id_members")
def _(scene: Scene) -> Answers:
    members, owner = members_at(scene.cast.shop), scene.as_("owner")
    invite(scene.cast.shop, scene.cast.other_customer)
    yield 0, owner.get(members)
    yield 0, owner.get(f"{members}?status=invited&page_size=1")
    yield 1011, owner.get(f"{members}?status=x")
    yield 1010, owner.get(members_at(scene.cast.other_shop))
    yield 1009, scene.as_("manager").get(members)
    yield 6001, scene.customer.get(members)


@scene_of("post_merchant_shops_shop_id_members")
def _(scene: Scene) -> Answers:
    members, owner = members_at(scene.cast.shop), scene.as_("owner")
    said = {"phone": PHONE, "role": "reviewer"}
    yield 0, owner.post(members, said)
    yield 0, owner.post(members, said)  # again: the same one
    yield 1001, owner.post(members, {**said, "phone": "1"})
    yield 1011, owner.post(members, {**said, "role": "x"})
    yield 1010, owner.post(members_at(scene.cast.other_shop), said)
    yield 1009, scene.as_("manager").post(members, said)
    yield 1009, owner.post(members, {**said, "phone": scene.cast.owner.phone})
    yield 6001, scene.customer.post(members, said)
    yield 8005, owner.post(members, {**said, "phone": scene.cast.cashier.phone})
    scene.monkeypatch.setattr(invitations, "MOST_INVITATIONS", 1)
    yield 8009, owner.post(members, {**said, "phone": scene.cast.other_customer.phone})
    scene.monkeypatch.setattr(invitations, "INVITATIONS_AN_HOUR", 0)
    yield 1013, owner.post(members, said)


@scene_of("patch_merchant_shops_shop_id_members")
def _(scene: Scene) -> Answers:
    cast = scene.cast
    members, owner = members_at(cast.shop), scene.as_("owner")
    invited = invite(cast.shop, cast.other_customer)

    def change(role: str, who: Sender = owner, **named: Any) -> Any:
        return who("PATCH", members, {"role": role, **named})

    yield 0, change("reviewer", phone=cast.cashier.phone)
    yield 0, change("manager", invitation_id=invited.pk)
    yield 1001, change("cashier", phone="1")
    yield 1001, change("cashier")
    yield 1011, change("x", member_id=1)
    yield 1010, change("cashier", phone=cast.customer.phone)
    yield 1009, change("cashier", phone=cast.owner.phone)
    yield 1009, change("cashier", scene.as_("manager"), phone=cast.cashier.phone)
    yield 6001, change("cashier", scene.customer, phone=cast.cashier.phone)
    scene.monkeypatch.setattr(invitations, "INVITATIONS_AN_HOUR", 0)
    yield 1013, change("manager", invitation_id=invited.pk)


@scene_of("delete_merchant_shops_shop_id_members")
def _(scene: Scene) -> Answers:
    cast = scene.cast
    members, owner = members_at(cast.shop), scene.as_("owner")
    invited = invite(cast.shop, cast.other_customer)

    def end(who: Sender = owner, **named: Any) -> Any:
        return who("DELETE", members, named)

    manager = scene.as_("manager")
    yield 1009, end(manager, phone=cast.cashier.phone)
    yield 0, end(phone=cast.cashier.phone)
    yield 0, owner("DELETE", f"{members}?invitation_id={invited.pk}")
    yield 0, end(manager, phone=cast.manager.phone)
    yield 6001, end(manager, phone=cast.manager.phone)
    yield 1001, end(phone="1")
    yield 1001, end()
    yield 1011, end(member_id=1, invitation_id=1)
    yield 1010, owner("DELETE", f"{members}?member_id=x")
    yield 1010, end(phone=cast.cashier.phone)
    yield 8008, end(phone=cast.owner.phone)
    wrong = enrol(cast.owner).phone.other()
    yield 1009, end(phone=cast.reviewer.phone)
    scene.monkeypatch.setitem(console_sign_in.FREE_TRIES, LimitPurpose.FACTOR, 1)
    yield 1011, end(phone=cast.reviewer.phone, second_factor=wrong)
    yield 1013, end(phone=cast.reviewer.phone, second_factor=wrong)


# --- The platform itself ------------------------------------------------------------------------
def _health(scene: Scene, path: str) -> Answers:
    """All is well, then a dependency is away; the real checks have tests of their own."""

    def away() -> None:
        raise RuntimeError

    for check in (lambda: None, away):
        with scene.monkeypatch.context() as patch:
            patch.setattr(health, "TIME_LIMIT", 60)  # whatever the machine does beside
            for name in ("checks", "operation_checks", "readiness_checks"):
                only = Registry[health.Check]()
                only.register("database", check)
                patch.setattr(health, name, only)
            yield None, scene.stranger.get(path)


@scene_of("get_health")
def _(scene: Scene) -> Answers:
    yield from _health(scene, "/api/health")


@scene_of("get_ready")
def _(scene: Scene) -> Answers:
    yield from _health(scene, "/api/ready")


@scene_of("get_schema")
def _(scene: Scene) -> Answers:
    yield None, scene.stranger.get("/api/schema", Accept="application/json")
    yield None, scene.stranger.get("/api/schema", Accept="application/yaml")
    yield None, scene.stranger.get("/api/schema", Accept="application/vnd.oai.openapi")
    yield 1010, scene.stranger.get("/api/schema", Host="elsewhere.example")


# --- Every operation ----------------------------------------------------------------------------
def test_there_is_a_scene_for_every_operation() -> None:
    assert set(SCENES) == set(OPERATIONS)


@pytest.mark.parametrize("name", sorted(SCENES))
def test_an_operation_answers_as_the_documents_say(name: str, scene: Scene) -> None:
    driven = []
    for expected, response in SCENES[name](scene):
        held = documents.hold(response)
        assert held.operation == name
        assert expected is None or held.code == expected, (expected, response.content)
        driven.append(held)
    assert any(held.status == 200 for held in driven)
    assert any(held.status != 200 for held in driven)
    own = OPERATIONS[name].codes - OF_FAILING_MACHINES - OF_ALL_ALIKE
    own |= OF_THEIR_OWN.get(name, set())
    assert own <= {held.code for held in driven}


# --- What holds for all of a kind ---------------------------------------------------------------
def example_path(operation: Operation) -> str:
    """Its path, with the ids of its example."""
    ids = {
        one["name"]: one["example"]
        for one in operation.said["parameters"]
        if one.get("in") == "path"
    }
    return operation.path.format(**ids)


def send_example(operation: Operation, who: Sender, **headers: str) -> Any:
    """Ask for what the example of an operation asks for."""
    content = operation.said.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        form = {"amount": "12.50", "image": SimpleUploadedFile("a.jpg", make_file())}
        return who(operation.method, example_path(operation), form=form, **headers)
    body = content["application/json"]["example"] if content else None
    return who(operation.method, example_path(operation), body, **headers)


def send_raw(operation: Operation, who: Sender, data: bytes, **extra: Any) -> Any:
    content_type = extra.pop("content_type", "application/json")
    return who.client.generic(
        operation.method, example_path(operation), data, content_type, headers=who.headers, **extra
    )


def who_may(operation: Operation, scene: Scene) -> Sender:
    """Somebody who is refused neither for want of a token nor of a role."""
    if not operation.takes_tokens:
        return scene.stranger
    return scene.as_("owner") if "/merchant/" in operation.path else scene.customer


def expect(response: Any, operation: Operation, code: int) -> None:
    held = documents.hold(response)
    assert (held.operation, held.code) == (operation.name, code), response.content
    assert code in operation.codes


def those(matter: Callable[[Operation], Any]) -> Any:
    return pytest.mark.parametrize(
        "operation",
        [pytest.param(one, id=one.name) for one in OPERATIONS.values() if matter(one)],
    )


@those(lambda one: one.takes_tokens)
def test_who_asks_is_known_and_within_their_rate(operation: Operation, scene: Scene) -> None:
    if not operation.is_open:
        expect(send_example(operation, scene.stranger), operation, 1006)
    forged = send_example(operation, scene.stranger, Authorization="Bearer x")
    expect(forged, operation, 1006)
    who = who_may(operation, scene)
    scene.settings.REQUESTS_PER_PERSON = scene.settings.UPLOADS_PER_PERSON = "0/min"
    expect(send_example(operation, who), operation, 1013)
    User.objects.update(status=UserStatus.BANNED)
    expect(send_example(operation, who), operation, 1005)


@those(lambda one: "304" in one.said["responses"])
def test_what_a_client_has_is_not_sent_again(operation: Operation, scene: Scene) -> None:
    path = operation.path.format(product_id=scene.product.pk)
    first = scene.stranger.get(path)
    assert documents.hold(first).status == 200
    again = scene.stranger.get(path, If_None_Match=first["ETag"])
    assert documents.hold(again).status == 304
    assert again["ETag"] == first["ETag"]
    assert documents.hold(scene.stranger.get(path, If_None_Match='"other"')).status == 200


@those(lambda one: one.method != "GET")
def test_a_body_is_readable(operation: Operation, scene: Scene) -> None:
    who = who_may(operation, scene)
    large = {"CONTENT_LENGTH": str(65 * 2**20)}
    expect(send_raw(operation, who, b"x", content_type="text/plain"), operation, 1016)
    expect(send_raw(operation, who, b"{"), operation, 1017)
    expect(send_raw(operation, who, b"{}", **large), operation, 1018)


@those(lambda one: 1014 in one.codes)
def test_a_key_is_of_one_body(operation: Operation, scene: Scene) -> None:
    who = who_may(operation, scene)
    owner = scene.cast.owner if "/merchant/" in operation.path else scene.cast.customer
    idempotency.run_once(
        owner_id=owner.pk,
        path=example_path(operation),
        key="k",
        fingerprint="of another body",
        effect=dict,
    )
    expect(send_example(operation, who, Idempotency_Key="k"), operation, 1014)
    expect(send_example(operation, who, Idempotency_Key="with space"), operation, 1011)
    scene.settings.REQUIRE_IDEMPOTENCY_KEY = True
    if 1019 in operation.codes:
        expect(send_example(operation, who), operation, 1019)
