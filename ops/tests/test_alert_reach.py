"""Nobody reaches the network behind the platform by a channel of alerts."""

import socket

import pytest

from ops.models import ChannelKind
from ops.monitoring import channels, reach
from ops.monitoring.channels import BadAddress, NotDelivered, Target, send
from ops.monitoring.reach import LeadsInside
from ops.monitoring.words import message_of_a_test
from ops.tests.alerts import catcher
from tests.tls_servers import Certificate

OUTSIDE = "93.184.216.34"


@pytest.fixture(autouse=True)
def nobody_is_named(settings):
    settings.ALERT_INNER_HOSTS = []


@pytest.fixture
def leads(monkeypatch):
    """Let names lead where a test says; each answer is given once, the last one for ever."""
    answers: dict[str, list[list[str]]] = {}
    ask = socket.getaddrinfo

    def look_up(host, port, *arguments, **options):
        if host not in answers:
            return ask(host, port, *arguments, **options)
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        found = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def lead(host, *looks):
        answers[host] = list(looks)

    return lead


def post_to(address):
    send(Target("w", ChannelKind.WEBHOOK, address), message_of_a_test())


# --- What an address says by itself ---------------------------------------------------------------
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "10.0.0.5",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # what clouds tell their machines, secrets among it
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  as an address to send to
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:10.0.0.5]",
        "[64:ff9b::a00:5]",
        "[2002:a00:5::]",
        "localhost",
        "LOCALHOST.",
        "redis",
        "metadata.google.internal",
        "nas.local",
        "router.lan",
    ],
)
def test_an_address_inside_is_refused_when_it_is_saved(host):
    with pytest.raises(BadAddress, match="ALERT_INNER_HOSTS"):
        channels.check(ChannelKind.WEBHOOK, f"https://{host}/hook")


@pytest.mark.parametrize(
    "host", [OUTSIDE, "alerts.example.com", "[2606:2800:220:1::1]", "[64:ff9b::5db8:d822]"]
)
def test_an_address_outside_is_taken(host):
    channels.check(ChannelKind.WEBHOOK, f"https://{host}/hook")


def test_one_that_the_environment_names_is_taken(settings):
    settings.ALERT_INNER_HOSTS = ["alerts.lan", "10.0.0.5", "[fd00::1]"]
    for host in ("alerts.lan", "Alerts.LAN.", "10.0.0.5", "[fd00::1]"):
        channels.check(ChannelKind.WEBHOOK, f"https://{host}/hook")
    with pytest.raises(BadAddress):
        channels.check(ChannelKind.WEBHOOK, "https://10.0.0.6/hook")


@pytest.mark.parametrize("address", ["https:///hook", "https://[::1/hook", "https://?host"])
def test_an_address_without_a_host_is_none(address):
    with pytest.raises(BadAddress):
        channels.check(ChannelKind.WEBHOOK, address)


def test_of_e_mail_as_of_a_webhook():
    with pytest.raises(BadAddress, match="ALERT_INNER_HOSTS"):
        channels.check(ChannelKind.EMAIL, "mailtos://10.0.0.5?to=a@example.com&from=b@example.com")


# --- Where a name leads when something is sent ----------------------------------------------------
def test_a_name_that_leads_inside_is_not_reached(leads):
    leads("alerts.example.com", ["127.0.0.1"])
    with catcher() as server:
        port = server.server_address[1]
        with pytest.raises(NotDelivered, match="ALERT_INNER_HOSTS"):
            post_to(f"http://alerts.example.com:{port}/hook")

    assert server.taken == []


def test_a_name_of_which_one_address_is_inside_is_not_reached(leads):
    leads("alerts.example.com", [OUTSIDE, "10.0.0.5"])
    with pytest.raises(LeadsInside):
        reach.addresses_of("alerts.example.com", 443)


def test_a_name_that_leads_elsewhere_a_moment_later_is_reached_where_it_led(leads, settings):
    settings.ALERT_INNER_HOSTS = ["127.0.0.1"]
    leads("alerts.example.com", ["127.0.0.1"], ["10.0.0.5"])
    with catcher() as server:
        port = server.server_address[1]
        post_to(f"http://alerts.example.com:{port}/hook")
        with pytest.raises(NotDelivered):
            post_to(f"http://alerts.example.com:{port}/hook")

    [(_path, _said, headers)] = server.taken
    assert headers["Host"] == f"alerts.example.com:{port}"


def test_the_next_address_is_tried_where_one_does_not_answer(leads, settings):
    settings.ALERT_INNER_HOSTS = ["alerts.example.com"]
    leads("alerts.example.com", ["127.0.0.9", "127.0.0.1"])
    with catcher() as server:
        post_to(f"http://alerts.example.com:{server.server_address[1]}/hook")

    assert len(server.taken) == 1


@pytest.mark.parametrize("found", [["127.0.0.9"], []])
def test_where_none_answers_it_is_not_delivered(leads, settings, found):
    settings.ALERT_INNER_HOSTS = ["alerts.example.com"]
    leads("alerts.example.com", found)
    with pytest.raises(NotDelivered):
        post_to("http://alerts.example.com:9/hook")


def test_a_certificate_is_asked_for_by_the_name(leads, settings, tmp_path, monkeypatch):
    """The connection goes to an address that was looked at; who answers has to be the name."""
    settings.ALERT_INNER_HOSTS = ["localhost", "alerts.example.com"]
    leads("alerts.example.com", ["127.0.0.1"])
    certificate = Certificate.made_in(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.file))
    with catcher(certificate=certificate) as server:
        port = server.server_address[1]
        post_to(f"https://localhost:{port}/hook")
        with pytest.raises(NotDelivered, match="SSLError"):
            post_to(f"https://alerts.example.com:{port}/hook")

    assert len(server.taken) == 1


def test_a_redirect_is_not_followed(settings):
    settings.ALERT_INNER_HOSTS = ["127.0.0.1"]
    with (
        catcher() as inside,
        catcher(statuses=[307], location=inside.address) as outside,
        pytest.raises(NotDelivered, match="HTTP 307"),
    ):
        post_to(outside.address)

    assert inside.taken == []
