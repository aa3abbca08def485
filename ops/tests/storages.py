"""Storages that are away: a folder that fails at one step, and a small S3 that can be out.

And an S3 that does all that S3 does, moto's, for what backups ask of it.
"""

import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.test import override_settings

from config.settings import _of_backups, _s3
from tests.kept_servers import LOOPBACK, Account, serving


class ToldFolder(FileSystemStorage):
    """Files in a folder that tells whoever listens before one is written or deleted."""

    def __init__(self, tells, **options):
        super().__init__(**options)
        self.tells = tells

    def save(self, name, content, max_length=None):
        self.tells()
        return super().save(name, content, max_length)

    def delete(self, name):
        self.tells()
        super().delete(name)


class FailingFolder(FileSystemStorage):
    """Files in a folder that is away at what `fails` names: save, half, open, delete.

    `half` fails when half of a file is written. `after` so many times it goes well.
    """

    def __init__(self, fails, after=0, **options):
        super().__init__(**options)
        self.fails, self.left = fails, after

    def _fail_at(self, step):
        if step in self.fails:
            self.left -= 1
            if self.left < 0:
                raise OSError(5, f"no {step} today")

    def save(self, name, content, max_length=None):
        self._fail_at("save")
        path = super().save(name, content, max_length)
        try:
            self._fail_at("half")
        except OSError:
            with open(self.path(path), "r+b") as written:
                written.truncate(content.size // 2)
            raise
        return path

    def open(self, name, mode="rb"):
        self._fail_at("open")
        return super().open(name, mode)

    def delete(self, name):
        self._fail_at("delete")
        super().delete(name)


class Renaming(FileSystemStorage):
    """Keeps files under a name of its own choice."""

    def save(self, name, content, max_length=None):
        return super().save(f"{name}.kept", content, max_length)


@contextmanager
def folder_failing(*fails: str, after: int = 0) -> Iterator[None]:
    """Let the default storage fail at these steps, after so many times that it goes well."""
    with storage_of("ops.tests.storages.FailingFolder", fails=fails, after=after):
        yield


@contextmanager
def storage_of(backend: str, **options) -> Iterator[None]:
    """Another default storage for a while."""
    default = {"BACKEND": backend, "OPTIONS": options}
    with override_settings(STORAGES={**settings.STORAGES, "default": default}):
        yield


class SmallS3(ThreadingHTTPServer):
    """Keeps objects in memory and answers what django-storages asks for; `refuses` can be set.

    `refuses` maps a verb to an HTTP status, or to 0: the connection breaks without an answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.objects: dict[str, bytes] = {}
        self.rights: dict[str, str | None] = {}
        self.refuses: dict[str, int] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SmallS3

    def log_message(self, *_arguments):
        """Say nothing."""

    def _answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _is_refused(self):
        status = self.server.refuses.get(self.command)
        if status is None:
            return False
        self.close_connection = True
        if status:
            code = {403: "AccessDenied", 503: "SlowDown"}[status]
            self._answer(status, f"<Error><Code>{code}</Code></Error>".encode())
        return True

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_refused():
            self.server.objects[self.path] = body
            self.server.rights[self.path] = self.headers["x-amz-acl"]
            self._answer(200, ETag='"x"')

    def do_GET(self):
        if not self._is_refused():
            found = self.server.objects.get(self.path)
            if found is None:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            else:
                self._answer(200, found, ETag='"x"')

    def do_HEAD(self):
        self.do_GET()

    def do_DELETE(self):
        if not self._is_refused():
            self.server.objects.pop(self.path, None)
            self._answer(204)


@contextmanager
def small_s3() -> Iterator[SmallS3]:
    """A running one, as the default storage."""
    as_set: Any = _s3("media")
    with SmallS3() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        options = {
            **as_set["OPTIONS"],
            "endpoint_url": server.address,
            "region_name": "us-east-1",
            "access_key": "of a test",
            "secret_key": "of a test",
        }
        try:
            with storage_of("storages.backends.s3.S3Storage", **options):
                yield server
        finally:
            server.shutdown()
            thread.join(10)


KEYS = {"region_name": "us-east-1", "access_key": "of a test", "secret_key": "of a test"}
BUCKET = "shop-backups"


@contextmanager
def whole_s3(folder: Path) -> Iterator[str]:
    """Run moto's S3 with an empty bucket; its log lies in the folder. Lends its address."""
    with serving(
        lambda port: [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)],
        lambda port, _process: _answers(port),
        folder,
        Account(os.geteuid(), os.getegid()),
        stop_with=signal.SIGTERM,
    ) as port:
        address = f"http://{LOOPBACK}:{port}"
        client_of(address).create_bucket(Bucket=BUCKET)
        yield address


def client_of(address: str) -> Any:
    """What looks into an S3 past the storages."""
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name=KEYS["region_name"],
        aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"],
    )


def storage_of_backups(address: str, bucket: str = BUCKET) -> dict[str, Any]:
    """The storage of backups as the settings make it, in a bucket of the S3 at this address."""
    made: Any = _of_backups(bucket)
    return {**made, "OPTIONS": {**made["OPTIONS"], **KEYS, "endpoint_url": address}}


def _answers(port: int) -> bool:
    asked = f"http://{LOOPBACK}:{port}/moto-api/"
    with suppress(OSError), urllib.request.urlopen(asked, timeout=1) as answer:
        return bool(answer.status == 200)
    return False
