"""What guessing at codes is worth: at most 5 in 100,000 per phone and day, however many guesses."""

from fractions import Fraction

import pytest

from accounts.limits import WRONG_TRIES
from accounts.live_settings import CODES_A_DAY
from accounts.services.sign_in_codes import DIGITS
from bench.guesses import TRIES_A_DAY, run

pytestmark = pytest.mark.django_db


def test_of_as_many_guesses_as_somebody_likes_fifty_a_day_are_compared():
    """`python -m bench.guesses` makes a million of them."""
    sums = run(guesses=480, phones=2, seed=7)
    assert (sums.guesses, sums.days, sums.codes) == (480, 2, 20)
    assert sums.most_compared_of_a_day <= TRIES_A_DAY
    assert sums.compared == 2 * TRIES_A_DAY or sums.days_broken  # a guess is right now and then


def test_so_a_guess_is_right_five_times_in_100_000_days():
    tries = CODES_A_DAY.default_value * WRONG_TRIES
    assert tries == TRIES_A_DAY
    assert Fraction(tries, 10**DIGITS) <= Fraction(5, 100_000)
