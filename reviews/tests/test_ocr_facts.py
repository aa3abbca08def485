from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from reviews.ocr.facts import find_issued_at, find_receipt_number
from reviews.ocr.lines import Line, text_lines
from reviews.ocr.types import TextBox

SHANGHAI = ZoneInfo("Asia/Shanghai")


def make_lines(*lines: str | tuple[str, ...]) -> list[Line]:
    """Lines of texts, or of boxes side by side."""
    boxes = []
    for index, line in enumerate(lines):
        x, y = 0, index * 40
        for text in (line,) if isinstance(line, str) else line:
            right = x + 20 * len(text)
            corners = ((x, y), (right, y), (right, y + 24), (x, y + 24))
            boxes.append(TextBox(text, 0.99, corners))
            x = right + 40
    return text_lines(boxes)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("单号:20261122000123", "20261122000123"),
        ("订单号：XS0012345", "XS0012345"),
        ("订单编号 A-2026-0012", "A-2026-0012"),
        ("小票号: 0012", "0012"),
        ("流水号 004711", "004711"),
        ("票号:99", "99"),
        ("No.20261122", "20261122"),
        ("NO: 0012", "0012"),
        ("№ 0012", "0012"),
        ("交易单号:4200001234", "4200001234"),
        ("账单号:1OO23", "10023"),
        ("单号:1O23", "1023"),
        ("单 号 : 0012 桌号 : 5", "0012"),
        ("单号:xs12", "XS12"),
        (("单号:", "0012", "桌号:A08"), "0012"),
    ],
)
def test_a_receipt_number_is_found_by_its_label(text: str | tuple[str, ...], number: str) -> None:
    assert find_receipt_number(make_lines("老王川菜馆", text)) == number


@pytest.mark.parametrize(
    "text",
    [
        "桌号:12",
        "桌号 No.12",
        "电话:13812345678",
        "单号:",
        "数量 3",
        "2026-11-22",
        "账号:62220",
        "CARD NO:62220",
    ],
)
def test_other_numbers_are_no_receipt_number(text: str) -> None:
    assert find_receipt_number(make_lines(text, "谢谢惠顾")) == ""


def test_the_tills_number_comes_before_the_payments() -> None:
    lines = make_lines("交易单号:4200001234", "商户单号:88", "小票号:0012")
    assert find_receipt_number(lines) == "0012"


def test_only_a_long_number_is_found_beneath_its_label() -> None:
    assert find_receipt_number(make_lines("订单号:", "20261122000123")) == "20261122000123"
    assert find_receipt_number(make_lines("订单号:", "合计 128.50")) == ""


@pytest.mark.parametrize(
    "lines",
    [
        ["2026-11-22 18:35:20"],
        ["时间:2026-11-22 18:35:20"],
        ["2026/11/22 18:35:20"],
        ["2026.11.22 18:35:20"],
        ["2026年11月22日 18:35:20"],
        ["2026年11月22日18时35分20秒"],
        ["２０２６－１１－２２　１８：３５：２０"],
        ["2026-11-2218:35:20"],
        ["2026-11-22 下午6:35:20"],
        ["2026-11-22 6:35:20 PM"],
        ["20261122 18:35:20"],
        [("2026-11-22", "18:35:20")],
        [("日期:2026-11-22", "时间:18:35:20")],
        ["日期:2026-11-22", "时间:18:35:20"],
        ["2026-11-22 星期日 18:35:20"],
        ["开台时间:2026-11-22 17:02:00", "结账时间:2026-11-22 18:35:20"],
        ["打印时间:2026-11-22 18:36:00", "2026-11-22 18:35:20"],
        ["券有效期至2026-12-31", "2026-11-22 18:35:20"],
    ],
)
def test_the_time_of_issue_is_found(lines: list[str | tuple[str, ...]]) -> None:
    expected = datetime(2026, 11, 22, 18, 35, 20, tzinfo=SHANGHAI)
    assert find_issued_at(make_lines("老王川菜馆", *lines), SHANGHAI) == expected


def test_a_time_may_come_without_seconds() -> None:
    expected = datetime(2026, 11, 22, 18, 35, tzinfo=SHANGHAI)
    assert find_issued_at(make_lines("2026/11/22 18:35"), SHANGHAI) == expected


def test_a_date_alone_means_midnight() -> None:
    expected = datetime(2026, 1, 2, tzinfo=SHANGHAI)
    assert find_issued_at(make_lines("日期:2026-1-2", "合计 128.50"), SHANGHAI) == expected


def test_the_wall_clock_hangs_in_the_zone_handed_in() -> None:
    moment = find_issued_at(make_lines("2026-11-22 18:35"), ZoneInfo("Asia/Urumqi"))
    assert moment is not None
    assert moment.utcoffset() == datetime(2026, 11, 22, tzinfo=ZoneInfo("Asia/Urumqi")).utcoffset()
    assert (moment.hour, moment.minute) == (18, 35)


@pytest.mark.parametrize("text", ["2026-02-31 10:00", "电话 0571-88886666", "合计 128.50", "18:35"])
def test_other_digits_are_no_time(text: str) -> None:
    assert find_issued_at(make_lines(text), SHANGHAI) is None
