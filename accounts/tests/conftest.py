import pytest

from accounts.services.sign_in_codes import ask_code
from accounts.tests.factories import RecordingSender
from accounts.tests.fake_wechat import wechat_on_loopback
from tests.api import client_of


@pytest.fixture
def api():
    """A client of the API without a token."""
    return client_of()


@pytest.fixture
def sent(settings):
    """What was sent by SMS in this test."""
    settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
    RecordingSender.sent.clear()
    return RecordingSender.sent


@pytest.fixture
def ask(sent, settings, django_capture_on_commit_callbacks):
    """Ask for a code as a phone does; returns the code that arrived. No fixed code is in force."""
    settings.SMS_FIXED_CODE = ""

    def asked(phone, address="198.51.100.7"):
        with django_capture_on_commit_callbacks(execute=True):
            ask_code(phone=phone, address=address)
        assert sent[-1][0] == phone
        return sent[-1][1]

    return asked


@pytest.fixture
def at_wechat(settings):
    """A WeChat on loopback that the platform asks."""
    with wechat_on_loopback(settings) as fake:
        yield fake
