"""What a nickname may be, wherever one is written."""

import unicodedata

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import translation

from accounts.models import User, UserStatus, check_nickname, tidy_nickname
from accounts.models.nicknames import DIRECTION_MARKS
from accounts.services import sign_in as service
from accounts.services.sign_in import change_status
from accounts.tests.factories import sign_in
from tests.api import data_of
from tests.console import fill_in
from tests.people import make_person
from tests.refusals import refused

pytestmark = pytest.mark.django_db

CONTROLS = [
    *(f"a{mark}b" for mark in sorted(DIRECTION_MARKS)),
    *("a\nb", "a\rb", "a\tb", "a\x1bb", "a\x7fb", "a\x85b", "a\x9fb", "a\u2028b", "a\u2029b"),
    "\u202ename",
    "name\u200f",
]
UNSEEN = [
    "\u200b", "\u200c\u200d", "\ufeff", "\u2060\u00ad", "\u200b \u3000 \u200b", "\ufe0f",
    "\u200d\ufe0f\u200d", "\u034f", "\u0301", "\u180e", "\u3164", "\uffa0", "\u115f\u1160",
    "\u2800\u2800", "\U000e0041", "\U000e0100",
]  # fmt: skip
SEEN = [
    "小王", "小 王", "Anne-Marie O’Neil", "José", "👍🏽", "❤️", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇨🇳", "1️⃣",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "می\u200cخواهم", "क्\u200dष", "葛\U000e0100", "小\u200b王", "محمد", "。", "x" * 40,
]  # fmt: skip


def patch(api, nickname):
    return api.patch("/api/user/profile", {"nickname": nickname}, format="json")


def nickname_of(person):
    return User.objects.values_list("nickname", flat=True).get(pk=person.pk)


def test_there_are_twelve_marks_of_direction():
    names = {unicodedata.name(mark).split()[-1] for mark in DIRECTION_MARKS}
    assert names == {"EMBEDDING", "OVERRIDE", "FORMATTING", "ISOLATE", "MARK"}
    assert len(DIRECTION_MARKS) == 12


# --- The API ------------------------------------------------------------------------------------
@pytest.mark.parametrize("nickname", CONTROLS, ids=ascii)
def test_controls_and_marks_of_direction_are_1011_and_change_nothing(api, nickname):
    person = sign_in(api).person
    api.credentials(**api._credentials, HTTP_ACCEPT_LANGUAGE="en")
    assert refused(patch(api, nickname), 1011) == {
        "nickname": [
            "Leave out line breaks, control characters and marks of the direction of writing."
        ]
    }
    assert nickname_of(person) == person.nickname


@pytest.mark.parametrize("nickname", UNSEEN, ids=ascii)
def test_what_shows_nothing_is_1011_and_changes_nothing(api, nickname):
    person = sign_in(api).person
    api.credentials(**api._credentials, HTTP_ACCEPT_LANGUAGE="en")
    assert refused(patch(api, nickname), 1011) == {
        "nickname": ["Use at least one character that can be seen."]
    }
    assert nickname_of(person) == person.nickname


@pytest.mark.parametrize("nickname", SEEN, ids=ascii)
def test_names_of_people_and_emoji_stay_as_they_are(api, nickname):
    person = sign_in(api).person
    assert data_of(patch(api, nickname))["nickname"] == nickname == nickname_of(person)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("  王\u3000", "王"), ("小王\n", "小王"), ("Jose\u0301", "Jos\u00e9"), ("\u212b", "\u00c5")],
    ids=ascii,
)
def test_a_nickname_is_kept_tidy(api, sent, kept):
    person = sign_in(api).person
    assert data_of(patch(api, sent))["nickname"] == kept == nickname_of(person)


@pytest.mark.parametrize(
    ("sent", "is_taken"),
    [("e\u0301" * 40, True), ("\u0958" * 20, True), ("\u0958" * 21, False)],
    ids=["shorter", "longer", "too long"],
)
def test_the_length_is_that_of_what_is_kept(api, sent, is_taken):
    """The normal form of a text may be half as long as it, or twice."""
    person = sign_in(api).person
    answer = patch(api, sent)
    if is_taken:
        assert data_of(answer)["nickname"] == unicodedata.normalize("NFC", sent)
    else:
        assert list(refused(answer, 1011)) == ["nickname"]
        assert nickname_of(person) == person.nickname


# --- The first sign-in --------------------------------------------------------------------------
@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_the_nickname_of_a_new_account_follows_the_rule(language):
    with translation.override(language):
        nickname = service.sign_in_by_code(
            phone="13800138001", code="123456", device=service.Device(address="127.0.0.1")
        ).person.nickname
    check_nickname(nickname)
    assert nickname == tidy_nickname(nickname)
    assert nickname.endswith("8001")


# --- The console --------------------------------------------------------------------------------
@pytest.fixture
def console(client):
    client.force_login(User.objects.create_superuser("admin", "s3cret-s3cret"))
    return client


def form_of_person(person):
    return reverse("admin:accounts_user_change", args=[person.pk])


@pytest.mark.parametrize("nickname", ["a\u202eb", "a\tb", "\u200b", "\u3164"], ids=ascii)
def test_the_form_of_a_person_refuses_it_as_well(console, nickname):
    person = make_person()
    answer = fill_in(console, form_of_person(person), nickname=nickname, daily_upload_quota="7")
    assert list(answer.context["adminform"].form.errors) == ["nickname"]
    assert nickname_of(person) == person.nickname
    assert User.objects.get(pk=person.pk).daily_upload_quota is None


@pytest.mark.parametrize(
    ("entered", "kept"), [("  Jose\u0301 ", "Jos\u00e9"), ("   ", ""), ("👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦")]
)
def test_the_form_of_a_person_keeps_it_tidy(console, entered, kept):
    person = make_person()
    assert fill_in(console, form_of_person(person), nickname=entered).status_code == 302
    assert nickname_of(person) == kept


# --- Nicknames from before the rule ---------------------------------------------------------------
def test_a_form_with_an_older_nickname_asks_for_another_one(console):
    """Whatever else is changed in it; both go together."""
    person = make_person(nickname="a\u202eb")
    form = form_of_person(person)
    answer = fill_in(console, form, daily_upload_quota="7")
    assert list(answer.context["adminform"].form.errors) == ["nickname"]
    assert User.objects.get(pk=person.pk).daily_upload_quota is None
    assert fill_in(console, form, daily_upload_quota="7", nickname="ab").status_code == 302
    assert User.objects.get(pk=person.pk).daily_upload_quota == 7


def test_an_older_nickname_stops_neither_a_sign_in_nor_an_action(api):
    person = make_person(nickname="a\u202eb")
    sign_in(api, person)
    assert data_of(api.get("/api/user/profile"))["nickname"] == "a\u202eb"
    change_status(person=person, status=UserStatus.BANNED)
    assert nickname_of(person) == "a\u202eb"


def test_the_rule_is_the_models():
    with pytest.raises(ValidationError) as refusal:
        User(username="somebody", password="x", nickname="a\u2066b").full_clean()
    assert list(refusal.value.message_dict) == ["nickname"]
