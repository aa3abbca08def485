import io
import random
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ops.services.pictures import UnknownType
from reviews.ocr import engine
from reviews.ocr.engine import RapidReceiptReader, prepare
from reviews.ocr.lines import text_lines
from reviews.ocr.total import choose_total
from reviews.ocr.types import Corners, Reading, TextBox
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


def picture_of(size: tuple[int, int], what: str) -> bytes:
    """A picture of these sides, with something in it that may look like text or like none."""
    chance = random.Random(f"{size} {what}")
    picture = Image.new("RGB", size, "black" if what == "black" else "white")
    draw = ImageDraw.Draw(picture)
    width, height = size
    match what:
        case "noise":
            picture = Image.effect_noise(size, 120).convert("RGB")
        case "lines":
            for column in range(0, width, 7):
                draw.line((column, 0, column, height), "black")
        case "dots":
            for _ in range(400):
                x, y = chance.randrange(width), chance.randrange(height)
                draw.rectangle((x, y, x + chance.randrange(3), y + chance.randrange(3)), "red")
        case "slip":
            with Image.open(io.BytesIO(make_slip())) as slip:
                picture = slip.convert("RGB").resize(size)
    target = io.BytesIO()
    picture.save(target, "JPEG")
    return target.getvalue()


@pytest.mark.parametrize("what", ["white", "black", "noise", "lines", "dots", "slip"])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 900), (100, 100), (100, 2000), (2000, 100), (600, 12_000), (37, 41)]
)
def test_a_picture_of_any_shape_is_read(size: tuple[int, int], what: str) -> None:
    """What an earlier version took may be a strip; nothing is divided by what is not there."""
    reading = READER.read(picture_of(size, what))
    assert 0 <= reading.confidence <= 1
    for box in reading.boxes:
        for x, y in box.corners:
            assert -size[0] <= x <= 2 * size[0] + 32
            assert -size[1] <= y <= 2 * size[1] + 32


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((1308, 1600), (576, 704)),
        ((300, 367), (576, 704)),
        ((736, 3680), (288, 1408)),
        ((1, 1), (640, 640)),
        ((1, 5), (288, 1408)),
    ],
)
def test_the_detector_sees_no_more_than_it_has_memory_for(
    size: tuple[int, int], seen: tuple[int, int]
) -> None:
    assert engine._detected_size(*size) == seen


def test_boxes_without_a_side_are_no_text() -> None:
    """A detector that finds a line of no height, one of no width, and a point."""
    flat = [(10, 10), (90, 10), (90, 10), (10, 10)]
    upright = [(10, 10), (10, 10), (10, 90), (10, 90)]
    point = [(10, 10)] * 4
    real = [(10, 10), (90, 10), (90, 30), (10, 30)]

    class Detector:
        def detect_and_crop(self, pixels, record):
            record["padding_1"] = {"top": 0, "left": 0}
            return [], SimpleNamespace(boxes=np.array([flat, upright, point, real], np.float32))

    pixels = np.zeros((*reversed(engine._detected_size(400, 400)), 3), np.uint8)
    (kept,) = engine._detect(cast("Any", Detector()), pixels)
    assert kept.tolist() == [[10, 10], [90, 10], [90, 30], [10, 30]]


@pytest.mark.parametrize("corners", [((5.0, 5.0),) * 4, ((5.0, 5.0), (9.0, 5.0)) * 2])
def test_text_without_a_size_is_still_a_line(corners: Corners) -> None:
    boxes = [TextBox("合计 ￥128.50", 0.9, corners), TextBox("", 0.9, corners)]
    (line,) = text_lines(boxes)
    assert line.height >= 0
    assert choose_total(boxes)[0] == Decimal("128.50")
    assert text_lines([]) == []


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(UnknownType):
        READER.read(b"no picture")


def test_a_job_can_record_what_read_it() -> None:
    assert READER.model_name.startswith("rapidocr ")
    assert READER.settings["threads"] == 1
    assert 1280 <= int(READER.settings["longest_side"]) <= 1600
