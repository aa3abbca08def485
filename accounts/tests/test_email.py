"""The e-mail of a profile: asked for, confirmed by a link, never taken from another."""

import re
import smtplib
import threading
from datetime import timedelta
from functools import partial

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.errors import EmailLinkVoid, EmailTaken
from accounts.limits import EMAIL_LINKS_A_DAY
from accounts.models import EmailLink, User, UserStatus, masked_email
from accounts.services import emails
from accounts.services.sign_in import change_status
from accounts.tests.factories import sign_in
from ops.errors import TooManyRequests
from tests.api import data_of, refusal_of
from tests.engines import queued
from tests.keys import NEW, OLD
from tests.people import make_person
from tests.races import kinds, race, without_constraint
from tests.refusals import refused

pytestmark = pytest.mark.django_db
PROFILE = "/api/user/profile"
ADDRESS = "wang@example.com"
LINK = re.compile(r"http://127\.0\.0\.1:8000(/email/[0-9]+-[0-9a-f]{32})")


@pytest.fixture(autouse=True)
def links_url(settings):
    settings.LINKS_URL = "http://127.0.0.1:8000"


@pytest.fixture
def ask(api, django_capture_on_commit_callbacks):
    """Ask for an e-mail as an app does; the letter is sent. Returns the answer."""

    def asked(email, **headers):
        waiting = len(queued())
        with django_capture_on_commit_callbacks(execute=True):
            answer = api.patch(PROFILE, {"email": email}, headers=headers)
        send_all(queued()[waiting:])
        return answer

    return asked


def send_all(calls):
    """Send what waits: links by their id, notices by what their mailbox was encrypted to."""
    for whose, language in calls:
        task = emails.send_link if isinstance(whose, int) else emails.send_notice
        task.call(whose, language)


@pytest.fixture
def open_link(django_capture_on_commit_callbacks):
    """Press the button of the link in a letter; what is to be told of it is sent."""

    def opened(letter):
        waiting = len(queued())
        with django_capture_on_commit_callbacks(execute=True):
            answer = in_a_browser().post(link_in(letter))
        send_all(queued()[waiting:])
        return answer

    return opened


def link_in(letter):
    (path,) = LINK.findall(letter.body)
    return path


def let_time_pass(**time):
    """Ask as if what was asked so far had been asked so long ago."""
    for link in EmailLink.objects.all():
        moment = link.created_at - timedelta(**time)
        EmailLink.objects.filter(pk=link.pk).update(
            created_at=moment,
            day=timezone.localdate(moment),
            expires_at=link.expires_at - timedelta(**time),
        )


def email_of(person):
    return User.objects.get(pk=person.pk).email


def in_a_browser():
    return Client(headers={"Accept-Language": "en"})


# --- Asking -------------------------------------------------------------------------------------
def test_an_address_counts_once_its_link_was_opened(api, ask):
    person = sign_in(api).person
    assert data_of(ask(ADDRESS))["email"] is None
    (letter,) = mail.outbox
    assert letter.to == [ADDRESS]
    assert data_of(api.get(PROFILE))["email"] is None
    browser = in_a_browser()
    page = browser.get(link_in(letter))
    assert page.status_code == 200
    assert "w****@example.com" in page.text
    assert ADDRESS not in page.text
    assert email_of(person) is None
    done = browser.post(link_in(letter))
    assert done.status_code == 200
    assert "w****@example.com is your e-mail address now" in done.text
    assert email_of(person) == ADDRESS
    assert data_of(api.get(PROFILE))["email"] == "w****@example.com"


def test_the_link_stands_in_one_line_of_the_letter(api, ask):
    """Also as it goes over the wire, where long lines are broken."""
    sign_in(api)
    ask(ADDRESS, **{"Accept-Language": "en"})
    (letter,) = mail.outbox
    assert LINK.findall(letter.message().as_string()) == [link_in(letter)]


def test_whoever_looks_at_a_link_does_not_use_it_up(api, ask):
    """Mail servers and apps open every link, some more than once."""
    person = sign_in(api).person
    ask(ADDRESS)
    path = link_in(mail.outbox[0])
    for _time in range(3):
        assert in_a_browser().get(path).status_code == 200
        assert in_a_browser().head(path).status_code == 200
    assert email_of(person) is None
    assert in_a_browser().post(path).status_code == 200
    assert email_of(person) == ADDRESS


def test_the_page_needs_no_cookie_and_no_script_and_is_kept_by_nobody(api, ask):
    sign_in(api)
    ask(ADDRESS)
    strict = Client(enforce_csrf_checks=True)
    page = strict.get(link_in(mail.outbox[0]))
    assert not page.cookies
    assert "<script" not in page.text
    assert 'method="post"' in page.text
    assert page["Cache-Control"] == "no-store"
    assert page["Referrer-Policy"] == "no-referrer"
    assert strict.post(link_in(mail.outbox[0])).status_code == 200


@pytest.mark.parametrize(
    ("language", "subject"),
    [("en", "Confirm your e-mail address"), ("zh-hans", None)],
)
def test_the_letter_is_in_the_language_of_who_asked(api, ask, language, subject):
    sign_in(api)
    ask(ADDRESS, **{"Accept-Language": language})
    (letter,) = mail.outbox
    assert subject in (None, letter.subject)
    assert link_in(letter)


def test_the_address_is_kept_as_it_was_written_but_for_its_host(api, ask):
    person = sign_in(api).person
    ask(" Wang.Li@EXAMPLE.com ")
    in_a_browser().post(link_in(mail.outbox[0]))
    assert email_of(person) == "Wang.Li@example.com"


@pytest.mark.parametrize(
    "email",
    ["", " ", "wang", "wang@", "@example.com", "a@b", "a@b.c\nBcc: x@y.z", "a b@example.com",
     "x" * 250 + "@example.com", 5, True, ["a@b.cn"], {}, "a\u0000@example.com"],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_address_is_1011_and_changes_nothing(api, ask, email):
    sign_in(api)
    assert list(refused(ask(email), 1011)) == ["email"]
    assert not EmailLink.objects.exists()
    assert mail.outbox == []


def test_a_wrong_address_leaves_the_nickname_as_it_was(api):
    person = sign_in(api).person
    refused(api.patch(PROFILE, {"nickname": "Other", "email": "x"}), 1011)
    assert User.objects.get(pk=person.pk).nickname == person.nickname


def test_both_change_or_neither_does(api, ask):
    person = sign_in(api).person
    ask(ADDRESS)
    refused(api.patch(PROFILE, {"nickname": "Other", "email": "other@example.com"}), 1013)
    assert User.objects.get(pk=person.pk).nickname == person.nickname
    let_time_pass(minutes=1)
    data_of(api.patch(PROFILE, {"nickname": "Other", "email": "other@example.com"}))
    assert User.objects.get(pk=person.pk).nickname == "Other"
    assert EmailLink.objects.count() == 2


def test_where_no_letter_can_be_sent_nobody_is_told_that_one_was(api, ask, settings):
    sign_in(api)
    settings.LINKS_URL = ""
    assert list(refused(ask(ADDRESS), 1011)) == ["email"]
    assert not EmailLink.objects.exists()


# --- The link -----------------------------------------------------------------------------------
def void(path):
    """Whether a link does nothing any more, looked at and used."""
    before = list(User.objects.order_by("pk").values_list("email", flat=True))
    answers = {in_a_browser().get(path).status_code, in_a_browser().post(path).status_code}
    assert list(User.objects.order_by("pk").values_list("email", flat=True)) == before
    return answers == {404}


def test_a_link_works_once(api, ask):
    sign_in(api)
    ask(ADDRESS)
    path = link_in(mail.outbox[0])
    in_a_browser().post(path)
    assert void(path)


def test_a_link_is_good_for_a_day(api, ask):
    person = sign_in(api).person
    ask(ADDRESS)
    path = link_in(mail.outbox[0])
    let_time_pass(hours=23, minutes=59)
    assert in_a_browser().get(path).status_code == 200
    let_time_pass(minutes=1)
    assert void(path)
    assert email_of(person) is None


def test_the_newest_link_of_a_person_is_the_only_one(api, ask):
    person = sign_in(api).person
    ask(ADDRESS)
    let_time_pass(minutes=1)
    ask("other@example.com")
    first, second = map(link_in, mail.outbox)
    assert void(first)
    in_a_browser().post(second)
    assert email_of(person) == "other@example.com"
    assert void(first)


def test_a_link_cannot_be_replayed_after_the_address_changed(api, ask):
    person = sign_in(api).person
    for email in (ADDRESS, "other@example.com"):
        ask(email)
        in_a_browser().post(link_in(mail.outbox[-1]))
        let_time_pass(minutes=1)
    assert email_of(person) == "other@example.com"
    assert all(void(link_in(letter)) for letter in mail.outbox)


def test_an_address_that_was_removed_comes_back_by_no_link(api, ask):
    person = sign_in(api).person
    ask(ADDRESS)
    assert data_of(ask(None))["email"] is None
    assert void(link_in(mail.outbox[0]))
    let_time_pass(minutes=1)
    ask(ADDRESS)
    in_a_browser().post(link_in(mail.outbox[1]))
    assert email_of(person) == ADDRESS
    assert data_of(ask(None))["email"] is None
    assert email_of(person) is None
    assert all(void(link_in(letter)) for letter in mail.outbox[:2])


def test_the_address_that_somebody_has_needs_no_link(api, ask):
    person = sign_in(api).person
    ask(ADDRESS)
    in_a_browser().post(link_in(mail.outbox[0]))
    assert data_of(ask(ADDRESS))["email"] == "w****@example.com"
    assert len(mail.outbox) == 1
    assert email_of(person) == ADDRESS


def test_a_link_is_bound_to_its_address_and_its_person(api, ask):
    """Whoever changes a row in the database makes no link of it."""
    sign_in(api)
    ask(ADDRESS)
    path = link_in(mail.outbox[0])
    link = EmailLink.objects.get()
    EmailLink.objects.update(email="other@example.com")
    assert void(path)
    EmailLink.objects.update(email=ADDRESS, person=make_person())
    assert void(path)
    EmailLink.objects.update(person=link.person_id)
    assert in_a_browser().get(path).status_code == 200


@pytest.mark.parametrize(
    "forge",
    [
        lambda path: path[:-1] + ("0" if path[-1] != "0" else "1"),
        lambda path: path[:-32],
        lambda path: path + "0",
        lambda path: re.sub(r"/email/([0-9]+)", lambda m: f"/email/{int(m[1]) + 1}", path),
        lambda path: re.sub(r"/email/[0-9]+", "/email/0", path),
        lambda path: re.sub(r"/email/[0-9]+", "/email/x", path),
        lambda path: re.sub(r"-.*", "-é" * 32, path),
        lambda _path: "/email/x",
        lambda _path: "/email/1",
    ],
    ids=["changed", "cut", "longer", "another", "zero", "no number", "not ascii", "word", "id"],
)
def test_what_is_no_link_is_404(api, ask, forge):
    sign_in(api)
    ask(ADDRESS)
    assert void(forge(link_in(mail.outbox[0])))


def test_the_link_of_a_closed_account_is_void(api, ask):
    person = sign_in(api).person
    ask(ADDRESS)
    change_status(person=person, status=UserStatus.BANNED)
    assert void(link_in(mail.outbox[0]))


def test_a_link_outlives_a_new_key_and_ends_with_its_own(api, ask, settings):
    person = sign_in(api).person
    settings.HASH_KEYS = [OLD]
    ask(ADDRESS)
    path = link_in(mail.outbox[0])
    settings.HASH_KEYS = [NEW]
    assert void(path)
    settings.HASH_KEYS = [NEW, OLD]
    assert in_a_browser().post(path).status_code == 200
    assert email_of(person) == ADDRESS


# --- Another's ----------------------------------------------------------------------------------
@pytest.mark.parametrize("written", [ADDRESS, "WANG@Example.com"])
def test_another_s_address_is_refused_and_nobody_is_told_that_it_exists(api, ask, written):
    """The answer for one that is taken is the answer for one that is free."""
    owner, thief = make_person(email=ADDRESS), sign_in(api).person
    taken = ask(written)
    let_time_pass(minutes=1)
    free = ask("free@example.com")
    assert data_of(taken) == data_of(free)
    to_owner, to_thief = mail.outbox
    assert to_owner.to[0].lower() == ADDRESS
    assert LINK.findall(str(to_owner.body)) == []
    assert LINK.findall(str(to_thief.body))
    assert (email_of(owner), email_of(thief)) == (ADDRESS, None)


def test_who_asked_for_another_s_address_first_does_not_get_it_later(api, ask):
    """It was free when the letter was written."""
    thief = sign_in(api).person
    ask(ADDRESS)
    owner = make_person(email="WANG@example.com")
    answer = in_a_browser().post(link_in(mail.outbox[0]))
    assert answer.status_code == 400
    assert "belongs to another account" in answer.text
    assert (email_of(owner), email_of(thief)) == ("WANG@example.com", None)
    assert EmailLink.objects.open(timezone.now()).count() == 1, "refused: nothing was changed"


def test_an_address_is_one_person_s_in_whatever_case_it_is_written():
    make_person(email=ADDRESS)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_person(email="WANG@EXAMPLE.COM")
    make_person(email=None)
    make_person(email=None)


def prepared(number):
    """So many people with a link to the same mailbox, none of them opened yet."""
    tokens = []
    for count in range(number):
        person = make_person()
        emails.ask_link(person_id=person.pk, email=ADDRESS if count % 2 else ADDRESS.upper())
        link = EmailLink.objects.get(person=person)
        tokens.append(link_in(emails._letter_with(link)).removeprefix("/email/"))
    return tokens


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_who_confirm_one_address_at_once_one_gets_it():
    outcomes = race([partial(emails.confirm, token=token) for token in prepared(5)])
    assert kinds(outcomes) == {User: 1, EmailTaken: 4}
    assert User.objects.exclude(email=None).count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_constraint_all_of_them_get_it():
    tokens = prepared(5)
    with without_constraint(User, "user_email_of_one_person"):
        outcomes = race([partial(emails.confirm, token=token) for token in tokens])
        assert kinds(outcomes) == {User: 5}
        assert User.objects.exclude(email=None).count() == 5


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_link_that_is_opened_many_times_at_once_is_used_once():
    (token,) = prepared(1)
    outcomes = race([partial(emails.confirm, token=token)] * 8)
    assert kinds(outcomes) == {User: 1, EmailLinkVoid: 7}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_link_meets_the_one_that_replaces_it_and_only_one_of_them_counts():
    (token,) = prepared(1)
    person = EmailLink.objects.get().person
    let_time_pass(minutes=1)
    other = partial(emails.ask_link, person_id=person.pk, email="other@example.com")
    used, asked = race([partial(emails.confirm, token=token), other])
    assert asked is None
    is_used = isinstance(used, User)
    assert is_used or isinstance(used, EmailLinkVoid)
    assert email_of(person) == (ADDRESS.upper() if is_used else None)
    assert EmailLink.objects.open(timezone.now()).get().email == "other@example.com"


# --- How often ----------------------------------------------------------------------------------
def test_a_minute_is_between_two_links(api, ask):
    sign_in(api)
    ask(ADDRESS)
    answer = refusal_of(ask("other@example.com"))
    assert (answer.status, answer.code) == (429, 1013)
    assert len(mail.outbox) == 1
    assert in_a_browser().get(link_in(mail.outbox[0])).status_code == 200, "and the first stays"
    let_time_pass(seconds=61)
    data_of(ask("other@example.com"))


def test_a_person_gets_five_links_a_day(api, ask):
    sign_in(api)
    for number in range(EMAIL_LINKS_A_DAY):
        data_of(ask(f"number{number}@example.com"))
        EmailLink.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    refused(ask("last@example.com"), 1013)
    assert len(mail.outbox) == EMAIL_LINKS_A_DAY
    let_time_pass(days=1)
    data_of(ask("last@example.com"))


def test_a_mailbox_gets_five_letters_a_day_whoever_asks(api, ask):
    for number in range(EMAIL_LINKS_A_DAY):
        sign_in(api)
        data_of(ask(ADDRESS if number % 2 else ADDRESS.upper()))
    sign_in(api)
    refused(ask(ADDRESS), 1013)
    assert len(mail.outbox) == EMAIL_LINKS_A_DAY
    data_of(ask("other@example.com"))


def ask_for_one_mailbox_at_once(number):
    """So many people, none of whom writes before all of them have counted."""
    all_have_counted = threading.Barrier(number)

    def wait(execute, sql, *more):
        if sql.startswith("INSERT") and EmailLink._meta.db_table in sql:
            all_have_counted.wait(30)
        return execute(sql, *more)

    def attempt(person):
        with connection.execute_wrapper(wait):
            emails.ask_link(person_id=person.pk, email=ADDRESS)

    return race([partial(attempt, make_person()) for _ in range(number)])


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_who_ask_for_one_mailbox_at_once_one_gets_through():
    outcomes = ask_for_one_mailbox_at_once(10)
    assert kinds(outcomes) == {type(None): 1, TooManyRequests: 9}
    assert EmailLink.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_constraint_all_of_them_do():
    with without_constraint(EmailLink, "emaillink_one_at_a_time"):
        assert kinds(ask_for_one_mailbox_at_once(10)) == {type(None): 10}


# --- The mailbox that was somebody's before -------------------------------------------------------
OTHER = "other@example.com"


def test_the_old_mailbox_is_told_and_the_log_says_so(api, ask, open_link, caplog):
    person = sign_in(api).person
    ask(ADDRESS)
    open_link(mail.outbox[0])
    assert len(mail.outbox) == 1  # the first address takes the place of none
    let_time_pass(minutes=1)
    caplog.clear()
    ask(OTHER)
    assert len(mail.outbox) == 2  # that somebody asked changes nothing yet
    assert "email_changed" not in caplog.text
    open_link(mail.outbox[1])
    notice = mail.outbox[2]
    assert notice.to == [ADDRESS]
    assert notice.subject == "Your e-mail address was changed"
    assert OTHER not in notice.body
    assert email_of(person) == OTHER
    assert '"event": "email_changed"' in caplog.text
    assert f'"person_id": {person.pk}' in caplog.text
    assert "@example.com" not in caplog.text


def test_who_removes_an_address_is_told_there_as_well(api, ask, open_link, caplog):
    sign_in(api)
    ask(ADDRESS)
    open_link(mail.outbox[0])
    data_of(ask(None, **{"Accept-Language": "en"}))
    assert mail.outbox[-1].to == [ADDRESS]
    assert mail.outbox[-1].subject == "Your e-mail address was changed"
    assert '"event": "email_removed"' in caplog.text
    sent = len(mail.outbox)
    data_of(ask(None))  # there is none any more
    assert len(mail.outbox) == sent


def test_the_same_address_in_another_case_is_no_other_mailbox(api, ask, open_link):
    person = sign_in(api).person
    ask(ADDRESS)
    open_link(mail.outbox[0])
    let_time_pass(minutes=1)
    ask(ADDRESS.capitalize())
    open_link(mail.outbox[1])
    assert email_of(person) == ADDRESS.capitalize()
    assert len(mail.outbox) == 2


def test_the_queue_holds_no_address(api, ask, django_capture_on_commit_callbacks):
    sign_in(api)
    ask(ADDRESS)
    in_a_browser().post(link_in(mail.outbox[0]))
    with django_capture_on_commit_callbacks(execute=True):
        data_of(api.patch(PROFILE, {"email": None}))
    encrypted, _language = queued()[-1]
    assert "example.com" not in encrypted


def test_a_notice_that_is_lost_takes_nothing_back(api, ask, open_link, settings, caplog):
    person = sign_in(api).person
    ask(ADDRESS)
    open_link(mail.outbox[0])
    let_time_pass(minutes=1)
    ask(OTHER)
    settings.MAILERS = {"default": {"BACKEND": f"{__name__}.AwayBackend"}}
    assert open_link(mail.outbox[1]).status_code == 200
    assert email_of(person) == OTHER
    assert "A letter was not sent: SMTPRecipientsRefused" in caplog.text
    assert "@example.com" not in caplog.text


# --- Sending ------------------------------------------------------------------------------------
class AwayBackend(EmailBackend):
    """A mail server that takes nothing, and names the address when it says so."""

    def send_messages(self, messages):
        raise smtplib.SMTPRecipientsRefused({to: (550, b"no") for one in messages for to in one.to})


def test_a_server_that_is_away_is_logged_without_the_address(api, ask, settings, caplog):
    person = sign_in(api).person
    settings.MAILERS = {"default": {"BACKEND": f"{__name__}.AwayBackend"}}
    data_of(ask(ADDRESS))
    assert "A letter was not sent: SMTPRecipientsRefused" in caplog.text
    assert "wang" not in caplog.text
    assert email_of(person) is None


def test_a_link_that_was_replaced_before_its_letter_left_is_not_sent():
    person = make_person()
    emails.ask_link(person_id=person.pk, email=ADDRESS)
    link = EmailLink.objects.get()
    emails.remove(person_id=person.pk)
    emails.send_link.func(link.pk, "en")
    emails.send_link.func(link.pk + 1, "en")
    assert mail.outbox == []


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("wang@example.com", "w****@example.com"),
        ("abc@example.com", "a****@example.com"),
        ("ab@example.com", "****@example.com"),
        ("a@example.com", "****@example.com"),
    ],
)
def test_of_an_address_one_letter_and_the_host_are_shown(address, shown):
    assert masked_email(address) == shown
    assert User(email=address).masked_email == shown
    now = timezone.now()
    assert str(EmailLink(email=address, created_at=now)).startswith(f"{shown} ")


def test_old_links_are_forgotten():
    person = make_person()
    emails.ask_link(person_id=person.pk, email=ADDRESS)
    let_time_pass(days=29)
    assert emails.forget_old(now=timezone.now()) == 0
    let_time_pass(days=1)
    assert emails.forget_old(now=timezone.now()) == 1
    assert not EmailLink.objects.exists()
