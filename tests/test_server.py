"""What the embedded server does with bodies before Django sees them, and how it will not start."""

import re
import sqlite3
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.api import answer_of, data_of
from tests.live import Platform, platform

FORM = "multipart/form-data"
CUSTOMER = {"phone": "13800138001", "code": "123456"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with platform(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def headers(running):
    return {"Authorization": f"Bearer {running.sign_in(CUSTOMER['phone']).token}"}


def most_memory(running: Platform) -> int:
    """The most memory the server ever held, in MB."""
    assert running.process is not None
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) // 1024


def test_a_broken_form_is_refused_in_the_envelope(running, headers):
    answer = httpx.post(
        f"{running.base}/api/photo/upload",
        content=b"garbage",
        headers={**headers, "Content-Type": FORM},
    )
    assert answer_of(answer) == (400, 1017, None)
    assert "X-Request-ID" in answer.headers


def test_a_large_form_is_refused_without_being_taken_into_memory(running, headers):
    before = most_memory(running)
    image = {"image": ("a.jpg", b"x" * 63 * 2**20)}
    codes = [
        answer_of(httpx.post(f"{running.base}{path}", files=image, headers=sent, timeout=60)).code
        for path, sent in (
            ("/api/photo/upload", headers),
            ("/api/photo/upload", {}),
            ("/api/nothing", {}),
        )
    ]
    assert codes == [5004, 1006, 1010]
    # Parsed by twisted, one of these took 1.3 GB.
    assert most_memory(running) - before < 400


def test_a_body_beyond_all_limits_is_refused_by_its_length(running, headers):
    answer = httpx.post(
        f"{running.base}/api/photo/upload", content=b"x" * 66 * 2**20, headers=headers, timeout=60
    )
    assert answer_of(answer) == (413, 1018, None)


def test_a_body_in_chunks_is_read(running):
    def chunks():
        yield b'{"phone": "13800138001", '
        yield b'"code": "123456"}'

    answer = httpx.post(
        f"{running.base}/api/auth/login",
        content=chunks(),
        headers={"Content-Type": "application/json"},
    )
    assert data_of(answer)["user_info"]["mobile"] == "138****8001"


def test_a_port_that_is_taken_is_said_in_a_sentence(running):
    finished = running.manage("serve")
    assert finished.returncode == 1
    assert f"127.0.0.1:{running.port}" in finished.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "away",
    [
        {"DATABASE_URL": "postgres://a:b@127.0.0.1:1/c", "DB_POOL_TIMEOUT": "1"},
        {"REDIS_URL": "redis://127.0.0.1:1/0"},
    ],
)
def test_a_server_that_is_away_is_said_in_a_sentence(tmp_path, away):
    finished = Platform(tmp_path, away).manage("serve")
    assert finished.returncode == 1
    assert "127.0.0.1" in finished.stderr or "1.00 sec" in finished.stderr
    assert "Traceback" not in finished.stderr


# --- SQLite has one writer at a time --------------------------------------------------------------
def test_a_twin_on_sqlite_is_told_so_after_five_seconds_and_nobody_else(tmp_path):
    with platform(tmp_path, DATABASE_URL="") as started:
        data_dir = Path(started.environment["DATA_DIR"])
        client = started.sign_in(CUSTOMER["phone"])
        wheel = client.get("/api/lottery/config")["wheel_id"]

        def draw(key):
            return answer_of(
                client.http.post(
                    "/api/lottery/draw", json={"wheel_id": wheel}, headers={"Idempotency-Key": key}
                )
            )

        with (
            ThreadPoolExecutor(3) as pool,
            closing(sqlite3.connect(data_dir / "db.sqlite3", autocommit=True)) as another_writer,
        ):
            another_writer.execute("BEGIN IMMEDIATE")
            asked = time.monotonic()
            pair = [pool.submit(draw, "twin"), pool.submit(draw, "twin")]
            stranger = pool.submit(draw, "another")
            (told, *_), waiting = wait(pair, return_when=FIRST_COMPLETED)
            waited = time.monotonic() - asked
            assert (told.result().code, told.result().status) == (1015, 409)
            assert 4 < waited < 10
            assert len(waiting) == 1
            assert not stranger.done()
            another_writer.execute("COMMIT")
            assert waiting.pop().result().code == stranger.result().code == 0
            another_writer.execute("BEGIN IMMEDIATE")
            pair = [pool.submit(draw, "quick"), pool.submit(draw, "quick")]
            another_writer.execute("COMMIT")
            first, second = (one.result() for one in pair)
            assert first == second
            assert first.code == 0
        assert draw("twin").code == 0
        assert len(client.get("/api/lottery/records")["items"]) == 3
