"""E-mail of an alert, as a server of e-mail takes it."""

import pytest

from ops.models import Alert, ChannelKind, NoticeKind
from ops.monitoring import channels, words
from ops.monitoring.channels import BadAddress, NotDelivered, Target, send
from ops.tests.alerts import NOW, make_rule
from ops.tests.mail import mail_catcher
from tests.tls_servers import Certificate

pytestmark = pytest.mark.django_db
WHO = "to=staff@example.com&from=points@example.com"


def said(**fields):
    rule = make_rule(**{"name": "磁盘 <b>快满了</b> & more", "severity": "critical"} | fields)
    alert = Alert.objects.create(rule=rule, series="host", value=5, since=NOW, raised_at=NOW)
    return words.message(alert, NoticeKind.RAISED)


def sent_to(address, message):
    channels.check(ChannelKind.EMAIL, address)
    send(Target("staff", ChannelKind.EMAIL, address), message)


@pytest.fixture
def certificate(tmp_path, monkeypatch):
    """One that this machine believes."""
    made = Certificate.made_in(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


def test_the_message_says_who_to_whom_what_and_where(settings):
    settings.PUBLIC_URL = "https://points.example.com"
    settings.LANGUAGE_CODE = "zh-hans"
    message = said()
    with mail_catcher() as server:
        sent_to(f"mailto://127.0.0.1:{server.port}?{WHO}", message)

    [taken] = server.taken
    assert (taken.sender, taken.recipients) == ("points@example.com", ["staff@example.com"])
    assert taken.message["Subject"] == message["title"] == "磁盘 <b>快满了</b> & more：5"
    assert taken.message["To"] == "staff@example.com"
    assert taken.message["From"].addresses[0].addr_spec == "points@example.com"
    assert taken.message["Date"].datetime is not None
    assert taken.message["Message-ID"]
    body = taken.message.get_body(("plain",)).get_content()
    assert message["text"] in body
    assert message["link"] in body


def test_what_people_wrote_is_text_and_no_markup():
    """A label or a name must not become a picture or a link of somebody's."""
    with mail_catcher() as server:
        sent_to(f"mailto://127.0.0.1:{server.port}?{WHO}", said(text="<img src=//x>\nsecond line"))

    [taken] = server.taken
    assert [part.get_content_type() for part in taken.message.walk()] == ["text/plain"]
    assert "<img src=//x>\nsecond line" in taken.message.get_content().replace("\r\n", "\n")


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_it_is_written_in_the_language_of_the_deployment(settings, language):
    settings.LANGUAGE_CODE = language
    message = words.message_of_a_test()
    with mail_catcher() as server:
        sent_to(f"mailto://127.0.0.1:{server.port}?{WHO}", message)

    [taken] = server.taken
    assert taken.message["Subject"] == message["title"]
    assert message["text"] in taken.message.get_content()
    assert ("Test of the alerts" in message["title"]) == (language == "en")


@pytest.mark.parametrize(("mode", "asks"), [("starttls", ""), ("ssl", "&mode=ssl")])
def test_with_tls_it_signs_in_and_nobody_reads_it_on_the_way(certificate, mode, asks):
    with mail_catcher(mode, certificate.file, certificate.key_file) as server:
        sent_to(f"mailtos://points:s3cret@localhost:{server.port}?{WHO}{asks}", said())

    [taken] = server.taken
    assert taken.is_secure
    assert taken.who == "points:s3cret"


@pytest.mark.parametrize(("mode", "asks"), [("starttls", ""), ("ssl", "&mode=ssl")])
def test_a_certificate_that_nobody_vouches_for_is_not_believed(tmp_path, mode, asks):
    stranger = Certificate.made_in(tmp_path)
    with mail_catcher(mode, stranger.file, stranger.key_file) as server:
        address = f"mailtos://points:s3cret@localhost:{server.port}?{WHO}{asks}"
        with pytest.raises(NotDelivered):
            sent_to(address, said())

    assert server.taken == []


def test_a_server_without_tls_gets_nothing_that_was_to_be_secret():
    with mail_catcher("plain") as server:
        address = f"mailtos://points:s3cret@localhost:{server.port}?{WHO}"
        with pytest.raises(NotDelivered):
            sent_to(address, said())

    assert server.taken == []


@pytest.mark.parametrize(
    "address",
    [
        "mailtos://user:password@smtp.example.com?mode=insecure",
        "mailtos://user:password@smtp.example.com?mo%64e=insecure",
        "mailtos://user:password@smtp.example.com?verify=no&to=staff@example.com",
        "mailto://user:password@smtp.example.com?to=staff@example.com",
        "mailto://user@localhost?smtp=mail.example.com",
    ],
)
def test_an_address_that_anybody_on_the_way_could_read_is_refused(address):
    with pytest.raises(BadAddress):
        channels.check(ChannelKind.EMAIL, address)


def test_a_host_of_the_own_network_may_do_without_tls_where_it_is_named(settings):
    address = f"mailto://relay.lan?{WHO}"
    settings.ALERT_INNER_HOSTS = ["relay.lan"]
    with pytest.raises(BadAddress, match="TLS"):
        channels.check(ChannelKind.EMAIL, address)
    settings.PLAINTEXT_HOSTS = ["relay.lan"]

    channels.check(ChannelKind.EMAIL, address)


def test_a_server_inside_that_nobody_named_is_not_asked(settings):
    with mail_catcher() as server:
        address = f"mailto://127.0.0.1:{server.port}?{WHO}"
        channels.check(ChannelKind.EMAIL, address)
        settings.ALERT_INNER_HOSTS = []
        with pytest.raises(NotDelivered, match="ALERT_INNER_HOSTS"):
            send(Target("staff", ChannelKind.EMAIL, address), said())

    assert server.taken == []
