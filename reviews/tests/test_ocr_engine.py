import io
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from ops.services.pictures import UnknownType
from reviews.ocr.engine import RapidReceiptReader, prepare
from reviews.ocr.types import Reading
from reviews.tests.slips import Layout, make_slip

SHANGHAI = ZoneInfo("Asia/Shanghai")
READER = RapidReceiptReader(zone=SHANGHAI)


def facts(reading: Reading) -> tuple[Decimal | None, str, datetime | None]:
    return reading.amount, reading.receipt_number, reading.issued_at


EXPECTED = (
    Decimal("128.50"),
    "20261122000123",
    datetime(2026, 11, 22, 18, 35, 20, tzinfo=SHANGHAI),
)


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param({"layout": Layout.COLUMNS}, id="upright"),
        pytest.param({"layout": Layout.DISCOUNT, "rotation": 3}, id="3-degrees"),
        pytest.param(
            {"layout": Layout.ONE_STRING, "rotation": -5, "corners": "black", "quality": 25},
            id="minus-5-degrees-low-quality",
        ),
        pytest.param({"layout": Layout.CASH, "rotation": 90}, id="sideways"),
        pytest.param({"layout": Layout.QUANTITY, "rotation": 180}, id="upside-down"),
        pytest.param(
            {"layout": Layout.BENEATH, "rotation": 255, "corners": "gray", "noise": 30},
            id="sideways-tilted-grainy",
        ),
        pytest.param({"layout": Layout.DISCOUNT, "scale": 0.5, "quality": 60}, id="small"),
    ],
)
def test_a_photographed_slip_is_read(drawn: dict[str, Any]) -> None:
    reading = READER.read(make_slip(**drawn))
    assert facts(reading) == EXPECTED
    assert Decimal("0.7") < reading.confidence <= 1


def test_a_picture_is_read_as_its_exif_tag_turns_it() -> None:
    """Boxes are given in the picture as one sees it, reading from left to right."""
    with Image.open(io.BytesIO(make_slip())) as upright:
        width, height = upright.size
        target = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6  # shown turned clockwise by a quarter
        upright.transpose(Image.Transpose.ROTATE_90).save(target, "JPEG", exif=exif)
    reading = READER.read(target.getvalue())
    assert facts(reading) == EXPECTED
    (title,) = (box for box in reading.boxes if box.text == "老王川菜馆")
    (left, top), (right, _), _, _ = title.corners
    assert 0 < left < width / 2 < right < width
    assert 0 < top < height / 5


def test_a_picture_without_text_gives_nothing() -> None:
    target = io.BytesIO()
    Image.new("L", (300, 400), "white").save(target, "PNG")
    assert READER.read(target.getvalue()) == Reading(None, Decimal("0.0000"), "", None, ())


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((600, 900), (900, 600)),
        ((3000, 4000), (1600, 1200)),
        ((1000, 5000), (3680, 736)),  # a long slip keeps its letters
        ((20, 20000), (3680, 736)),  # a strip stays small once the detector enlarges it
        ((9000, 30), (736, 3680)),
    ],
)
def test_the_models_get_pictures_they_can_bear(
    size: tuple[int, int], shape: tuple[int, int]
) -> None:
    target = io.BytesIO()
    Image.new("RGB", size, "white").save(target, "JPEG")
    pixels, scale = prepare(target.getvalue())
    assert pixels.shape == (*shape, 3)
    assert scale == pytest.approx(min(1, max(shape) / max(size)), rel=0.01)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(UnknownType):
        READER.read(b"no picture")


def test_a_job_can_record_what_read_it() -> None:
    assert READER.model_name.startswith("rapidocr ")
    assert READER.settings["threads"] == 1
    assert 1280 <= int(READER.settings["longest_side"]) <= 1600
