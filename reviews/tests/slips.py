"""Drawing the receipts that tests photograph."""

import io
import random
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = (
    Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
    Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
)
ITEMS = (("宫保鸡丁", 1, "38.00"), ("麻婆豆腐", 2, "22.00"), ("鱼香肉丝", 1, "36.50"))
# A line is one text, or columns of which the first stands left and the last right.
type SlipLine = str | tuple[str, ...]
type Item = tuple[str, int, str]


class Layout(Enum):
    """How the lower part of a slip puts the total."""

    ONE_STRING = "合计:￥ in one piece"
    COLUMNS = "label left, amount right"
    DISCOUNT = "合计, 优惠, then 实付"
    CASH = "应收, 现金, 找零"
    QUANTITY = "合计 with the number of dishes"
    BENEATH = "the amount in large print beneath its label"


def cjk_font_path() -> Path:
    """Return the first font that has Chinese characters."""
    for path in FONTS:
        if path.exists():
            return path
    message = "No Chinese font to draw slips with: apt-get install -y fonts-wqy-microhei"
    raise FileNotFoundError(message)


@cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def total_lines(layout: Layout, total: str) -> list[SlipLine]:
    """Return the lines that state `total` (yuan, two places) as the sum that was paid."""
    paid = Decimal(total)
    match layout:
        case Layout.ONE_STRING:
            return [f"合计:￥{total}"]
        case Layout.COLUMNS:
            return [("合计", f"￥{total}"), ("实付", f"￥{total}")]
        case Layout.DISCOUNT:
            before = f"{paid + Decimal('9.50'):.2f}"
            return [("合计金额", before), ("优惠", "-9.50"), ("实付金额", f"￥{total}")]
        case Layout.CASH:
            given = (paid // 100 + 1) * 100
            return [
                ("应收", total),
                ("现金", f"{given:.2f}"),
                ("找零", f"{given - paid:.2f}"),
            ]
        case Layout.QUANTITY:
            return [("合计", "4件", total), ("微信支付", total)]
        case Layout.BENEATH:
            return ["实付金额", f"#￥{total}"]


def make_slip(
    *,
    shop_name: str = "老王川菜馆",
    items: Sequence[Item] = ITEMS,
    total: str = "128.50",
    layout: Layout = Layout.COLUMNS,
    lines: Sequence[SlipLine] | None = None,
    number: str = "20261122000123",
    issued_at: datetime | None = None,
    issued: str = "2026-11-22 18:35:20",
    rotation: float = 0,
    corners: str = "white",
    width: int = 600,
    font_size: int = 26,
    font: Path | None = None,
    scale: float = 1,
    blur: float = 0,
    noise: float = 0,
    quality: int = 90,
    seed: int = 1,
) -> bytes:
    """Draw a slip and photograph it: a JPEG.

    `lines` replaces everything beneath the shop's name; a line that begins with # is printed
    large and in the middle. `rotation` is in degrees counter-clockwise, `corners` the colour of
    the table beneath, `noise` the standard deviation of the grain (0-255), `blur` a radius in
    pixels, `scale` the size of the photo in slips.
    """
    if issued_at is not None:
        issued = f"{issued_at:%Y-%m-%d %H:%M:%S}"
    if lines is None:
        lines = [
            f"单号:{number}",
            f"时间:{issued}",
            ("桌号:A08", "人数:3"),
            "-" * 36,
            ("品名", "数量", "金额"),
            *((name, str(count), price) for name, count, price in items),
            "-" * 36,
            *total_lines(layout, total),
            "-" * 36,
            "电话:0571-88886666",
            "谢谢惠顾,欢迎再次光临",
        ]
    picture = _print(f"#{shop_name}", lines, width, font_size, font or cjk_font_path())
    if rotation:
        picture = picture.rotate(rotation, Image.Resampling.BICUBIC, expand=True, fillcolor=corners)
    if scale != 1:
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    if blur:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    if noise:
        picture = _grain(picture, noise, seed)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=quality)
    return target.getvalue()


def _print(
    title: str, lines: Sequence[SlipLine], width: int, font_size: int, path: Path
) -> Image.Image:
    margin, pitch = round(font_size * 1.2), round(font_size * 1.6)
    height = 2 * margin + sum(
        pitch * (2 if isinstance(line, str) and line.startswith("#") else 1)
        for line in (title, *lines)
    )
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    small, large = _font(path, font_size), _font(path, round(font_size * 1.6))
    top = margin
    for line in (title, *lines):
        match line:
            case str() if line.startswith("#"):
                draw.text((width / 2, top), line[1:], "black", large, anchor="ma")
                top += pitch
            case str():
                draw.text((margin, top), line, "black", small)
            case _:
                inner = width - 2 * margin
                for index, column in enumerate(line):
                    share = index / max(1, len(line) - 1)
                    anchor = "la" if index == 0 else "ra" if index == len(line) - 1 else "ma"
                    draw.text((margin + inner * share, top), column, "black", small, anchor=anchor)
        top += pitch
    return picture


def _grain(picture: Image.Image, deviation: float, seed: int) -> Image.Image:
    source = random.Random(seed)
    # Grain drawn small and repeated is grain enough, and Pillow's own noise takes no seed.
    side = 128
    dots = bytes(min(255, max(0, round(source.gauss(128, deviation)))) for _ in range(side * side))
    tile = Image.frombytes("L", (side, side), dots)
    grain = Image.new("L", picture.size)
    for left in range(0, picture.width, side):
        for top in range(0, picture.height, side):
            grain.paste(tile, (left, top))
    return Image.blend(picture, Image.merge("RGB", (grain, grain, grain)), 0.35)
