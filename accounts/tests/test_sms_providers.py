"""Codes by Aliyun and Tencent Cloud: their real SDKs, against what they answer, on loopback."""

import re
import socket
import time

import pytest

from accounts import metrics, sms
from accounts.models import CodeCount, CountPurpose, SignInCode
from accounts.services import sign_in_codes
from accounts.sms import NotSent, NotTaken, aliyun, tencent
from accounts.sms.answers import NoAnswer
from accounts.tests.local_server import HANGS, NEVER, Answer, running
from tests.api import client_of, data_of
from tests.refusals import refused

PHONE, CODE = "13800138001", "274159"
ALIYUN, TENCENT = "accounts.sms.aliyun.AliyunSender", "accounts.sms.tencent.TencentSender"
HTML = Answer(b"<html><body>502 Bad Gateway</body></html>", content_type="text/html")


def aliyun_says(code, *, status=200):
    return Answer(
        {"Code": code, "Message": "...", "RequestId": "9E-1A", "BizId": "900619746936498440^0"},
        status=status,
        content_type="application/json;charset=utf-8",
    )


def tencent_says(code):
    status = {
        "SerialNo": "5000:1045710669157053657849499619", "PhoneNumber": f"+86{PHONE}", "Fee": 1,
        "SessionContext": "", "Code": code, "Message": "...", "IsoCode": "CN",
    }  # fmt: skip
    return Answer({"Response": {"SendStatusSet": [status], "RequestId": "a0aabda6"}})


def tencent_refuses(code):
    error = {"Error": {"Code": code, "Message": "..."}, "RequestId": "ed93f3cb"}
    return Answer({"Response": error})


SLOW = Answer(aliyun_says("OK").body, is_slow=True)


@pytest.fixture
def keys(settings):
    settings.SMS_ALIYUN_ACCESS_KEY_ID, settings.SMS_ALIYUN_ACCESS_KEY_SECRET = "LTAI-id", "ali-s"
    settings.SMS_ALIYUN_SIGN_NAME, settings.SMS_ALIYUN_TEMPLATE = "小馆", "SMS_154950909"
    settings.SMS_TENCENT_SECRET_ID, settings.SMS_TENCENT_SECRET_KEY = "AKID-id", "ten-s"
    settings.SMS_TENCENT_APP_ID, settings.SMS_TENCENT_TEMPLATE = "1400787878", "449739"
    settings.SMS_TENCENT_SIGN_NAME = "小馆"


@pytest.fixture
def at_aliyun(settings, keys):
    with running(lambda asked: aliyun_says("OK")) as local:
        settings.SMS_ALIYUN_ENDPOINT = local.base
        yield local


@pytest.fixture
def at_tencent(settings, keys):
    with running(lambda asked: tencent_says("Ok")) as local:
        settings.SMS_TENCENT_ENDPOINT = local.base
        yield local


def send(sender):
    return sender.send_code(phone=PHONE, code=CODE)


# --- What is asked ------------------------------------------------------------------------------
def test_aliyun_is_asked_as_it_wants_to_be(at_aliyun):
    send(aliyun.AliyunSender())
    (asked,) = at_aliyun.asked
    assert asked.query == {
        "PhoneNumbers": PHONE,
        "SignName": "小馆",
        "TemplateCode": "SMS_154950909",
        "TemplateParam": f'{{"code": "{CODE}"}}',
    }
    assert asked.headers["x-acs-action"] == "SendSms"
    assert asked.headers["x-acs-version"] == "2017-05-25"
    assert "Credential=LTAI-id" in asked.headers["Authorization"]
    assert "ali-s" not in str(asked)


def test_tencent_is_asked_as_it_wants_to_be(at_tencent, settings):
    settings.SMS_TENCENT_PARAMETERS = ["code", "minutes"]
    send(tencent.TencentSender())
    (asked,) = at_tencent.asked
    assert asked.json == {
        "PhoneNumberSet": [f"+86{PHONE}"],
        "SmsSdkAppId": "1400787878",
        "SignName": "小馆",
        "TemplateId": "449739",
        "TemplateParamSet": [CODE, "5"],
    }
    assert asked.headers["X-TC-Action"] == "SendSms"
    assert asked.headers["X-TC-Version"] == "2021-01-11"
    assert asked.headers["X-TC-Region"] == "ap-guangzhou"
    assert "Credential=AKID-id/" in asked.headers["Authorization"]
    assert "ten-s" not in str(asked)


def test_phones_of_other_regions_are_written_as_each_provider_has_them(at_aliyun, at_tencent):
    for sender in (aliyun.AliyunSender(), tencent.TencentSender()):
        sender.send_code(phone="+85291234567", code=CODE)
    assert at_aliyun.asked[0].query["PhoneNumbers"] == "85291234567"
    assert at_tencent.asked[0].json["PhoneNumberSet"] == ["+85291234567"]


# --- What is answered ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "answer",
    [
        aliyun_says("isv.BUSINESS_LIMIT_CONTROL"),
        aliyun_says("isv.SMS_SIGNATURE_ILLEGAL"),
        aliyun_says("isv.SMS_TEMPLATE_ILLEGAL"),
        aliyun_says("isv.AMOUNT_NOT_ENOUGH"),
        aliyun_says("SignatureDoesNotMatch", status=400),
        aliyun_says("InvalidAccessKeyId.NotFound", status=404),
        aliyun_says("Throttling.User", status=400),
    ],
    ids=lambda answer: answer.body["Code"],
)
def test_what_aliyun_refuses_was_not_sent(at_aliyun, answer):
    at_aliyun.answer = lambda asked: answer
    with pytest.raises(NotTaken, match=re.escape(answer.body["Code"])):
        send(aliyun.AliyunSender())


@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        Answer(HTML.body, status=502, content_type="text/html"),
        aliyun_says("InternalError", status=500),
        aliyun_says("ServiceUnavailable", status=503),
        Answer(b'{"Code": "OK'),
        Answer([]),
        Answer({}),
        Answer({"Code": None}),
        Answer({"Code": 7}),
    ],
    ids=lambda answer: f"{answer.status} {answer.content[:20]!r}",
)
def test_what_aliyun_does_not_say_leaves_it_open(at_aliyun, answer):
    at_aliyun.answer = lambda asked: answer
    with pytest.raises(NoAnswer) as raised:
        send(aliyun.AliyunSender())
    assert_says_nothing(raised)


@pytest.mark.parametrize(
    "answer",
    [
        tencent_says("LimitExceeded.PhoneNumberThirtySecondLimit"),
        tencent_says("FailedOperation.SignatureIncorrectOrUnapproved"),
        tencent_says("FailedOperation.TemplateIncorrectOrUnapproved"),
        tencent_refuses("AuthFailure.SignatureFailure"),
        tencent_refuses("UnauthorizedOperation.SmsSdkAppIdVerifyFail"),
        tencent_refuses("RequestLimitExceeded.UinLimitExceeded"),
        tencent_refuses("RequestLimitExceeded"),
    ],
    ids=lambda answer: "".join(re.findall(r"'Code': '([\w.]+)'", str(answer.body))),
)
def test_what_tencent_refuses_was_not_sent(at_tencent, answer):
    at_tencent.answer = lambda asked: answer
    with pytest.raises(NotTaken, match="Tencent Cloud says"):
        send(tencent.TencentSender())


@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        Answer(HTML.body, status=502, content_type="text/html"),
        Answer({}, status=500),
        tencent_refuses("InternalError.SigVerifyError"),
        tencent_says("FailedOperation.OtherError"),
        Answer(b'{"Response": {'),
        Answer([]),
        Answer({}),
        Answer({"Response": {"SendStatusSet": [], "RequestId": "r"}}),
        Answer({"Response": {"SendStatusSet": None, "RequestId": "r"}}),
        Answer({"Response": {"SendStatusSet": [{"Code": None}], "RequestId": "r"}}),
    ],
    ids=lambda answer: f"{answer.status} {answer.content!r}",
)
def test_what_tencent_does_not_say_leaves_it_open(at_tencent, answer):
    at_tencent.answer = lambda asked: answer
    with pytest.raises(NoAnswer) as raised:
        send(tencent.TencentSender())
    assert_says_nothing(raised)


def assert_says_nothing(raised):
    """Neither the error nor anything that it comes of says the phone or the code."""
    error = raised.value
    while error:
        assert PHONE not in str(error)
        assert CODE not in str(error)
        error = error.__cause__ or error.__context__


@pytest.fixture
def nobody_listens():
    """An address that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        (aliyun.AliyunSender(), "SMS_ALIYUN_ENDPOINT"),
        (tencent.TencentSender(), "SMS_TENCENT_ENDPOINT"),
    ],
    ids=["aliyun", "tencent"],
)
def test_a_provider_that_is_not_reached_sent_nothing(settings, keys, nobody_listens, sender, name):
    setattr(settings, name, nobody_listens)
    with pytest.raises(NotTaken) as raised:
        send(sender)
    assert_says_nothing(raised)


# --- One after the other --------------------------------------------------------------------------
@pytest.fixture
def both(settings, at_aliyun, at_tencent, monkeypatch):
    # So that a busy machine gets an answer out of the one that has one.
    monkeypatch.setattr(sms, "SECONDS_IN_ALL", 6)
    settings.SMS_SENDER = f"{ALIYUN}, {TENCENT}"
    return at_aliyun, at_tencent


def tries():
    return metrics.SMS_TRIES.series()


def more_than(before):
    return {
        key: value - before.get(key, 0)
        for key, value in tries().items()
        if value != before.get(key)
    }


def test_the_second_is_not_asked_while_the_first_takes_codes(both):
    before = tries()
    sms.send_code(phone=PHONE, code=CODE)
    assert [len(each.asked) for each in both] == [1, 0]
    assert more_than(before) == {("aliyun", "taken"): 1}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (aliyun_says("isv.BUSINESS_LIMIT_CONTROL"), "refused"),
        (HTML, "unsure"),
        (HANGS, "unsure"),
        (SLOW, "unsure"),
    ],
    ids=["throttled", "malformed", "hanging", "slow"],
)
def test_the_second_takes_over_when_the_first_fails(both, answer, outcome, caplog):
    at_aliyun, at_tencent = both
    at_aliyun.answer = lambda asked: answer
    before, started = tries(), time.monotonic()
    sms.send_code(phone=PHONE, code=CODE)
    assert time.monotonic() - started < NEVER
    assert more_than(before) == {("aliyun", outcome): 1, ("tencent", "taken"): 1}
    assert at_tencent.asked[0].json["TemplateParamSet"] == [CODE]
    assert "SMS provider aliyun" in caplog.text
    assert PHONE not in caplog.text
    assert CODE not in caplog.text


@pytest.mark.parametrize(
    ("first", "second", "may_have_arrived"),
    [
        (aliyun_says("isv.AMOUNT_NOT_ENOUGH"), tencent_refuses("AuthFailure.X"), False),
        (HTML, tencent_refuses("AuthFailure.X"), True),
        (aliyun_says("isv.AMOUNT_NOT_ENOUGH"), HTML, True),
        (HANGS, HANGS, True),
    ],
)
def test_when_both_fail_it_is_said_whether_it_may_have_arrived(
    both, first, second, may_have_arrived
):
    for local, answer in zip(both, (first, second), strict=True):
        local.answer = lambda asked, answer=answer: answer
    started = time.monotonic()
    with pytest.raises(NotSent) as raised:
        sms.send_code(phone=PHONE, code=CODE)
    assert raised.value.may_have_arrived is may_have_arrived
    assert time.monotonic() - started < NEVER


def test_whoever_asks_hears_within_three_seconds():
    assert sms.SECONDS_IN_ALL <= 2


def test_a_sender_that_is_not_installed_is_one_that_fails(settings, at_tencent):
    """The start says so where it looks; a server that did not look asks the next one."""
    settings.SMS_SENDER = f"nowhere.Nothing,{TENCENT}"
    before = tries()
    sms.send_code(phone=PHONE, code=CODE)
    assert more_than(before) == {("other", "refused"): 1, ("tencent", "taken"): 1}


# --- As a customer sees it ----------------------------------------------------------------------
def ask():
    return client_of().post("/api/auth/code", {"phone": PHONE}, REMOTE_ADDR="198.51.100.7")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "answer",
    [
        aliyun_says("isv.BUSINESS_LIMIT_CONTROL"),
        aliyun_says("InternalError", status=500),
        HANGS,
        SLOW,
    ],
    ids=["throttled", "500", "hanging", "slow"],
)
def test_a_gateway_that_fails_is_1503_within_3_seconds_and_burns_nothing(
    settings, at_aliyun, answer, caplog
):
    settings.SMS_SENDER, settings.SMS_CODES_A_DAY = ALIYUN, 1
    data_of(ask())
    (earlier,) = (str(asked.query["TemplateParam"]) for asked in at_aliyun.asked)
    SignInCode.objects.update(day="2026-01-01", created_at="2026-01-01T00:00+08:00")
    at_aliyun.answer = lambda asked: answer
    started = time.monotonic()
    response = ask()
    assert time.monotonic() - started < NEVER
    assert refused(response, 1503) is None
    assert int(response["Retry-After"]) <= 5
    assert CODE not in caplog.text
    at_aliyun.answer = lambda asked: aliyun_says("OK")
    code = earlier.rpartition(": ")[2].strip('"}')
    sign_in_codes.use_code(phone=PHONE, code=code, address="")  # it is as good as before
    data_of(ask())  # at once, and within the day


@pytest.mark.django_db(transaction=True)
def test_what_was_certainly_not_sent_is_given_back_to_every_limit(settings, at_aliyun):
    settings.SMS_SENDER = ALIYUN
    at_aliyun.answer = lambda asked: aliyun_says("isv.AMOUNT_NOT_ENOUGH")
    refused(ask(), 1503)
    assert not CodeCount.objects.filter(count__gt=0).exists()
    at_aliyun.answer = lambda asked: HTML
    refused(ask(), 1503)  # nobody knows: the platform may have paid for it
    counts = dict(CodeCount.objects.filter(count__gt=0).values_list("purpose", "count"))
    assert counts == dict.fromkeys(
        (CountPurpose.ADDRESS, CountPurpose.PREFIX, CountPurpose.PLATFORM, CountPurpose.UNSURE), 1
    )
