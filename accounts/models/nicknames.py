"""What a nickname may be: the same rule wherever one is written."""

import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

# LRE, RLE, LRO, RLO, PDF; LRI, RLI, FSI, PDI; LRM, RLM, ALM: they turn what stands beside a name.
DIRECTION_MARKS = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
)
# Categories of Unicode: controls with tab, line break and NUL; line and paragraph separators.
CONTROLS = frozenset({"Cc", "Zl", "Zp"})
# Spaces, format characters (zero-width ones among them), marks and variation selectors: they show
# something only beside another character.
UNSEEN = frozenset({"Zs", "Cf", "Mn", "Me"})
# Letters and a symbol by category of which nothing is seen: Hangul fillers, the empty braille cell.
FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")


def tidy_nickname(text: str) -> str:
    """The nickname as it is kept: without white space around it, in the normal form NFC."""
    return unicodedata.normalize("NFC", text.strip())


def check_nickname(text: str) -> None:
    """Raise ValidationError for controls, marks of direction, and where nothing is to be seen.

    Zero-width characters between others stay: emoji and several scripts need them.
    """
    categories = {sign: unicodedata.category(sign) for sign in text}
    if not (DIRECTION_MARKS.isdisjoint(text) and CONTROLS.isdisjoint(categories.values())):
        raise ValidationError(
            _("Leave out line breaks, control characters and marks of the direction of writing."),
            code="nickname_controls",
        )
    if all(sign in FILLERS or category in UNSEEN for sign, category in categories.items()):
        raise ValidationError(
            _("Use at least one character that can be seen."), code="nickname_unseen"
        )
