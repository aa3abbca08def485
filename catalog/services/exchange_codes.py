"""Exchange codes: cannot be guessed, and are easy to read aloud and to type."""

import secrets
import unicodedata

# No 0/O and no 1/I/L. 31 letters in 12 places are 59 bits.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
GROUPS, GROUP_LENGTH = 3, 4


def new_exchange_code() -> str:
    """A new code such as ABCD-EFGH-JKMN, from the system's random source."""
    return _grouped("".join(secrets.choice(ALPHABET) for _ in range(GROUPS * GROUP_LENGTH)))


def normal_form(typed: str) -> str:
    """The code that somebody meant: case, width, spaces and hyphens do not matter."""
    wide = unicodedata.normalize("NFKC", typed[:100])
    return _grouped("".join(letter for letter in wide.upper() if letter.isalnum()))


def _grouped(letters: str) -> str:
    starts = range(0, len(letters), GROUP_LENGTH)
    return "-".join(letters[start : start + GROUP_LENGTH] for start in starts)
