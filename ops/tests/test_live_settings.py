"""Live settings as they are stored: changed, refused, told, seen, and asked about at the start."""

import json
import logging
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, transaction
from django.utils import translation

from accounts.live_settings import REGISTER_BONUS
from ops import setting_kinds
from ops.errors import NoSuchSetting, SettingRefused
from ops.models import LiveSetting
from ops.services import live_settings
from ops.services.live_settings import change, history, refresh, reset, standings
from ops.setting_kinds import declared
from ops.tests.databases import elsewhere, on_sqlite, other_parameters
from ops.tests.probe_settings import BAD, DURATION, EXACT, GOOD, NAMES_OF_BAD, PROBES, WHOLE
from tests.audit import acting_as, entries_of
from tests.console import refused_unchanged
from tests.live_settings import set_live
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def in_english():
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def probes(monkeypatch):
    """The probes are declared, beside what the apps have."""
    monkeypatch.setattr(declared, "_entries", {**declared._entries, **{p.key: p for p in PROBES}})


@pytest.fixture
def staff():
    return make_person(username="staff", is_staff=True, is_superuser=True)


# --- Changing -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("setting", "text", "value", "stored"), GOOD)
def test_a_value_is_stored_in_force_and_read_again(staff, setting, text, value, stored):
    read = live_settings.value_of_text(key=setting.key, text=text)
    is_new = value != setting.default_value

    assert change(key=setting.key, value=read, author_id=staff.pk) is is_new
    assert setting.value == value
    assert [row.value for row in LiveSetting.objects.all()] == [stored] * is_new

    live_settings.forget()
    refresh()
    assert (setting.value, type(setting.value)) == (value, type(value))


@pytest.mark.parametrize(("setting", "text", "why"), BAD, ids=NAMES_OF_BAD)
def test_a_bad_value_is_refused_with_its_reason_and_changes_nothing(staff, setting, text, why):
    before = setting.value
    with acting_as(staff), refused_unchanged(), pytest.raises(SettingRefused) as refusal:
        change(key=setting.key, value=live_settings.value_of_text(key=setting.key, text=text))
    assert why in str(refusal.value)
    assert str(refusal.value).startswith(setting.key)
    assert list(refusal.value.data) == [setting.key]
    assert setting.value == before


def test_a_value_of_another_type_is_refused_as_well(staff):
    with acting_as(staff), refused_unchanged(), pytest.raises(SettingRefused, match="whole number"):
        change(key=WHOLE.key, value="7")


def test_what_is_not_declared_is_not_there(staff):
    with acting_as(staff), refused_unchanged():
        with pytest.raises(NoSuchSetting, match=r"no setting probe\.none"):
            change(key="probe.none", value=1)
        with pytest.raises(NoSuchSetting):
            reset(key="probe.none")
        with pytest.raises(NoSuchSetting):
            live_settings.value_of_text(key="probe.none", text="1")


def test_what_it_is_already_leaves_nothing(staff):
    with acting_as(staff):
        assert change(key=WHOLE.key, value=5) is False
        set_live(WHOLE, 7)
        assert change(key=WHOLE.key, value=7) is False
        assert reset(key=WHOLE.key) is True
        assert reset(key=WHOLE.key) is False
    assert [one.action for one in entries_of(staff)] == ["livesetting.change", "livesetting.reset"]
    assert LiveSetting.objects.count() == 0


def test_the_default_may_be_stored_once_it_was_another(staff):
    """It stays, whatever the environment says later."""
    with acting_as(staff):
        set_live(WHOLE, 7)
        set_live(WHOLE, 5)
    (one,) = standings(keys=[WHOLE.key])
    assert (one.text, one.is_default) == ("5", False)
    assert str(LiveSetting.objects.get()) == WHOLE.key


def test_whoever_saw_another_value_is_refused(staff):
    with acting_as(staff):
        set_live(WHOLE, 7)
        with refused_unchanged():
            for seen in ("5", ""):
                with pytest.raises(SettingRefused, match="it is 7 now"):
                    change(key=WHOLE.key, value=8, instead_of=seen)
                with pytest.raises(SettingRefused, match="it is 7 now"):
                    reset(key=WHOLE.key, instead_of=seen)
        assert change(key=WHOLE.key, value=8, instead_of="7")
        assert reset(key=WHOLE.key, instead_of="8")
        with pytest.raises(SettingRefused, match="it is 5 now"):
            change(key=WHOLE.key, value=8, instead_of="7")


@pytest.mark.django_db(transaction=True)
def test_a_change_is_in_force_here_once_it_is_committed(staff):
    with transaction.atomic():
        change(key=WHOLE.key, value=7, author_id=staff.pk)
        assert WHOLE.value == 5
    assert WHOLE.value == 7

    with transaction.atomic():
        change(key=WHOLE.key, value=8, author_id=staff.pk)
        transaction.set_rollback(True)
    assert WHOLE.value == 7


# --- The trail ------------------------------------------------------------------------------------
def test_a_change_says_who_what_before_and_after(staff):
    with acting_as(staff):
        set_live(DURATION, timedelta(hours=1), reason="Holidays")
        set_live(DURATION, timedelta(hours=2))
        reset(key=DURATION.key, reason="Over")
    told = [
        (one.action, one.object_name, json.loads(one.before), json.loads(one.after), one.reason)
        for one in entries_of(staff)
    ]
    name = f"ops.livesetting:{DURATION.key}"
    assert told == [
        (
            "livesetting.change",
            name,
            {"value": 300, "is_default": True},
            {"value": 3600, "is_default": False},
            "Holidays",
        ),
        ("livesetting.change", name, {"value": 3600}, {"value": 7200}, ""),
        (
            "livesetting.reset",
            name,
            {"value": 7200, "is_default": False},
            {"value": 300, "is_default": True},
            "Over",
        ),
    ]


def test_earlier_values_come_from_the_trail_with_their_authors(staff):
    other = make_person(username="other", is_staff=True)
    change(key=EXACT.key, value=EXACT.parse("2"), author_id=staff.pk)
    change(key=EXACT.key, value=EXACT.parse("3"), author_id=other.pk)
    reset(key=EXACT.key, author_id=staff.pk)

    told = [(one.text, one.is_default, one.entry.actor_id) for one in history(EXACT.key)]
    assert told == [
        ("1.50", True, staff.pk),
        ("3.00", False, other.pk),
        ("2.00", False, staff.pk),
    ]
    assert [one.text for one in history(EXACT.key, most=1)] == ["1.50"]
    assert history(WHOLE.key) == []


def test_what_this_version_does_not_take_is_told_as_it_is_stored(staff):
    LiveSetting.objects.create(key=WHOLE.key, value="five")
    LiveSetting.objects.create(key="gone.long", value=[1])
    (one,) = standings(keys=[WHOLE.key])
    assert one.text == '"five"'
    assert reset(key="gone.long", author_id=staff.pk)
    assert reset(key=WHOLE.key, author_id=staff.pk)
    assert [one.text for one in history("gone.long")] == ["null"]


def test_all_settings_are_told_in_three_statements(staff, django_assert_num_queries):
    with acting_as(staff):
        set_live(WHOLE, 7)
        set_live(WHOLE, 8)
    with django_assert_num_queries(3):
        told = {one.setting.key: one for one in standings()}
    assert set(told) == set(declared.names())
    whole, exact = told[WHOLE.key], told[EXACT.key]
    assert (whole.text, whole.default_text, whole.is_default) == ("8", "5", False)
    assert whole.entry == entries_of(staff).last()
    assert (exact.text, exact.is_default, exact.entry) == ("1.50", True, None)


def test_the_default_may_have_moved_while_it_was_stored_so(staff):
    """An entry that changed no value, but whether it stands at its default, is no earlier value."""
    LiveSetting.objects.create(key=WHOLE.key, value=5)
    assert reset(key=WHOLE.key, author_id=staff.pk)
    assert history(WHOLE.key) == []


# --- What a process knows -------------------------------------------------------------------------
def store_elsewhere(**rows):
    for key, value in rows.items():
        LiveSetting.objects.create(key=key.replace("__", "."), value=value)


def test_a_beat_reads_all_of_them_by_one_statement(django_assert_num_queries):
    store_elsewhere(probe__whole=7, probe__switch=True)
    with django_assert_num_queries(1):
        refresh()
    assert WHOLE.value == 7
    LiveSetting.objects.all().delete()
    refresh()
    assert WHOLE.value == 5


def test_it_is_registered_as_a_beat():
    from ops.services.pulse import beats

    beat = beats["live settings"]
    assert (beat.act, beat.every) == (refresh, 2)


def test_a_change_is_in_force_everywhere_within_five_seconds():
    """Each look may take a second: one that had just begun, the wait, and the one that sees it."""
    assert 1 + live_settings.REFRESH_EVERY + 1 <= 5


def test_what_is_not_accepted_leaves_what_is_known_and_is_told_once(caplog):
    store_elsewhere(probe__whole=7, probe__switch=True)
    refresh()
    LiveSetting.objects.filter(key=WHOLE.key).update(value="five")
    LiveSetting.objects.filter(key="probe.switch").update(value=False)
    LiveSetting.objects.create(key=EXACT.key, value=1.5)
    with caplog.at_level(logging.WARNING, logger=live_settings.__name__):
        refresh()
        refresh()
    assert (WHOLE.value, EXACT.value) == (7, EXACT.default_value)
    assert len(caplog.records) == 2


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_database_the_last_known_values_stay():
    store_elsewhere(probe__whole=7)
    refresh()
    with other_parameters(port=1, timeout=0.1):
        with pytest.raises(OperationalError):
            refresh()
        assert WHOLE.value == 7


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_database_at_the_first_use_the_default_holds_until_it_is_back(monkeypatch):
    store_elsewhere(probe__whole=7)
    setting_kinds.forget()
    with other_parameters(port=1, timeout=0.1):
        assert WHOLE.value == 5
    monkeypatch.setattr(setting_kinds._memory, "read_again_at", 0)
    assert WHOLE.value == 7


def test_the_first_use_in_a_transaction_does_not_break_it():
    store_elsewhere(probe__whole=7)
    setting_kinds.forget()
    assert WHOLE.value == 7
    with on_sqlite(), transaction.atomic():  # no table is there yet
        setting_kinds.forget()
        assert WHOLE.value == 5
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")


async def test_the_first_use_in_an_event_loop_is_at_its_default():
    setting_kinds.forget()
    assert WHOLE.value == 5


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_who_change_one_first_both_are_told():
    """The second sees the row of the first, whose trail says what stood between."""
    one, other = make_person(), make_person()
    with elsewhere() as machine:
        machine.cursor().execute(
            "INSERT INTO ops_livesetting (key, value) VALUES (%s, '6')", [WHOLE.key]
        )
    assert change(key=WHOLE.key, value=7, author_id=one.pk)
    assert change(key=WHOLE.key, value=8, author_id=other.pk)
    assert [json.loads(entry.before)["value"] for entry in entries_of(other)] == [7]


# --- The start ------------------------------------------------------------------------------------
def test_what_is_stored_and_not_accepted_stops_the_start():
    store_elsewhere(probe__whole=11, probe__switch="yes")
    with pytest.raises(ImproperlyConfigured) as refusal:
        live_settings.refuse_stored_settings()
    first, second = str(refusal.value).splitlines()
    assert first.startswith('The setting probe.switch is stored as "yes", which this version does')
    assert second.startswith("The setting probe.whole is stored as 11, which this version does not")
    assert "It goes from -1 to 10." in second
    assert "manage.py settings reset probe.whole" in second


def test_what_this_version_knows_nothing_of_is_a_warning(caplog):
    store_elsewhere(probe__whole=7, probe__gone=1)
    with caplog.at_level(logging.WARNING, logger=live_settings.__name__):
        live_settings.refuse_stored_settings()
    assert [record.getMessage() for record in caplog.records] == [
        "The setting probe.gone is stored, and this version knows none of that name"
    ]


def test_a_default_of_the_environment_that_is_not_accepted_stops_the_start(settings):
    settings.REGISTER_BONUS = 10**9
    with pytest.raises(ImproperlyConfigured, match="REGISTER_BONUS: It goes from 0 to 1000000"):
        live_settings.refuse_stored_settings()


def test_a_start_before_the_first_migration_goes_on():
    with on_sqlite():
        live_settings.refuse_stored_settings()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_start_without_the_database_goes_on(caplog):
    with other_parameters(port=1, timeout=0.1):
        live_settings.refuse_stored_settings()
    assert "could not be compared" in caplog.text


# --- The rules that moved -------------------------------------------------------------------------
def test_the_environment_is_the_first_default_alone(settings, staff):
    settings.REGISTER_BONUS = 77
    assert REGISTER_BONUS.value == 77
    with acting_as(staff):
        set_live(REGISTER_BONUS, 500)
        settings.REGISTER_BONUS = 78
        assert REGISTER_BONUS.value == 500
        reset(key=REGISTER_BONUS.key)
    assert REGISTER_BONUS.value == 78
