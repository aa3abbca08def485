"""What is no password: what stands on the sign of the shop, and what everybody tries first.

Beside Django's own rules, which know what people all over the world choose, and little of what is
chosen in a Chinese shop.
"""

import re
from collections.abc import Iterator

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import User
from catalog.models import Shop

TAIL_OF_A_PHONE = 6  # digits: so many of the end of a phone number are the phone number
SHORTEST_NAME = 2  # characters: a shorter name of a shop is in half of all passwords
# What is left of a password without its easy pieces. `wang123456` leaves four.
LEAST_LEFT = 6  # characters

# Rows of a keyboard, of the alphabet and of the digits, forwards and backwards; columns as 1qaz.
ROWS = (
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik",
    "qazwsxedcrfvtgbyhnujm",
    "!@#$%^&*()",
)
SHORTEST_RUN = 3  # characters
WORDS = (
    *("woaini", "aini", "iloveyou", "love", "mima", "wodemima", "password", "passwd", "pass"),
    *("admin", "administrator", "root", "test", "user", "guest", "demo", "hello", "welcome"),
    *("login", "system", "guanli", "guanliyuan", "yonghu", "laoban", "dianzhang", "jingli"),
    *("shop", "store", "dianpu", "shangjia", "restaurant", "canting", "canyin", "fandian"),
    *("caiguan", "jiulou", "huoguo", "shaokao", "naicha", "xiaochi", "kafei", "chuancai"),
    *("zhongguo", "china", "beijing", "shanghai", "guangzhou", "shenzhen", "chengdu"),
    *("520", "521", "1314", "5201314", "168", "518", "110", "119"),
    *("我爱你", "密码", "管理员", "老板", "店长", "餐厅", "饭店", "火锅"),
)
REPEATED = re.compile(r"(.{1,4}?)\1{2,}")  # aaa, 121212
A_DATE = re.compile(
    r"(?:19|20)\d{2}[-./年]?(?:0?[1-9]|1[0-2])?[-./月]?(?:0?[1-9]|[12]\d|3[01])?日?"
)


def _runs() -> Iterator[str]:
    for row in ROWS:
        for text in (row, row[::-1]):
            for length in range(SHORTEST_RUN, len(text) + 1):
                yield from (text[at : at + length] for at in range(len(text) - length + 1))


# The longest first: else the first three digits of a run would leave its rest.
EASY_PIECES = re.compile(
    "|".join(map(re.escape, sorted({*WORDS, *_runs()}, key=lambda piece: (-len(piece), piece))))
)


def plain(text: str) -> str:
    """A text as it is compared: without case and blanks."""
    return "".join(text.casefold().split())


class NotEasyToGuess:
    """Refuses what is made of runs, dates and the words that everybody tries first."""

    def validate(self, password: str, user: User | None = None) -> None:
        """Raise ValidationError where too little is left without them."""
        left = plain(password)
        for pieces in (REPEATED, EASY_PIECES, A_DATE):
            left = pieces.sub("", left)
        if len(left) < LEAST_LEFT:
            raise ValidationError(
                _(
                    "This password is easy to guess: without runs such as 123456 or qwerty, years "
                    "and words that everybody tries too little of it is left."
                ),
                code="password_easy_to_guess",
            )

    def get_help_text(self) -> str:
        """What the page says before somebody types."""
        return _(
            "Runs such as 123456 or qwerty, years and words that everybody tries do not count."
        )


class NotOfOwnNames:
    """Refuses what has the person's phone number or the name of their shop in it."""

    def validate(self, password: str, user: User | None = None) -> None:
        """Raise ValidationError for either of them."""
        if user is None:
            return
        typed = plain(password)
        if user.phone and user.phone[-TAIL_OF_A_PHONE:] in typed:
            raise ValidationError(
                _("There is your phone number in this password."), code="password_has_phone"
            )
        if user.pk is None:
            return
        names = Shop.objects.filter(members__person=user.pk).values_list("name", flat=True)
        if any(len(plain(name)) >= SHORTEST_NAME and plain(name) in typed for name in names):
            raise ValidationError(
                _("There is the name of your shop in this password."), code="password_has_shop"
            )

    def get_help_text(self) -> str:
        """What the page says before somebody types."""
        return _("Your password can’t have your phone number or the name of your shop in it.")
