"""Three processes without Redis: a sign-in that ends at one is over at all of them in 5 seconds."""

import time
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests import live
from tests.api import answer_of, data_of
from tests.live import Listener

# Seconds. That each looks every three is held by a test of the housekeeping.
IN_TIME, A_BUSY_MACHINE = 5, 25
CLOSED_TO_YOU = 4403
_phones = iter(range(13_600_000_000, 13_700_000_000))


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    with live.processes(folder, REDIS_URL="") as running:
        yield running


def sign_in(process, phone):
    body = {"phone": phone, "code": "123456"}
    return data_of(httpx.post(f"{process.base}/api/auth/login", json=body, timeout=30))


def ask(process, pair, method="GET", path="/api/auth/verify", **options: Any):
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    return httpx.request(method, f"{process.base}{path}", headers=headers, timeout=30, **options)


def revoke(processes, pair, there):
    """Another device of the person ends it."""
    devices = data_of(ask(processes[0], there, path="/api/user/sessions"))["items"]
    (other,) = (one["id"] for one in devices if not one["current"])
    data_of(ask(processes[0], there, "DELETE", f"/api/user/sessions/{other}"))


def log_out(processes, pair, _there):
    data_of(ask(processes[0], pair, "POST", "/api/auth/logout", json={}))


def ban(processes, pair, _there):
    """Somebody beside the servers bans, who has no way to push."""
    person_id = pair["user_info"]["user_id"]
    statements = (
        "from accounts.models import User",
        "from accounts.services.sign_in import change_status",
        f"change_status(person=User.objects.get(pk={person_id}), status='banned')",
    )
    done = processes[0].manage("shell", "--no-imports", "-c", "; ".join(statements))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("end", "code", "is_of_all"),
    [(revoke, 1006, False), (log_out, 1006, False), (ban, 1005, True)],
    ids=["revoked", "logged out", "banned"],
)
async def test_its_token_is_refused_and_its_sockets_close_at_each(processes, end, code, is_of_all):
    phone = str(next(_phones))
    pair, there = sign_in(processes[0], phone), sign_in(processes[1], phone)
    async with AsyncExitStack() as stack:

        async def listen(process, tokens):
            client: Any = SimpleNamespace(platform=process, token=tokens["access_token"])
            return await stack.enter_async_context(Listener(client))

        over = [await listen(process, pair) for process in processes]
        other = await listen(processes[2], there)
        for process in processes:
            data_of(ask(process, pair))

        end(processes, pair, there)
        begun = time.monotonic()

        for process in processes:
            assert answer_of(ask(process, pair)).code == code, "by the first request after it"
            assert answer_of(ask(process, there)).code == (code if is_of_all else 0)
        if is_of_all:
            over.append(other)
        assert [await one.wait_for_close() for one in over] == [CLOSED_TO_YOU] * len(over)
        assert time.monotonic() - begun < IN_TIME + A_BUSY_MACHINE
        if not is_of_all:
            await other.send({"type": "ping"})
            await other.wait_for("pong")
