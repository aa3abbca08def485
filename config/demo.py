"""The demo shop: who can sign in, what there is to win and to exchange."""

import io
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from PIL import Image, ImageDraw

from accounts.models import Tier, User
from catalog.models import (
    Category,
    Product,
    ProductKind,
    ProductStatus,
    Shop,
    ShopRole,
    StockOperation,
)
from catalog.services.members import join
from catalog.services.pictures import add_picture
from catalog.services.stock import change_stock
from catalog.services.virtual_codes import add_codes
from config.demo_accounts import ADMIN_NAME, MERCHANT_PHONE
from config.local_secrets import local_secret
from lottery.models import Prize, PrizeType, Wheel
from lottery.odds import ANGLES
from lottery.services.publishing import publish
from lottery.services.wheels import make_default
from ops.services import audit

TIERS = (("铜卡", 0, "1.00"), ("银卡", 5_000, "1.10"), ("金卡", 20_000, "1.25"))
CATEGORIES = ("饮品", "小吃", "优惠券", "礼品卡")
# name, category, kind, points, market price (yuan), stock, limit per person, colours of its plate
PRODUCTS = (
    ("酸梅汤", "饮品", ProductKind.PHYSICAL, 80, "6.00", 200, None, ("#7b2d3f", "#f3d9c4")),
    ("手磨豆浆", "饮品", ProductKind.PHYSICAL, 100, "8.00", 150, None, ("#efe3c8", "#b98a4e")),
    ("红糖糍粑", "小吃", ProductKind.PHYSICAL, 180, "16.00", 80, 5, ("#a3541f", "#f6e7d3")),
    ("夫妻肺片", "小吃", ProductKind.PHYSICAL, 380, "38.00", 40, 2, ("#c8261b", "#f9d9a8")),
    ("10 元代金券", "优惠券", ProductKind.COUPON, 300, "10.00", 500, 10, ("#e0a030", "#c8261b")),
    ("8 折午市券", "优惠券", ProductKind.COUPON, 500, "30.00", 100, 2, ("#2f6f62", "#e8dcc0")),
    ("音乐会员周卡", "礼品卡", ProductKind.VIRTUAL, 600, "12.00", 30, 3, ("#2b4a8b", "#dfe8f7")),
    ("视频会员月卡", "礼品卡", ProductKind.VIRTUAL, 1200, "25.00", 20, 1, ("#4b2c6f", "#ecdff7")),
)

# name, type, value (points, or yuan), probability, colour, extras
PRIZES: tuple[tuple[str, PrizeType, str, str, str, dict[str, Any]], ...] = (
    ("谢谢惠顾", PrizeType.EMPTY, "0", "0.3000", "#F6E3CF", {}),
    ("20 积分", PrizeType.POINTS, "20", "0.2500", "#E0A030", {}),
    ("50 积分", PrizeType.POINTS, "50", "0.1800", "#F6E3CF", {}),
    ("10 元代金券", PrizeType.COUPON, "10.00", "0.0400", "#C8261B", {"is_activity": True}),
    ("100 积分", PrizeType.POINTS, "100", "0.1500", "#E0A030", {}),
    ("300 积分", PrizeType.POINTS, "300", "0.0500", "#F6E3CF", {"is_pity_prize": True}),
    ("酸梅汤", PrizeType.PHYSICAL, "6.00", "0.0290", "#E0A030", {"is_activity": True}),
    ("招牌四人餐", PrizeType.PHYSICAL, "388.00", "0.0010", "#C8261B", {"quantity": 3}),
)


def console_password() -> str:
    """The password of the demo in the console: made once per DATA_DIR, printed by `serve`.

    In development alone: else nobody of the demo has a password until one is set by
    `manage.py set_password`.
    """
    return local_secret(settings.DATA_DIR / "secrets" / "console_password", length=9)


@transaction.atomic
def load() -> None:
    """Load the demo into an empty database: people, one open shop, its goods, its wheel.

    Audited by what the services do, and as a whole.
    """
    password = console_password() if settings.DEBUG else None
    User.objects.create_superuser(ADMIN_NAME, password, nickname="管理员")
    merchant = User(phone=MERCHANT_PHONE, nickname="王老板")
    merchant.set_password(password)
    merchant.save()
    for name, threshold, multiplier in TIERS:
        Tier.objects.create(name=name, threshold=threshold, multiplier=Decimal(multiplier))
    shop = Shop.objects.create(name="老王川菜馆", address="成都市锦江区春熙路 1 号")
    join(shop_id=shop.pk, person=merchant, role=ShopRole.OWNER)
    goods = _load_products(shop)
    _load_wheel(shop, goods)
    audit.record(action="demo.load", row=shop, after={"name": shop.name}, shop_id=shop.pk)


def _load_products(shop: Shop) -> dict[str, Product]:
    goods = {}
    shelves = {
        name: Category.objects.create(name=name, position=position)
        for position, name in enumerate(CATEGORIES)
    }
    for name, shelf, kind, points, market_price, stock, limit, colours in PRODUCTS:
        product = Product.objects.create(
            shop=shop,
            category=shelves[shelf],
            name=name,
            description=f"{shop.name}的{name}，到店出示兑换码即可领取。"
            if kind != ProductKind.VIRTUAL
            else f"{name}，兑换后立即发放卡密。",
            kind=kind,
            points_price=points,
            market_price=Decimal(market_price),
            limit_per_person=limit,
            status=ProductStatus.ACTIVE,
        )
        if kind == ProductKind.VIRTUAL:
            codes = (f"DEMO-{product.pk:02d}-{number:04d}" for number in range(1, stock + 1))
            add_codes(product_id=product.pk, codes=codes)
        else:
            change_stock(
                product_id=product.pk,
                quantity=stock,
                operation=StockOperation.RESTOCK,
                reason="演示数据",
            )
        _hang_picture(product, *colours)
        goods[name] = product
    return goods


def _load_wheel(shop: Shop, goods: dict[str, Product]) -> None:
    wheel = Wheel.objects.create(
        name="幸运大转盘",
        shop=shop,
        cost_points=100,
        daily_limit=100,
        pity_threshold=10,
        organiser=shop.name,
    )
    for angle, (name, kind, value, probability, color, extras) in zip(ANGLES, PRIZES, strict=True):
        Prize.objects.create(
            wheel=wheel,
            name=name,
            type=kind,
            value=Decimal(value),
            probability=Decimal(probability),
            color=color,
            angle=angle,
            product=goods.get(name),
            **extras,
        )
    wheel.fallback_prize = Prize.objects.get(wheel=wheel, type=PrizeType.EMPTY)
    wheel.save()
    publish(wheel_id=wheel.pk)
    make_default(wheel_id=wheel.pk)


def _hang_picture(product: Product, food: str, ground: str) -> None:
    """Draw a plate from above, so that the mall shows pictures without anybody's photograph."""
    picture = Image.new("RGB", (800, 800), ground)
    pen = ImageDraw.Draw(picture)
    for margin, colour in ((110, "#d9cfc3"), (120, "#ffffff"), (190, "#f4efe8"), (230, food)):
        pen.ellipse((margin, margin, 800 - margin, 800 - margin), fill=colour)
    drawn = io.BytesIO()
    picture.save(drawn, "PNG")
    add_picture(product_id=product.pk, content=drawn.getvalue())
