"""The words a Chinese till puts in front of its numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """What a label announces; those that can be the paid total come first, best first."""

    PAID = 0
    RECEIVED = 1  # 实收: the paid total, or the banknotes handed over
    SETTLED = 2
    DUE = 3
    TOTAL = 4
    METHOD = 5  # what one way of paying took
    MINOR = 6
    CASH = 7  # banknotes handed over
    CHANGE = 8
    DISCOUNT = 9
    OTHER = 10  # a number that is no total at all


@dataclass(frozen=True, slots=True)
class Label:
    kind: Kind
    start: int
    end: int


_WORDS: dict[Kind, str] = {
    Kind.PAID: """
        实付金额 实付总额 实付合计 实付总计 实付款 实付 实际支付金额 实际支付 实际付款 实际消费
        实支付 实支 顾客实付 客户实付 用户实付 實付金額 實付
    """,
    Kind.RECEIVED: """
        实收金额 实收总额 实收合计 实收总计 实收款 实收 实际收款 實收金額 實收
    """,
    Kind.SETTLED: """
        支付金额 支付总额 支付合计 付款金额 付款总额 付款合计 已付金额 已支付金额 已付款 已支付
        已付 已收款 已收 交易金额 收款金额 收款合计 结算金额 结账金额 结帐金额 本次支付 本次付款
        支付总计
    """,
    Kind.DUE: """
        应付金额 应付总额 应付合计 应付总计 应付款 应付 应收金额 应收总额 应收合计 应收总计
        应收款 应收 合计应收 合计应付 折后金额 折后合计 折后总计 折后总额 折后价 折后
        优惠后金额 优惠后合计 优惠后 折扣后 待付金额 待付款 待付 待支付 需付金额 需付 需支付
        應付金額 應付 應收金額 應收
    """,
    Kind.TOTAL: """
        合计金额 金额合计 合计总额 总计金额 金额总计 总金额 消费总额 消费合计 消费总计 消费金额
        本次消费 本单消费 本单合计 订单金额 订单总额 订单总价 订单合计 订单总计 账单金额 账单合计
        账单总额 帐单金额 价税合计 含税合计 含税总额 含税金额 人民币合计 总合计 合计 总计 共计 总额
        总价 总共 合計金額 合計 總計 總額 總金額 台计 合汁 合讨 grandtotal total
    """,
    Kind.METHOD: """
        微信支付 微信 支付宝支付 支付宝 银行卡 银联 刷卡 云闪付 扫码支付 扫码付 扫码 美团支付
        美团 抖音支付 抖音 数字人民币 信用卡 会员卡 会员支付 储值支付 余额支付 在线支付 线上支付
        移动支付 聚合支付
    """,
    Kind.MINOR: """
        小计金额 小计 小計 商品合计 商品金额 商品总额 商品总价 商品小计 菜品合计 菜品金额 菜品总额
        菜品小计 菜金 餐费 可开票金额 开票金额 金额 金額 subtotal amount
    """,
    Kind.CASH: """
        实收现金 现金实收 现金支付 现金收款 现金付款 现金 現金 收您 收现 现收 收款 预收 付现 cash
    """,
    Kind.CHANGE: """
        找零金额 找零 找赎 找回 找您 找现 找补 应找 實找 实找 change
    """,
    Kind.DISCOUNT: """
        合计优惠 总计优惠 总优惠 已优惠 共优惠 会员优惠 优惠券 优惠 合计折扣 整单折扣 会员折扣
        折扣 折让 满减 立减 减免 随机减 抹零 抹分 舍去 代金券 团购券 抵用券 抵扣 红包 节省 已省
        共省 免单 赠送 優惠 discount
    """,
    Kind.OTHER: """
        合计数量 合计件数 合计份数 总件数 总数量 总份数 总数 件数 份数 数量 单价 人均消费 人均 原价
        原总价 折前 优惠前 门市价 市场价 会员价 卡余额 余额 剩余 积分 累计 茶位 不含税 合计税额 税额
        税率 税 服务费 餐位费 茶位费 餐具费 配送费 打包费 包装费 餐盒费 运费 押金 定金 订金 预付
        退款 未付 小费 电话 手机 桌号 台号 人数 单号 卡号 尾号 充值 满 每 再减 再送 第 tax
        支付方式 付款方式 结账方式
    """,
}
# 会员优惠合计, 服务费金额: the tail belongs to the word before it, which is what counts.
_TAIL = "(?:金额|合计|总额|总计|小计|数量|总数)?"
_TAIL_LENGTH = 2
_TAILED = {Kind.DISCOUNT, Kind.OTHER}

_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}


def _pattern() -> re.Pattern[str]:
    parts = []
    # Longest first, so that 合计金额 is not taken for 合计.
    for word in sorted(_KINDS, key=len, reverse=True):
        if word.isascii():
            parts.append(rf"(?<![A-Za-z]){word}(?![A-Za-z])")
            continue
        spread = r"\s*".join(word)  # tills stretch two characters: 合    计
        parts.append(spread + _TAIL if _KINDS[word] in _TAILED else spread)
    return re.compile("|".join(parts), re.IGNORECASE)


_LABEL = _pattern()


def labels_in(text: str) -> Iterator[Label]:
    """Yield the labels of an NFKC text, left to right, none within another."""
    for match in _LABEL.finditer(text):
        yield Label(kind=_kind(match[0]), start=match.start(), end=match.end())


def _kind(found: str) -> Kind:
    word = "".join(found.lower().split())
    # Only a tail can have made it longer than a known word.
    return _KINDS[word if word in _KINDS else word[:-_TAIL_LENGTH]]
