"""What the console handler writes: no phones, tokens and codes, and all the rest as it was said."""

import io
import json
import logging
import logging.config
import subprocess
import sys
import time
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import IntegrityError, connection, transaction

from accounts.console_session import COOKIE
from accounts.models import User
from accounts.services import sign_in, tokens
from catalog.services.exchange_codes import new_exchange_code
from lottery.models.draws import new_draw_id
from ops import masking, request_id, security_log
from ops.services import key_ring
from ops.services.encryption import encrypt, keyed_hash
from tests.people import make_person

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiNSJ9.Hk9-gZ_w3kq"


logger = logging.getLogger("probe")


@pytest.fixture
def handler():
    """The console handler of the settings, with a buffer to write to."""
    settings: Any = django_settings.LOGGING
    configured = logging.config.DictConfigurator(settings)
    console = logging.StreamHandler(io.StringIO())
    facts = settings["handlers"]["console"]
    for name in facts["filters"]:
        console.addFilter(configured.configure_filter(dict(settings["filters"][name])))
    console.setFormatter(
        configured.configure_formatter(dict(settings["formatters"][facts["formatter"]]))
    )
    return console


@pytest.fixture
def log(handler):
    """What that handler writes of all that is logged."""
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler.stream
    root.removeHandler(handler)


def record_of(message, *values):
    """A record that reaches no handler but the one that it is given to."""
    return logger.makeRecord("probe", logging.ERROR, "f", 1, message, values, None)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        # By its look.
        ("sent to 13800138001", "sent to 138****8001"),
        ("sent to +8613800138001.", "sent to 138****8001."),
        ("sent to +86 13800138001", "sent to 138****8001"),
        ("q=%2B8613800138001&", "q=%2B138****8001&"),
        ("q=%2b8613800138001&", "q=%2b138****8001&"),
        ("发往13800138001的短信", "发往138****8001的短信"),
        ("user13800138001 came", "user138****8001 came"),
        ("13800138001,13900139002", "138****8001,139****9002"),
        (f"got {JWT} here", "got *** here"),
        (f"['bearer', '{JWT}']", "['bearer', '***']"),
        ("header Bearer abcdefgh12345678", "header Bearer ***"),
        ("header bearer 0123456789abcdef", "header bearer ***"),
        ("postgres://points:hunter2@db/points", "postgres://***@db/points"),
        ("redis://:hunter2@cache:6379/0", "redis://***@cache:6379/0"),
        ("postgresql://u:p@ss@h/db", "postgresql://***@h/db"),
        ("sent to 008613800138001", "sent to 138****8001"),
        ("sent to +86 138 0013 8001.", "sent to 138****8001."),
        ("sent to 138-0013-8001", "sent to 138****8001"),
        # By the name of a column.
        ("phone=021-55555555 came", "phone=*** came"),
        ("nickname=Li", "nickname=***"),
        ("exchange_code: ABCD-EFGH-JKMN", "exchange_code: ***"),
        ("{'code': '123456'}", "{'code': '***'}"),
        ('{"nickname": "Li \\"Big\\" Wang", "n": 1}', '{"nickname": "***", "n": 1}'),
        ("wechat_openid='o-1', n=1", "wechat_openid=***, n=1"),
        ("device_info={'model': 'x', 'os': 'y'} n=1", "device_info=*** n=1"),
        ("user_agent='Firefox', ip_address='::1'", "user_agent=***, ip_address=***"),
        ("server_seed_encrypted=abc:def", "server_seed_encrypted=***"),
        ("client_seed => 'mine'", "client_seed => ***"),
        # By the name of a parameter, a header, a setting.
        ("token=abc", "token=***"),
        ("GET /x?page=2&token=abc&size=5", "GET /x?page=2&token=***&size=5"),
        ('{"refresh_token": "abc"}', '{"refresh_token": "***"}'),
        ("access_token = 'abc'", "access_token = ***"),
        ("Authorization: Basic abc=", "Authorization: ***"),
        ("Authorization: Bearer abc", "Authorization: ***"),
        ("PASSWORD=hunter2", "PASSWORD=***"),
        ("new_password1=hunter2&x=1", "new_password1=***&x=1"),
        ("--password=hunter2", "--password=***"),
        ("METRICS_TOKEN=abc", "METRICS_TOKEN=***"),
        ("Idempotency-Key: k-1", "Idempotency-Key: ***"),
        ("server_seed=00ff", "server_seed=***"),
        ("SECRET_KEY=django-insecure", "SECRET_KEY=***"),
        ("FIELD_ENCRYPTION_KEYS=['1:abc', '2:def'] n=1", "FIELD_ENCRYPTION_KEYS=*** n=1"),
        ("HASH_KEYS=1:abc TOKEN_KEYS=1:abc", "HASH_KEYS=*** TOKEN_KEYS=***"),
        ("api_key=abc X-Api-Key: abc", "api_key=*** X-Api-Key: ***"),
        ("pwd=hunter2", "pwd=***"),
        ("code=500123 code: 123456.", "code=*** code: ***"),
        ("code=ABCD", "code=***"),
        ('codes=["VIRT-1"] n=1', "codes=*** n=1"),
        ("key='k-1' answer=\"yes\"", "key=*** answer=***"),
        ("key=01936b1e-7c3a-7d2f", "key=***"),
        ("{'key': 5, 'answer': {'a': 1}}", "{'key': '***', 'answer': '***'}"),
        ("answer: {'phone': '021-555'}", "answer: {'phone': '***'}"),
        (
            "<QueryDict: {'code': ['123456'], 'n': ['1']}>",
            "<QueryDict: {'code': '***', 'n': ['1']}>",
        ),
        (r'"{\"code\": \"123456\", \"n\": 1}"', r'"{\"code\": \"***\", \"n\": 1}"'),
        ('b\'{"code": "123456"}\'', 'b\'{"code": "***"}\''),
        ("cut off: 'code': '1234", "cut off: 'code': '***'"),
        # As PostgreSQL says it.
        ("Key (phone)=(13800138001) already exists.", "Key (phone)=(***) already exists."),
        (
            "Key (owner_id, path, key)=(5, /api/x, k-1) already exists.",
            "Key (owner_id, path, key)=(***) already exists.",
        ),
        (
            "DETAIL:  Failing row contains (5, o-1, Li (Big), null).",
            "DETAIL:  Failing row contains (***).",
        ),
        ("Failing row contains (5, one\nand two, null).", "Failing row contains (***)."),
    ],
)
def test_what_is_sensitive_is_masked(text, masked):
    assert masking.mask(text) == masked
    assert masking.mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET /api/points/list?page=2&size=20 200",
        "Sealed the ledgers of 2026-01-31",
        "Process 12345678901 of receipt 98765 failed",  # 11 digits, and no phone
        "at 1700000000.123456789, 1769832300123 ms, 20260131040500",
        "person 5 has 13800138001.50 points, 0.17345678901 of all",
        "balance_after=1000 points=-500 sequence=17",
        "amount: 138.00 yuan",
        "status_code=200 error_code: 1002 zip_code: 200000",
        "keys=3 tokens=5 phones: none",
        "exit code: 1, exit code=137; HTTP status code: 500",
        "code=5001 {'code': 1002, \"code\": 40004}",
        "key: value, answer: {...} codes: none",
        "answer: {'a': 1} key=5",
        "draw 0193a138-0013-8001-8a13-0b8001380012",
        "code=None, token=null, 'phone': None, is_phone: True",
        "the key is gone; the code was sent; a token ended",
        "bearer of good news",
        "Key (user_id, sequence)=(5, 17) already exists.",
        'duplicate key value violates unique constraint "accounts_user_phone_key"',
        "request 0123456789abcdef0123456789abcdef",
        "request a13800138001b5c6d7e8f90123456789",  # a digest with a phone's digits in it
        f"sha256 {'13800138001a' * 5}beef",
        "draw 01936b1e-7c3a-7d2f-8a13-138001380012",
        "http://127.0.0.1:8000/api/user@home",
        "2026-01-31T04:05:06.789012+08:00",
        'File "/srv/accounts/services/sign_in_codes.py", line 85, in ask_code',
        "<Task pending name='Task-1' coro=<main()>>",
        "50% of 10 {not: a format} \\ \n\ttabs",
        "卡密 的 码 没有了",
    ],
)
def test_what_is_not_is_left_alone(text):
    assert masking.mask(text) == text


def test_ids_and_hashes_of_the_platform_are_left_alone():
    for number in range(200):
        text = f"{new_draw_id()} {keyed_hash('x', str(number))} {key_ring.newest('hash').id}"
        assert masking.mask(text) == text


@pytest.mark.django_db
def test_tokens_and_ciphertexts_of_the_platform_are_known_by_their_look():
    person = make_person(phone="13800138001")
    signed = sign_in.sign_in_by_code(
        phone="13800138001", code="123456", device=sign_in.Device(address="127.0.0.1")
    )
    secrets = [signed.pair.access_token, signed.pair.refresh_token, encrypt("code")]
    for secret in secrets:
        assert secret.split(":")[-1] not in masking.mask(f"it was {secret} then")
    assert tokens.read_access(secrets[0]).person_id == person.pk


def test_a_name_is_hidden_as_it_is_masked():
    hidden = ["phone", "Authorization", "X-Auth-Token", "new_password2", "code", "Idempotency-Key"]
    shown = ["name", "path", "status_code", "tokens", "", "page", "request_id", "points_hash"]
    assert [name for name in hidden if not masking.hides(name)] == []
    assert [name for name in shown if masking.hides(name)] == []


def test_every_cookie_that_opens_something_is_hidden(settings):
    """The other one that the platform sets names a language."""
    cookies = (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, COOKIE)
    for name in cookies:
        assert masking.hides(name), name
    sent = "; ".join(f"{name}=v4lue-{name}" for name in (*cookies, settings.LANGUAGE_COOKIE_NAME))
    told = masking.mask(f"Cookie: {sent}")
    kept = [name for name in (*cookies, settings.LANGUAGE_COOKIE_NAME) if f"v4lue-{name}" in told]
    assert kept == [settings.LANGUAGE_COOKIE_NAME]


# --- In the log -----------------------------------------------------------------------------------
def test_a_line_is_masked_with_its_arguments(log):
    logger.warning("%s asked, body %r", "13800138001", {"code": "123456", "n": 1})
    assert log.getvalue().endswith(
        " WARNING probe [-] 138****8001 asked, body {'code': '***', 'n': 1}\n"
    )


def test_a_line_of_a_mapping_is_masked(log):
    logger.warning("%(code)s for %(phone)s", {"code": 5, "phone": "13800138001"})
    assert log.getvalue().endswith("5 for 138****8001\n")


def test_a_line_without_any_is_written_as_it_is(log):
    token = request_id.current.set("0123456789abcdef0123456789abcdef")
    logger.warning("%d%% of %s", 50, "all")
    request_id.current.reset(token)
    assert log.getvalue().endswith(" WARNING probe [0123456789abcdef0123456789abcdef] 50% of all\n")


def test_the_security_log_stays_readable(log):
    with_level = logging.getLogger("security")
    assert with_level.isEnabledFor(logging.INFO)
    security_log.note("sign_in", person_id=5, shop_id=7, address="10.0.0.1")
    line = log.getvalue().split("] ", 1)[1]
    told = json.loads(line)
    assert (told["event"], told["person_id"], told["shop_id"]) == ("sign_in", 5, 7)
    assert told["address"] == "10.0.0.1"


def test_what_an_exception_says_is_masked_and_its_source_is_not(log):
    def sign_in(code):
        raise ValueError(f"code={code}, phone 13800138001")

    try:
        try:
            sign_in(code="1" * 6)
        except ValueError as error:
            raise LookupError("password=hunter2") from error
    except LookupError:
        logger.exception("It failed")

    written = log.getvalue()
    assert "ValueError: code=***, phone 138****8001\n" in written
    assert written.endswith("LookupError: password=***\n")
    assert 'sign_in(code="1" * 6)' in written, "the source stays readable"
    assert "111111" not in written
    assert "The above exception was the direct cause" in written


def test_exceptions_in_a_group_are_masked(log):
    def fail(*failures):
        raise ExceptionGroup("both", failures)

    try:
        fail(ValueError("token=abc"), ValueError("13800138001"))
    except ExceptionGroup:
        logger.exception("It failed")
    written = log.getvalue()
    assert "ValueError: token=***" in written
    assert "ValueError: 138****8001" in written


def test_a_stack_is_masked(log):
    logger.warning("Here", stack_info=True)
    assert 'logger.warning("Here", stack_info=True)' in log.getvalue()
    record = record_of("Here")
    record.stack_info = "Stack:\n  13800138001"
    logger.handle(record)
    assert log.getvalue().endswith("Stack:\n  138****8001\n")


def test_other_handlers_get_the_record_as_it_was(log, caplog):
    try:
        int("13800138001.")
    except ValueError:
        logger.exception("%s", "13800138001")
    (record,) = caplog.records
    assert record.args == ("13800138001",)
    assert caplog.text.count("13800138001") >= 2
    assert "13800138001" not in log.getvalue()


def test_a_trace_that_another_handler_wrote_is_masked_as_well(log):
    record = record_of("It failed")
    record.exc_text = "ValueError: token=abc"
    logger.handle(record)
    assert log.getvalue().endswith("It failed\nValueError: token=***\n")


class Unprintable:
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("%d things of 13800138001", ("x",)),
        ("%s %s of 13800138001", ("one",)),
        ("%s of 13800138001", (Unprintable(),)),
    ],
)
def test_a_line_that_does_not_fit_its_values_is_written_without_them(handler, message, values):
    handler.handle(record_of(message, *values))
    assert handler.stream.getvalue().endswith(
        f"[-] {message.replace('13800138001', '138****8001')}\n"
    )


def test_a_line_that_cannot_be_masked_is_left_out(handler):
    record = record_of(Unprintable())
    record.stack_info = "13800138001"
    handler.handle(record)
    assert handler.stream.getvalue().endswith("[-] A line that could not be masked was left out.\n")


def test_an_exception_about_nothing_is_no_exception(log):
    logger.error("No exception here", exc_info=True)  # noqa: LOG014  that is the case
    assert log.getvalue().endswith("No exception here\nNoneType: None\n")


@pytest.mark.django_db
def test_the_echo_of_sql_names_no_values(log, settings):
    settings.DEBUG = True
    connection.force_debug_cursor = True
    echo = logging.getLogger("django.db.backends")
    before = echo.level
    echo.setLevel(logging.DEBUG)
    try:
        person = make_person(nickname="O'Hara", wechat_openid="open-1", phone="02155555555")
        assert User.objects.filter(wechat_openid="open-1", pk=person.pk).exists()
    finally:
        echo.setLevel(before)
        connection.force_debug_cursor = False
    written = log.getvalue()
    assert "INSERT INTO" in written
    assert f'"accounts_user"."id" = {person.pk}' in written, "numbers stay"
    assert "; alias=default" in written
    for value in ("Hara", "open-1", "02155555555"):
        assert value not in written


@pytest.mark.django_db
@pytest.mark.parametrize("clash", [{"wechat_openid": "open-1"}, {"status": "wrong"}])
def test_a_database_that_refuses_a_row_says_nothing_of_it(log, clash):
    make_person(wechat_openid="open-1")
    wrong = {"nickname": "nickname of " + "somebody", **clash}
    try:
        with transaction.atomic():
            make_person(**wrong)
    except IntegrityError:
        logger.exception("It failed")
    written = log.getvalue()
    assert "IntegrityError" in written
    for value in ("open-1", "nickname of somebody"):
        assert value not in written


def test_lines_from_before_the_models_are_there_are_masked():
    """Settings, libraries and Django itself log while the applications are still loading."""
    script = (
        "import logging, django.conf, logging.config;"
        "logging.config.dictConfig(django.conf.settings.LOGGING);"
        "logging.getLogger('early').warning('token=abc of 13800138001, nickname=Li');"
        "import django; django.setup();"
        "logging.getLogger('late').warning('token=abc of 13800138001, nickname=Li')"
    )
    lines = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    ).stderr.splitlines()
    assert [line.split("] ", 1)[1] for line in lines] == [
        "token=*** of 138****8001, nickname=Li",
        "token=*** of 138****8001, nickname=***",
    ]


def test_exchange_codes_are_known_by_their_name_alone():
    """Their form alone could be anything else that is written in groups."""
    code = new_exchange_code()
    assert masking.mask(f"exchange_code={code}") == "exchange_code=***"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20_000,
        "\\" * 20_000,
        "a_" * 20_000,
        "'" * 20_000,
        "1" * 20_000,
        "eyJ" + "a" * 20_000,
        "://" + "a:" * 10_000,
        "(phone " * 5_000,
        'phone="' * 4_000,
        "phone=" + '\\"' * 10_000,
    ],
)
def test_no_line_takes_long(text):
    """A client may have a hand in what is logged: patterns must not go back and forth in it."""
    begun = time.process_time()
    masking.mask(text)
    assert time.process_time() - begun < 2
