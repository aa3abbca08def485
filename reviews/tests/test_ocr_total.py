from decimal import Decimal
from math import cos, radians, sin

import pytest

from reviews.ocr.total import choose_total
from reviews.ocr.types import Corners, TextBox

CHARACTER = 12.0
HEIGHT = 24.0
PITCH = 36.0
PAPER = 480.0


def make_box(text: str, x: float, y: float, *, score: float = 0.99, scale: float = 1) -> TextBox:
    width = CHARACTER * scale * sum(2 if ord(character) > 255 else 1 for character in text)
    height = HEIGHT * scale
    return TextBox(text, score, ((x, y), (x + width, y), (x + width, y + height), (x, y + height)))


def make_boxes(*lines: str | tuple[str, ...], score: float = 0.99) -> list[TextBox]:
    """Boxes as a till prints: a line is one text or columns spread over the paper."""
    boxes = []
    for index, line in enumerate(lines):
        columns = (line,) if isinstance(line, str) else line
        step = PAPER / max(1, len(columns))
        boxes += [
            make_box(text, place * step, index * PITCH, score=score)
            for place, text in enumerate(columns)
        ]
    return boxes


def turn(boxes: list[TextBox], degrees: float) -> list[TextBox]:
    angle = radians(degrees)

    def turned(box: TextBox) -> Corners:
        a, b, c, d = (
            (x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle))
            for x, y in box.corners
        )
        return a, b, c, d

    return [TextBox(box.text, box.score, turned(box)) for box in boxes]


def amount_in(boxes: list[TextBox]) -> Decimal | None:
    amount, _confidence = choose_total(boxes)
    return amount


def total_of(*lines: str | tuple[str, ...]) -> str | None:
    amount = amount_in(make_boxes(*lines))
    return None if amount is None else str(amount)


def confidence_in(*lines: str | tuple[str, ...], score: float = 0.99) -> Decimal:
    _amount, confidence = choose_total(make_boxes(*lines, score=score))
    return confidence


@pytest.mark.parametrize(
    "text",
    [
        "合计:￥128.50",
        "合计：￥128.50",
        "合计  ￥128.50",
        "合计 128.50元",
        "合 计: ¥ 128.50",
        "合计:Y128.50",
        "合计:羊128.50",
        "合计 RMB128.50",
        "合计:１２８．５０",
        "合计:128,50",
        "合计:128.5",
        "合计............128.50",
        "合计(元):128.50",
        "合计金额:128.50",
        "总计￥128.50",
        "共计:128.50元",
        "消费金额:￥128.50",
        "价税合计￥128.50",
        "实付￥128.50",
        "实付款:128.50",
        "实收金额:128.50",
        "实付(微信):128.50",
        "应付:128.50",
        "Total: 128.50",
        "含税合计:128.50",
        "实付总金额:128.50",
        "合计 3件 128.50",
        "合计:3 128.50",
        "合计(3) ￥128.50",
        "共3件 合计:128.50",
        "合计 128.50 优惠 9.50",
        "实付￥128.50(已优惠￥9.50)",
        "实付(已优惠9.50): 128.50",
        "合计 ￥ 1 2 8 . 5 0",
        "合计:128. 50",
        "合计:128。50",
    ],
)
def test_label_and_amount_are_found_in_one_box(text: str) -> None:
    assert total_of("老王川菜馆", text, "电话:13812345678") == "128.50"


@pytest.mark.parametrize("label", ["合计", "实付", "总计:", "实收金额：", "应付", "总额", "小计"])
@pytest.mark.parametrize("amount", ["￥128.50", "128.50", "Y 128.50", "128.50元"])
def test_the_amount_is_found_in_another_box_of_the_line(label: str, amount: str) -> None:
    assert total_of(("宫保鸡丁", "1", "38.00"), (label, amount)) == "128.50"


@pytest.mark.parametrize("degrees", [3, -6, 8, 90, 94, 180, 270, -95])
def test_lines_follow_the_slip(degrees: float) -> None:
    boxes = make_boxes(
        ("宫保鸡丁", "1", "38.00"),
        ("鱼头", "1", "100.00"),
        ("合计", "￥138.00"),
        ("优惠", "9.50"),
        ("实付", "￥128.50"),
        ("余额", "310.00"),
    )
    assert amount_in(turn(boxes, degrees)) == Decimal("128.50")


def test_boxes_may_come_in_any_order() -> None:
    boxes = make_boxes(("小计", "138.00"), ("合计", "128.50"), ("积分", "12.00"))
    assert amount_in(boxes[::-1]) == Decimal("128.50")


@pytest.mark.parametrize(
    "lines",
    [
        [("合计", "138.00"), ("优惠", "-9.50"), ("实付", "128.50")],
        [("实付", "128.50"), ("合计", "138.00")],
        [("应收金额", "138.00"), ("优惠金额", "9.50"), ("实收金额", "128.50")],
        [("小计", "138.00"), ("折扣", "9.50"), ("合计", "128.50")],
        [("合计", "138.00"), ("会员优惠合计", "9.50"), ("应付", "128.50")],
        [("合计", "138.00"), ("优惠后金额", "128.50")],
        [("合计", "138.00"), ("整单折扣(9折)", "-9.50"), ("折后", "128.50")],
        ["应收:138.00 优惠:9.50 实收:128.50"],
        [("商品合计", "3", "128.50"), ("合计", "128.50")],
        [("数量合计", "7"), ("合计金额", "128.50"), ("开票金额", "128.50")],
        [("合计", "128.50"), ("税额", "7.27"), ("不含税金额", "121.23")],
        [("总计", "128.50"), ("人均", "42.83"), ("会员余额", "1288.00")],
        [("原价", "158.50"), ("总额", "128.50"), "消费满200元送50元"],
        [("小计", "60.00"), ("小计", "68.50"), ("合计", "128.50")],
        [("合计", "138.00"), ("优惠", "9.50"), ("微信支付", "128.50")],
        [("合计", "128.50"), ("微信", "100.00"), ("支付宝", "28.50")],
        [("合计", "3"), ("金额", "128.50")],
        [("品名", "单价", "数量", "合计"), ("鱼", "30.00", "1", "30.00"), ("实付", "128.50")],
        [("实付", "7128.50"), ("合计", "128.50")],
        [("实付", "0.00"), ("实收", "128.50")],
        [("合计", "138.50"), ("优惠", "10.00"), ("微信支付", "128.50"), ("找零", "0.00")],
    ],
)
def test_the_paid_total_is_chosen_among_others(lines: list[str | tuple[str, ...]]) -> None:
    assert total_of(*lines) == "128.50"


@pytest.mark.parametrize(
    "lines",
    [
        [("合计", "128.50"), ("现金", "200.00"), ("找零", "71.50")],
        [("合计", "128.50"), ("实收现金", "200.00"), ("找零", "71.50")],
        [("应收", "128.50"), ("实收", "200.00"), ("找零", "71.50")],
        [("合计", "128.50"), ("实收", "200.00"), ("找零", "71.50")],
        [("合计", "138.00"), ("优惠", "9.50"), ("实收", "200.00"), ("找零", "71.50")],
        [("实收", "200.00"), ("找零", "71.50")],
        [("现金", "200.00"), ("找零", "71.50")],
        [("实付", "128.50"), ("现金", "200.00"), ("找零", "71.50")],
        [("实收", "128.50"), ("现金", "200.00"), ("找零", "71.50")],
        [("应收", "128.50"), ("实收", "200.00")],
        [("实付", "128.50"), ("找零", "0.00")],
        ["现金 200.00 找零 71.50", "合计 128.50"],
    ],
)
def test_banknotes_and_change_are_not_the_total(lines: list[str | tuple[str, ...]]) -> None:
    assert total_of(*lines) == "128.50"


def test_an_amount_in_large_print_is_found_beneath_its_label() -> None:
    boxes = [make_box("实付金额", 180, 0), make_box("￥128.50", 150, 36, scale=1.8)]
    assert amount_in(boxes) == Decimal("128.50")


def test_amounts_are_found_beneath_the_heads_of_their_columns() -> None:
    lines = ("应收金额", "优惠金额", "实收金额"), ("138.00", "9.50", "128.50")
    assert total_of(*lines) == "128.50"


def test_a_dish_beneath_a_label_is_not_its_amount() -> None:
    assert total_of("合计", ("米饭", "2", "6.00")) is None


def test_thousands_may_be_grouped() -> None:
    assert total_of(("合计", "￥1,128.50")) == "1128.50"
    assert total_of(("合计", "1.128.50")) == "1128.50"
    assert total_of(("合计", "￥1，128")) == "1128.00"


def test_an_amount_may_be_whole_yuan() -> None:
    assert total_of(("合计", "109.50"), ("优惠", "9.50"), ("实付", "100")) == "100.00"
    assert total_of(("米饭", "6"), ("合计", "88")) == "88.00"
    assert total_of(("合计", "￥88")) == "88.00"


@pytest.mark.parametrize(("text", "amount"), [("1O8.5O", "108.50"), ("l28.50", "128.50")])
def test_letters_read_for_digits_are_corrected_with_doubt(text: str, amount: str) -> None:
    assert total_of(("合计", text)) == total_of(("合计", amount)) == amount
    assert confidence_in(("合计", text)) < confidence_in(("合计", amount))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["老王川菜馆", "电话:0571-88886666", "桌号:A08", "2026-11-22 18:35:20"],
        ["合计: 3件"],
        ["合计: 13812345678"],
        [("合计", "0.00")],
        [("合计", "12345.00")],
        [("合计", "1.285")],
        [("合计", "128.50"), ("实付", "0.00")],
        ["找零 71.50", "优惠 9.50"],
        ["消费满￥200送券"],
        ["合计 2026-11-22 18:35"],
        ["折扣 8.8折"],
    ],
)
def test_where_no_total_stands_none_is_taken(lines: list[str | tuple[str, ...]]) -> None:
    assert choose_total(make_boxes(*lines)) == (None, Decimal("0.0000"))


def test_the_smallest_and_the_largest_sum_are_taken() -> None:
    assert total_of(("合计", "0.01")) == "0.01"
    assert total_of(("合计", "9999.99")) == "9999.99"


def test_without_a_label_the_currency_speaks_quietly() -> None:
    one, several = ["￥128.50"], ["￥38.00", "￥128.50", "优惠 ￥500.00"]
    assert total_of(*one) == total_of(*several) == "128.50"
    assert Decimal("0.5") > confidence_in(*one) > confidence_in(*several) > 0


def test_the_last_of_equal_labels_counts() -> None:
    assert total_of(("合计", "60.00"), ("合计", "128.50")) == "128.50"


def test_confidence_is_the_doubt_of_reading_and_rule() -> None:
    plain = confidence_in(("合计", "128.50"))
    assert plain == Decimal("0.9207")  # 0.93 for the label, 0.99 for the letters
    assert plain.as_tuple().exponent == -4
    assert confidence_in(("合计", "128.50"), score=0.5) == Decimal("0.4650")
    assert confidence_in(("合计", "128.50"), ("实付", "128.50")) > plain
    assert confidence_in(("合计", "128.50"), ("实付", "138.00")) < plain
    assert confidence_in(("小计", "128.50")) < plain
    assert confidence_in("合计", "128.50") < plain
    assert confidence_in(("合计", "含茶", "128.50")) < plain
