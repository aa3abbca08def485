"""A server of e-mail that takes what is sent to it, with and without TLS."""

import base64
import socketserver
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path


@dataclass
class Taken:
    """One message, who sent it to whom as the envelope says, and how it came."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    is_secure: bool
    who: str  # signed in as NAME:PASSWORD; empty for nobody


@dataclass
class _Conversation:
    sender: str = ""
    recipients: list[str] = field(default_factory=list)
    who: str = ""
    is_secure: bool = False


class _Handler(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs (RFC 5321, 3207, 4954)."""

    server: "MailCatcher"

    def handle(self):
        self.said = _Conversation(is_secure=self.server.mode == "ssl")
        self.answer("220 catcher")
        while line := self.rfile.readline():
            word, _space, rest = line.decode().strip().partition(" ")
            if not self.heard(word.upper(), rest):
                return

    def finish(self):
        with suppress(OSError):
            super().finish()
        self.connection.close()

    def heard(self, word, rest):
        """Answer one line; returns whether the conversation goes on."""
        match word:
            case "EHLO" | "HELO":
                self.greet()
            case "STARTTLS":
                self.answer("220 go on")
                self.secure()
            case "AUTH":
                self.sign_in(rest)
            case "MAIL":
                self.said.sender = _address(rest)
                self.answer("250 ok")
            case "RCPT":
                self.said.recipients.append(_address(rest))
                self.answer("250 ok")
            case "DATA":
                self.take()
            case "QUIT":
                self.answer("221 bye")
                return False
            case _:
                self.answer("250 ok")
        return True

    def greet(self):
        offers = ["catcher", "AUTH PLAIN LOGIN"]
        if self.server.mode == "starttls" and not self.said.is_secure:
            offers.append("STARTTLS")
        for offer in offers[:-1]:
            self.answer(f"250-{offer}")
        self.answer(f"250 {offers[-1]}")

    def secure(self):
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.said = _Conversation(is_secure=True)

    def sign_in(self, rest):
        how, _space, first = rest.partition(" ")
        assert how == "PLAIN", how
        _nobody, name, password = base64.b64decode(first).decode().split("\0")
        self.said.who = f"{name}:{password}"
        self.answer("235 welcome")

    def take(self):
        self.answer("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        message = message_from_bytes(b"".join(lines), policy=policy.default)
        said = self.said
        self.server.taken.append(
            Taken(said.sender, said.recipients, message, said.is_secure, said.who)
        )
        self.answer("250 taken")

    def answer(self, line):
        self.wfile.write(f"{line}\r\n".encode())


def _address(rest):
    return rest.partition("<")[2].partition(">")[0]


class MailCatcher(socketserver.ThreadingTCPServer):
    """Takes messages into `taken`; `mode` is "plain", "starttls" or "ssl"."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, mode, certificate: Path | None, key: Path | None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mode = mode
        self.taken: list[Taken] = []
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate, key)

    @property
    def port(self):
        return self.server_address[1]

    def finish_request(self, request, client_address):
        if self.mode == "ssl":
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        """A client that does not believe the certificate goes away: nothing to be told."""


@contextmanager
def mail_catcher(mode="plain", certificate=None, key=None):
    server = MailCatcher(mode, certificate, key)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
