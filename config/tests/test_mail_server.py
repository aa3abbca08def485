"""EMAIL_URL: by which server, and as whom, people are written to."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import mailers
from django.core.mail.backends.smtp import EmailBackend

from config.mail_server import mail_server
from config.tests.test_settings import SECURE, manage


def server_of(settings, address):
    options, sender = mail_server(address)
    settings.MAILERS = {"default": {"OPTIONS": options}}
    server = mailers.default
    assert isinstance(server, EmailBackend)
    return server, sender


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("mailtos://user:p%40ss@smtp.example.com?to=staff@example.com",
         ("smtp.example.com", 587, True, False, "user@smtp.example.com")),
        ("mailtos://user:p%40ss@smtp.example.com:465",
         ("smtp.example.com", 465, False, True, "user@smtp.example.com")),
        ("mailtos://user:p%40ss@smtp.example.com:2465?mode=ssl",
         ("smtp.example.com", 2465, False, True, "user@smtp.example.com")),
        ("mailtos://user%40example.com:p%40ss@smtp.example.com:2525?from=shop@example.com",
         ("smtp.example.com", 2525, True, False, "shop@example.com")),
        ("mailtos://user%40example.com:p%40ss@smtp.example.com",
         ("smtp.example.com", 587, True, False, "user@example.com")),
        ("MAILTOS://user:p%40ss@smtp.example.com",
         ("smtp.example.com", 587, True, False, "user@smtp.example.com")),
        ("mailto://user:p%40ss@127.0.0.1:1025",
         ("127.0.0.1", 1025, False, False, "user@127.0.0.1")),
    ],
)  # fmt: skip
def test_an_address_names_the_server_the_user_and_the_sender(settings, address, expected):
    server, sender = server_of(settings, address)
    assert (server.host, server.port, server.use_tls, server.use_ssl, sender) == expected
    assert server.username in {"user", "user@example.com"}
    assert server.password == "p@ss"
    assert server.timeout == 10
    assert "p@ss" not in repr(settings.MAILERS)


def test_without_a_user_the_sender_is_of_the_host(settings):
    server, sender = server_of(settings, "mailto://localhost:25")
    assert (server.username, server.password, sender) == ("", "", "points@localhost")


@pytest.mark.parametrize("address", ["", "https://example.com", "smtp.example.com"])
def test_what_is_no_address_of_mail_is_no_server(address):
    assert mail_server(address) == ({}, "")


@pytest.mark.parametrize(
    "address", ["mailtos://", "mailtos://s3cret@host:x", "mailtos://s3cret@[::1"]
)
def test_what_cannot_be_read_is_refused_without_being_told(address):
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL") as refused:
        mail_server(address)
    assert "s3cret" not in str(refused.value)


MAIL = {"EMAIL_URL": "mailtos://user:s3cret@smtp.example.com"}
PUBLIC = {"PUBLIC_URL": "https://points.example.com"}


@pytest.mark.parametrize(
    ("variables", "backend", "links"),
    [
        ({**SECURE, **MAIL, **PUBLIC}, "smtp", "https://points.example.com"),
        ({**SECURE, **MAIL}, "smtp", ""),
        ({**SECURE, **PUBLIC}, "", ""),
        ({"PORT": "8123"}, "console", "http://127.0.0.1:8123"),
        ({**MAIL, **PUBLIC}, "smtp", "https://points.example.com"),
    ],
)
def test_links_lead_to_what_the_environment_says_where_letters_are_sent(
    tmp_path, variables, backend, links
):
    told = manage(tmp_path, "diffsettings", "--all", **variables)
    assert told.returncode == 0, told.stderr
    said = dict(line.split(" = ", 1) for line in told.stdout.splitlines() if " = " in line)
    found = {name: value.removesuffix("  ###") for name, value in said.items()}
    if backend:
        assert f"backends.{backend}.EmailBackend" in found["MAILERS"]
    else:
        assert found["MAILERS"] == "{}"
    assert found["LINKS_URL"] == repr(links)
    assert "s3cret" not in told.stdout
