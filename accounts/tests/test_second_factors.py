"""The second factor: codes of a phone and recovery codes, how often, and who takes it away."""

import base64
import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.errors import (
    HoldsMoreRights,
    NoSecondFactor,
    OwnSecondFactor,
    SecondFactorDelayed,
    SecondFactorNeeded,
    WrongSecondFactor,
)
from accounts.models import LimitPurpose, RecoveryCode, SecondFactor, SignInLimit
from accounts.models.second_factors import RecoveryCodeQuerySet, SecondFactorQuerySet
from accounts.models.sign_in_limits import SignInLimitQuerySet
from accounts.services import console_devices, console_sign_in, second_factors
from accounts.services.console_sign_in import FREE_TRIES, MOST_STRANGE_CODES
from accounts.services.second_factors import DIGITS, DRIFT
from accounts.tests.factories import Phone, enrol
from ops.models import AuditEntry
from ops.services import encryption, key_ring, key_rotation, key_uses
from tests.audit import acting_as
from tests.clock import hold_clock
from tests.people import make_cast, make_person
from tests.races import RACERS, kinds, race_numbered, take_lock_away

pytestmark = pytest.mark.django_db

STEP = second_factors.STEP
FREE = FREE_TRIES[LimitPurpose.FACTOR]
A_DAY = 24 * 3600 + 1  # seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    return hold_clock(monkeypatch)


@pytest.fixture
def owner():
    return make_person(username="wang")


@pytest.fixture
def told(caplog, django_capture_on_commit_callbacks):
    """The lines of the security log that doing something leaves."""
    caplog.set_level(logging.INFO, "security")

    def lines(do):
        caplog.clear()
        with django_capture_on_commit_callbacks(execute=True):
            do()
        return [json.loads(line.getMessage()) for line in caplog.records]

    return lines


def check(person, answer, token=""):
    return console_sign_in.check_second_factor(person=person, answer=answer, device_token=token)


def refuse(person, answer, **where):
    with pytest.raises(WrongSecondFactor):
        check(person, answer, **where)


def no_delay():
    SignInLimit.objects.update(blocked_until=None)


def fail(person, phone, times, **where):
    for _number in range(times):
        no_delay()
        refuse(person, phone.other(), **where)


def delay(person, answer, **where):
    with pytest.raises(SecondFactorDelayed) as refusal:
        check(person, answer, **where)
    return refusal.value.retry_after


# --- Codes of a phone -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("seconds", "code"),  # the last six of the eight digits of RFC 6238, appendix B
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_standard(seconds, code):
    secret = base64.b32encode(b"12345678901234567890").decode()
    assert second_factors.code_at(secret, datetime.fromtimestamp(seconds, UTC)) == code


def test_a_secret_is_random_and_as_long_as_the_hash():
    secrets = {second_factors.new_secret() for _number in range(100)}
    assert len(secrets) == 100
    assert {len(base64.b32decode(secret)) for secret in secrets} == {20}


def test_the_address_for_the_picture_is_what_apps_read(owner):
    secret = second_factors.new_secret()
    address = second_factors.address_of(secret, account="王 wang", issuer="shop.example")
    assert address.startswith("otpauth://totp/shop.example:%E7%8E%8B%20wang?")
    for part in (f"secret={secret}", "digits=6", "period=30", "algorithm=SHA1"):
        assert part in address
    assert "issuer=shop.example" in address


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_phone_whose_clock_is_a_step_off_is_believed(owner, steps):
    mine = enrol(owner)
    passed = check(owner, mine.phone.code(after=steps * STEP))
    assert (passed.factor_id, passed.left) == (mine.factor.pk, None)


@pytest.mark.parametrize("steps", [-2, 2])
def test_a_clock_that_is_further_off_is_not(owner, steps):
    refuse(owner, enrol(owner).phone.code(after=steps * STEP))
    assert SecondFactor.objects.get().last_step == 0


@pytest.mark.parametrize("typed", ["{} ", "{0[0]}{0[1]}{0[2]} {0[3]}{0[4]}{0[5]}", "-{}"])
def test_a_code_may_be_typed_with_spaces(owner, typed):
    phone = enrol(owner).phone
    assert check(owner, typed.format(phone.code()))


def test_a_code_may_be_typed_in_full_width(owner):
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    assert check(owner, enrol(owner).phone.code().translate(wide) + "\u3000")


@pytest.mark.parametrize("answer", ["", "12345", "1234567", "12345x", "\x00", "x" * 9999])
def test_what_is_no_code_is_a_wrong_one(owner, answer):
    enrol(owner)
    refuse(owner, answer)


def test_a_code_is_taken_once(owner, clock):
    phone = enrol(owner).phone
    code = phone.code()
    check(owner, code)
    refuse(owner, code)
    clock.go(STEP)  # within the drift still
    refuse(owner, code)
    assert check(owner, phone.code())


def test_no_code_of_before_the_newest_one_is_taken(owner):
    phone = enrol(owner).phone
    check(owner, phone.code(after=STEP))
    refuse(owner, phone.code())


def test_the_code_of_the_enrolment_is_used_as_well(owner):
    phone = Phone()
    second_factors.enrol(person=owner, secret=phone.secret, code=phone.code())
    refuse(owner, phone.code())
    assert check(owner, phone.code(after=STEP))


def test_a_code_of_somebody_else_is_a_wrong_one(owner):
    enrol(owner)
    refuse(owner, enrol(make_person()).phone.code())


def test_without_a_second_factor_there_is_nothing_to_check(owner):
    with pytest.raises(NoSecondFactor):
        check(owner, "123456")


# --- Enrolling ------------------------------------------------------------------------------------
def test_nothing_counts_before_a_code_of_the_phone(owner):
    phone = Phone()
    with pytest.raises(WrongSecondFactor):
        second_factors.enrol(person=owner, secret=phone.secret, code=phone.other())
    assert second_factors.factor_of(owner) is None
    assert not AuditEntry.objects.exists()


def test_the_secret_is_encrypted_and_hangs_on_the_key_ring(owner, settings):
    mine = enrol(owner)
    (kept,) = SecondFactor.objects.values_list("secret_encrypted", flat=True)
    assert mine.phone.secret not in kept
    assert str(mine.factor) == f"#{owner.pk}"
    assert encryption.decrypt(kept) == mine.phone.secret
    use = key_uses.columns["accounts.SecondFactor.secret_encrypted"]
    settings.FIELD_ENCRYPTION_KEYS = ("n" * 60, *settings.FIELD_ENCRYPTION_KEYS)
    with acting_as(owner):
        (batch,) = key_rotation.renew(use)
    assert batch.renewed == 1
    settings.FIELD_ENCRYPTION_KEYS = settings.FIELD_ENCRYPTION_KEYS[:1]
    assert check(owner, mine.phone.code())


def test_a_new_one_replaces_the_one_of_before_and_its_recovery_codes(owner):
    before, after = enrol(owner), enrol(owner)
    refuse(owner, before.phone.code())
    refuse(owner, before.codes[0])
    assert check(owner, after.phone.code()).factor_id == after.factor.pk
    assert SecondFactor.objects.count() == 1
    assert RecoveryCode.objects.count() == 10
    assert list(AuditEntry.objects.values_list("action", "actor_id").order_by("pk")) == [
        ("user.enrol_second_factor", owner.pk),
        ("user.replace_second_factor", owner.pk),
    ]


@pytest.mark.parametrize(
    ("role", "needed"),
    [
        ("customer", False),
        ("cashier", False),
        ("owner", False),
        ("staff", True),
        ("auditor", True),
        ("superuser", True),
    ],
)
def test_who_has_rights_everywhere_has_to_have_one_outside_of_development(role, needed, settings):
    person = make_person(is_superuser=True) if role == "superuser" else getattr(make_cast(), role)
    assert second_factors.must_have(person) is False
    settings.SECOND_FACTOR_ASKED = True
    assert second_factors.must_have(person) is needed


# --- Recovery codes -------------------------------------------------------------------------------
def test_there_are_ten_recovery_codes_and_each_is_good_once(owner):
    codes = enrol(owner).codes
    assert len(set(codes)) == 10
    for used, code in enumerate(codes, start=1):
        assert check(owner, code).left == 10 - used
        refuse(owner, code)
    assert second_factors.codes_left(owner) == 0


@pytest.mark.parametrize("typed", [str.lower, lambda code: code.replace("-", " "), "{}\t".format])
def test_a_recovery_code_may_be_typed_as_people_type(owner, typed):
    assert check(owner, typed(enrol(owner).codes[0])).left == 9


def test_recovery_codes_are_kept_as_keyed_hashes_that_any_key_of_the_ring_knows(owner, settings):
    codes = enrol(owner).codes
    for row in RecoveryCode.objects.all():
        assert len(row.code_hash) == 64
        assert row.key_id == key_ring.newest("hash").id
        assert not any(code.replace("-", "") in f"{row.code_hash} {row}".upper() for code in codes)
    settings.HASH_KEYS = ("n" * 60, *settings.HASH_KEYS)
    assert check(owner, codes[0]).left == 9
    counted = key_uses.columns["accounts.RecoveryCode.key_id"].count_by_key()
    assert sum(counted.values()) == 10


def test_new_ones_replace_the_old(owner):
    mine = enrol(owner)
    check(owner, mine.codes[0])
    new = second_factors.renew_recovery_codes(person=owner)
    assert second_factors.codes_left(owner) == 10
    refuse(owner, mine.codes[1])
    assert check(owner, new[0]).left == 9
    assert AuditEntry.objects.filter(action="user.renew_recovery_codes").count() == 1


def test_a_recovery_code_of_somebody_else_is_a_wrong_one(owner):
    enrol(owner)
    refuse(owner, enrol(make_person()).codes[0])


# --- How often ------------------------------------------------------------------------------------
def test_after_the_free_tries_each_wrong_code_makes_the_next_wait_longer(owner):
    phone = enrol(owner).phone
    fail(owner, phone, FREE)
    waits = [delay(owner, phone.other())]
    for _number in range(9):
        fail(owner, phone, 1)
        waits.append(delay(owner, phone.other()))
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900], "and never for ever"


def test_during_a_delay_no_code_is_looked_at(owner):
    mine = enrol(owner)
    fail(owner, mine.phone, FREE)
    assert delay(owner, mine.phone.code()) == 5
    assert delay(owner, mine.codes[0]) == 5
    assert second_factors.codes_left(owner) == 10
    no_delay()
    assert check(owner, mine.phone.code()), "and it was not used up"
    assert SignInLimit.objects.get(purpose=LimitPurpose.FACTOR).failures == 0


def test_whoever_keeps_guessing_holds_nobody_back_where_they_signed_in_before(owner):
    phone = enrol(owner).phone
    device, token = console_devices.remember(person=owner, token="", address="", user_agent="")
    fail(owner, phone, 20)
    assert delay(owner, phone.code()) == A_DAY
    assert check(owner, phone.code(), token=token)
    fail(owner, phone, FREE, token=token)
    assert delay(owner, phone.code(after=STEP), token=token) == 5, "it has a count of its own"
    console_devices.end(device)
    fail(owner, phone, 1, token=token)
    assert delay(owner, phone.code(after=STEP), token=token) == A_DAY, "and is known no more"


def test_of_as_many_guesses_as_strangers_like_fifteen_a_day_are_compared(owner, clock):
    """Each is compared with three codes: at most 5 in 100,000 days a guess is right."""
    phone = enrol(owner).phone
    for _day in range(2):
        compared, begin = 0, clock.now
        while clock.now - begin < timedelta(days=1):
            try:
                check(owner, phone.other())
            except WrongSecondFactor:
                compared += 1
            except SecondFactorDelayed as refusal:
                clock.go(timedelta(seconds=refusal.retry_after or 0))
        assert compared == MOST_STRANGE_CODES
    assert Fraction(MOST_STRANGE_CODES * (2 * DRIFT + 1), 10**DIGITS) <= Fraction(5, 100_000)
    check(owner, phone.code())


def test_the_count_of_a_person_is_no_other_persons(owner):
    fail(owner, enrol(owner).phone, FREE)
    other = make_person()
    assert check(other, enrol(other).phone.code())


def test_whoever_is_signed_in_is_counted_apart(owner):
    phone = enrol(owner).phone
    for _number in range(FREE):
        with pytest.raises(WrongSecondFactor):
            console_sign_in.confirm_second_factor(person=owner, answer=phone.other())
    with pytest.raises(SecondFactorDelayed):
        console_sign_in.confirm_second_factor(person=owner, answer=phone.code())
    assert check(owner, phone.code()), "no sign-in is held back"
    no_delay()
    confirmed = console_sign_in.confirm_second_factor(person=owner, answer=phone.code(after=STEP))
    assert confirmed.left is None


# --- Taking it away -------------------------------------------------------------------------------
def test_a_person_removes_their_own(owner):
    enrol(owner)
    second_factors.remove(person=owner)
    assert second_factors.factor_of(owner) is None
    assert not RecoveryCode.objects.exists()
    assert AuditEntry.objects.filter(action="user.remove_second_factor", actor_id=owner.pk).exists()
    for change in (second_factors.remove, second_factors.renew_recovery_codes):
        with pytest.raises(NoSecondFactor):
            change(person=owner)


def test_who_has_to_have_one_cannot_remove_it(settings):
    settings.SECOND_FACTOR_ASKED = True
    staff = make_person(is_superuser=True)
    mine = enrol(staff)
    with pytest.raises(SecondFactorNeeded):
        second_factors.remove(person=staff)
    assert second_factors.factor_of(staff) == mine.factor
    assert enrol(staff).factor.pk != mine.factor.pk, "but replace it"


def test_staff_reset_it_with_a_reason_and_sign_ins_end(owner):
    enrol(owner)
    device, _token = console_devices.remember(person=owner, token="", address="", user_agent="")
    staff = make_person(is_superuser=True)
    second_factors.reset(person_id=owner.pk, reason="Lost phone", author_id=staff.pk)
    assert second_factors.factor_of(owner) is None
    assert not console_devices.is_live(device_id=device.pk, person=owner)
    entry = AuditEntry.objects.get(action="user.reset_second_factor")
    assert (entry.actor_id, entry.object_id, entry.reason) == (
        staff.pk,
        str(owner.pk),
        "Lost phone",
    )
    with pytest.raises(NoSecondFactor):
        second_factors.reset(person_id=owner.pk, reason="Again", author_id=staff.pk)


def test_nobody_resets_their_own_nor_that_of_somebody_with_more_rights():
    cast = make_cast()
    root = make_person(is_superuser=True)
    for person in (cast.staff, root):
        enrol(person)
    with pytest.raises(OwnSecondFactor):
        second_factors.reset(person_id=root.pk, reason="r", author_id=root.pk)
    with pytest.raises(HoldsMoreRights):
        second_factors.reset(person_id=root.pk, reason="r", author_id=cast.staff.pk)
    assert SecondFactor.objects.count() == 2
    second_factors.reset(person_id=cast.staff.pk, reason="r", author_id=root.pk)


# --- The security log -----------------------------------------------------------------------------
def test_each_step_of_a_second_factor_has_its_word(owner, told):
    mine = None

    def begin():
        nonlocal mine
        mine = enrol(owner)

    def events(do):
        return [(line["event"], line["person_id"]) for line in told(do)]

    assert events(begin) == [("second_factor_enrolled", owner.pk)]
    assert mine is not None
    phone, codes = mine.phone, mine.codes
    assert events(lambda: fail(owner, phone, 1)) == [("second_factor_failed", owner.pk)]
    (line,) = told(lambda: check(owner, codes[0]))
    assert (line["event"], line["left"]) == ("recovery_code_used", 9)
    fail(owner, phone, FREE)
    (line,) = told(lambda: delay(owner, "1"))
    assert (line["event"], line["seconds"]) == ("second_factor_delayed", 5)
    renew = lambda: second_factors.renew_recovery_codes(person=owner)  # noqa: E731
    assert events(renew) == [("recovery_codes_renewed", owner.pk)]
    assert events(lambda: second_factors.remove(person=owner)) == [
        ("second_factor_removed", owner.pk)
    ]
    enrol(owner)
    root = make_person(is_superuser=True)
    reset = lambda: second_factors.reset(  # noqa: E731
        person_id=owner.pk, reason="r", author_id=root.pk
    )
    assert events(reset) == [("second_factor_reset", owner.pk)]
    wrong = Phone()

    def enrol_wrongly():
        with pytest.raises(WrongSecondFactor):
            second_factors.enrol(person=owner, secret=wrong.secret, code=wrong.other())

    assert events(enrol_wrongly) == [("second_factor_failed", owner.pk)]


# --- All at once ----------------------------------------------------------------------------------
def outcomes_of(person, answer, racers):
    """What became of one answer that is sent so many times at once, the limits aside."""
    return kinds(
        race_numbered(
            lambda _number: second_factors.use(person=person, answer=answer), racers=racers
        )
    )


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_one_code_that_is_sent_many_times_at_once_one_is_taken(owner):
    outcomes = outcomes_of(owner, enrol(owner).phone.code(), 10)
    assert outcomes == {second_factors.Passed: 1, type(None): 9}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_one_recovery_code_that_is_sent_many_times_at_once_one_is_taken(owner):
    outcomes = outcomes_of(owner, enrol(owner).codes[0], 10)
    assert outcomes == {second_factors.Passed: 1, type(None): 9}
    assert second_factors.codes_left(owner) == 9


class LookedAtFirst:
    """An UPDATE as those write it who look first: everybody has looked before anybody writes."""

    def __init__(self, queryset_class, racers, monkeypatch):
        together = threading.Barrier(racers)
        update = queryset_class.update

        def look_first(rows, **values):
            seen = list(rows.values_list("pk", flat=True))
            together.wait(30)
            return update(rows.model.objects.filter(pk__in=seen), **values)

        monkeypatch.setattr(queryset_class, "update", look_first)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["code", "recovery"])
def test_whoever_looked_first_would_take_each_of_them(owner, kind, monkeypatch):
    mine = enrol(owner)
    answer = mine.phone.code() if kind == "code" else mine.codes[0]
    LookedAtFirst(SecondFactorQuerySet if kind == "code" else RecoveryCodeQuerySet, 5, monkeypatch)
    assert outcomes_of(owner, answer, 5) == {second_factors.Passed: 5}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_guesses_at_once_only_the_free_ones_are_looked_at(owner):
    phone = enrol(owner).phone
    wrong = phone.other()
    outcomes = kinds(race_numbered(lambda _number: check(owner, wrong)))
    assert outcomes == {WrongSecondFactor: FREE, SecondFactorDelayed: RACERS - FREE}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_every_guess_would_be_looked_at(owner, monkeypatch):
    phone = enrol(owner).phone
    fail(owner, phone, 1)
    wrong = phone.other()
    take_lock_away(monkeypatch, SignInLimitQuerySet, 10)
    outcomes = kinds(race_numbered(lambda _number: check(owner, wrong), racers=10))
    assert outcomes == {WrongSecondFactor: 10}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_pages_at_once_make_one_factor(owner):
    phones = [Phone() for _number in range(5)]

    def attempt(number):
        phone = phones[number]
        return second_factors.enrol(person=owner, secret=phone.secret, code=phone.code())

    assert kinds(race_numbered(attempt, racers=5)) == {tuple: 5}
    assert SecondFactor.objects.count() == 1
    assert RecoveryCode.objects.count() == 10


# --- By hand --------------------------------------------------------------------------------------
def test_whoever_runs_the_platform_resets_it_by_a_command(owner):
    enrol(owner)
    out = StringIO()
    call_command("reset_second_factor", "wang", "--reason", "Lost phone", stdout=out)
    assert str(owner) in out.getvalue()
    assert second_factors.factor_of(owner) is None
    for name in ("wang", "nobody"):
        with pytest.raises(CommandError):
            call_command("reset_second_factor", name, "--reason", "Lost phone", stdout=out)
