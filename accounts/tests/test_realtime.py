"""`/ws/`: who may in, what they hear, and how it ends."""

import asyncio
import threading
import tracemalloc
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext, override

from accounts import consumers
from accounts import events as points_push
from accounts.errors import NotEnoughPoints, RefreshTokenReused
from accounts.models import DeviceSession, PointsEntry, PointsSource, User, UserStatus
from accounts.services import sign_in as service
from accounts.services.points import change_points
from accounts.tests.factories import make_sign_in
from accounts.tests.ledgers import TABLE
from accounts.tests.sockets import SILENT, Client, in_database, opened
from ops.realtime import hub, push
from ops.realtime.pace import Pace
from ops.realtime.push import Event
from ops.registry import Registry
from ops.tests.layers import IN_MEMORY, LAYERS
from ops.tests.sockets import end_of_the_process, hand_to_hub, until
from tests.keys import claims_of, sign
from tests.people import give, make_person

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
async def process(settings):
    """A process that serves sockets, on the in-memory layer."""
    settings.CHANNEL_LAYERS = IN_MEMORY
    yield hub.current()
    await end_of_the_process()


@pytest.fixture(params=LAYERS)
async def either_process(request, settings):
    """The same on each layer."""
    settings.CHANNEL_LAYERS = request.param
    yield hub.current()
    await end_of_the_process()


@pytest.fixture
async def me(process):
    return await in_database(make_sign_in)


def token_of(signed_in, **claims):
    """The person's access token, or one that differs from it in these claims."""
    if not claims:
        return signed_in.pair.access_token
    return sign({**claims_of(signed_in.pair.access_token), **claims})


def only_socket(*, of=None) -> Any:
    """The consumer behind the only socket of this process, or of this person."""
    here = hub.current()
    (socket,) = here.sockets if of is None else here.by_owner[of.person.pk]
    return socket


def versions(messages):
    assert {message["type"] for message in messages} <= {"points_update"}
    return [message["data"]["points_version"] for message in messages]


# --- The handshake ------------------------------------------------------------------------------
async def test_a_token_as_subprotocol_is_answered_with_bearer_and_a_hello(me):
    await in_database(give, me.person, 250)
    client = Client(token_of(me))
    assert await client.open() == (True, "bearer")
    hello = await client.next()
    server_time = hello["data"].pop("server_time")
    assert hello == {
        "type": "hello",
        "data": {
            "user_id": me.person.pk,
            "total_points": 250,
            "points_version": 1,
            "heartbeat": 30,
        },
    }
    assert server_time.endswith("+08:00")
    assert abs(datetime.fromisoformat(server_time) - timezone.now()) < timedelta(seconds=10)
    await client.leave()


async def test_a_token_in_the_header_is_as_good(me):
    client = Client(token_of(me), by="header")
    assert await client.open() == (True, None)
    assert (await client.next())["data"]["user_id"] == me.person.pk
    await client.leave()


@pytest.mark.parametrize("path", ["/ws", "/ws/"])
async def test_the_slash_may_be_missing(me, path):
    client, _hello = await opened(token_of(me), path=path)
    await client.leave()


async def test_a_token_in_the_address_is_none(me):
    client = Client(by="nothing", path=f"/ws/?token={token_of(me)}&access_token={token_of(me)}")
    assert (await client.open())[0]
    assert await client.close_code() == 4401


@pytest.mark.parametrize("path", ["/", "/ws/x", "/ws//", "/api/ws/"])
async def test_no_other_path_is_a_socket(me, path):
    assert (await Client(token_of(me), path=path).open())[0] is False


@pytest.mark.parametrize(
    "name", ["none", "empty", "garbage", "expired", "refresh", "forged", "no session", "no scheme"]
)
async def test_a_bad_token_is_accepted_first_and_then_closed_with_4401(me, name):
    expired = int(timezone.now().timestamp()) - 1
    tokens = {
        "none": Client(),
        "empty": Client(""),
        "garbage": Client("garbage"),
        "expired": Client(token_of(me, exp=expired)),
        "refresh": Client(me.pair.refresh_token),
        "forged": Client(token_of(me)[:-2] + "xx"),
        "no session": Client(token_of(me, sid="x")),
        "no scheme": Client("", by="header"),
    }
    client = tokens.pop(name)
    assert (await client.open())[0] is True
    assert await client.close_code() == 4401
    assert hub.current().sockets == []


async def test_no_token_at_all_is_4401(process):
    client = Client(by="nothing")
    assert await client.open() == (True, None)
    assert await client.close_code() == 4401


async def test_what_a_stranger_says_before_the_end_is_not_listened_to(me):
    client = Client("garbage")
    assert (await client.open())[0]
    await client.say("ping")
    await client.say("auth", token=token_of(me))
    assert (await client.wire.receive_output(5)) == {"type": "websocket.close", "code": 4401}
    await client.leave()


@pytest.mark.parametrize("status", [UserStatus.BANNED, UserStatus.INACTIVE])
async def test_a_closed_account_is_4403(me, status):
    await in_database(service.change_status, person=me.person, status=status)
    client = Client(token_of(me))
    assert (await client.open())[0] is True
    assert await client.close_code() == 4403


async def test_a_revoked_session_is_4403(me):
    await in_database(service.revoke, me.session)
    client = Client(token_of(me))
    assert (await client.open())[0] is True
    assert await client.close_code() == 4403


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "https://localhost.evil.example", "http://127.0.0.1.evil.example",
     "null", "file://", "evil", "http://evil.example:8000"],
)  # fmt: skip
async def test_a_page_of_another_site_is_refused_at_the_handshake(me, origin):
    assert (await Client(token_of(me), origin=origin).open())[0] is False
    assert hub.current().sockets == []


@pytest.mark.parametrize(
    ("host", "origin"),
    [("localhost", None), ("localhost:8000", "http://localhost:8000"),
     ("127.0.0.1", "http://127.0.0.1"), ("[::1]:1", "https://[::1]:1"), ("evil.example", None)],
)  # fmt: skip
async def test_our_own_pages_and_native_apps_may_in(me, host, origin):
    client, _hello = await opened(token_of(me), host=host, origin=origin)
    await client.leave()


@pytest.mark.parametrize(
    ("host", "origin"),
    [("localhost:8000", "http://localhost:9000"), ("localhost", "http://127.0.0.1"),
     ("evil.example", "http://evil.example"), ("", "http://"), ("", "null")],
)  # fmt: skip
async def test_a_page_of_another_port_or_of_a_host_that_is_not_ours_is_refused(me, host, origin):
    assert (await Client(token_of(me), host=host, origin=origin).open())[0] is False


async def test_a_page_that_may_use_the_api_may_listen_as_well(me, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    client, _hello = await opened(token_of(me), origin="https://app.example")
    await client.leave()


# --- What a greeting costs ----------------------------------------------------------------------
@pytest.fixture
async def statements(process):
    """The SQL that this test's sockets have run so far; `.then` is called after each of them."""

    class Statements(list):
        then = None

    run = Statements()

    def note(execute, sql, *more):
        result = execute(sql, *more)
        run.append(sql)
        then, run.then = run.then, None
        if then:
            then()
        return result

    await in_database(lambda: connection.execute_wrappers.append(note))
    yield run
    await in_database(lambda: connection.execute_wrappers.remove(note))


@pytest.fixture
def hops(monkeypatch):
    """Whatever was handed to the thread that the database is asked from."""
    handed: list[Any] = []
    executor = SyncToAsync.single_thread_executor
    submit = executor.submit

    def noted(*arguments, **more):
        handed.append(arguments)
        return submit(*arguments, **more)

    monkeypatch.setattr(executor, "submit", noted)
    return handed


async def test_a_greeting_is_one_statement_in_one_hop(me, statements, hops):
    statements.clear()
    hops.clear()
    client, _hello = await opened(token_of(me))
    assert (len(statements), len(hops)) == (1, 1)
    await client.heard_before_a_pong()
    assert (len(statements), len(hops)) == (1, 1)  # nor does a message need a thread
    await client.leave()
    assert (len(statements), len(hops)) == (1, 1)


async def test_those_who_come_together_share_statement_and_hop(me, statements, hops):
    everybody = [me, *[await in_database(make_sign_in) for _ in range(29)]]
    await in_database(give, me.person, 7)
    statements.clear()
    hops.clear()
    greeted = await asyncio.gather(*(opened(token_of(one)) for one in everybody))
    assert len(statements) == len(hops) <= 3
    assert [hello["user_id"] for _client, hello in greeted] == [one.person.pk for one in everybody]
    assert [hello["total_points"] for _client, hello in greeted] == [7] + [0] * 29
    for client, _hello in greeted:
        await client.leave()


async def test_who_may_not_in_takes_nothing_from_those_who_come_together_with_them(me, statements):
    ended, banned = await in_database(make_sign_in), await in_database(make_sign_in)
    await in_database(service.revoke, ended.session)
    await in_database(service.change_status, person=banned.person, status=UserStatus.BANNED)
    other = await in_database(make_sign_in)
    generation = claims_of(me.pair.access_token)["gen"]
    unknown, others = (f"access-{sid}-{generation}" for sid in (2**63, other.session.pk))
    refused = {
        token_of(ended): 4403,
        token_of(banned): 4403,
        token_of(me, sid=2**63, jti=unknown): 4403,
        token_of(me, sid=other.session.pk, jti=others): 4403,
        token_of(me, exp=1): 4401,
    }
    clients = [Client(token) for token in refused]
    statements.clear()
    (fine, _hello), *_accepted = await asyncio.gather(
        opened(token_of(me)), *(client.open() for client in clients)
    )
    assert len(statements) <= 2
    assert [await client.close_code() for client in clients] == list(refused.values())
    assert hub.current().by_owner.keys() == {me.person.pk}
    assert await fine.heard_before_a_pong() == []
    await fine.leave()


async def test_a_database_that_fails_once_sends_those_away_who_waited_for_it(me, statements):
    def fail():
        raise DatabaseError

    statements.then = fail
    client = Client(token_of(me))
    assert (await client.open())[0]
    assert await client.close_code() == 1013
    assert hub.current().sockets == []
    again, _hello = await opened(token_of(me))
    await again.leave()


async def test_a_change_between_the_read_and_the_hello_is_heard_after_it(me, statements):
    """It was committed too late for the hello, and comes too early to be sent at once."""
    loop = asyncio.get_running_loop()

    def meanwhile():
        give(me.person, 5)
        event = points_push.points_event(PointsEntry.objects.get(user=me.person))
        asyncio.run_coroutine_threadsafe(hand_to_hub(event), loop).result(10)

    statements.then = meanwhile
    client, hello = await opened(token_of(me))
    assert (hello["total_points"], hello["points_version"]) == (0, 0)
    assert versions(await client.heard_before_a_pong()) == [1]
    await client.leave()


async def test_a_sign_in_that_ends_while_it_is_greeted_hears_no_hello(me, statements):
    loop = asyncio.get_running_loop()

    here = hub.current()

    def close():
        order = {"code": 4403, "session_id": me.session.pk, "owner_id": None}
        told = here.handle({"type": "push.close", "payload": order})
        asyncio.run_coroutine_threadsafe(told, loop).result(10)

    statements.then = close
    client = Client(token_of(me))
    assert (await client.open())[0]
    assert await client.wire.receive_output(5) == {"type": "websocket.close", "code": 4403}
    assert here.sockets == []
    assert await client.wire.receive_nothing()
    await client.leave()


async def test_the_token_of_an_ended_sign_in_closes_no_socket_of_its_person(either_process):
    me = await in_database(make_sign_in)
    stolen = await in_database(make_sign_in, me.person)
    await in_database(service.revoke, stolen.session)
    clients = [(await opened(token_of(me)))[0] for _ in range(5)]
    for _ in range(5):
        thief = Client(token_of(stolen))
        assert (await thief.open())[0]
        assert await thief.close_code() == 4403
    other = await in_database(make_sign_in)
    last, _hello = await opened(token_of(other))
    await until(lambda: other.person.pk in hub.current().everywhere)
    for client in (*clients, last):
        assert await client.heard_before_a_pong() == []
        await client.leave()


async def test_a_socket_that_is_not_greeted_keeps_only_so_much(me, monkeypatch):
    real_join = hub.Hub.join

    async def join(self, socket):
        await real_join(self, socket)
        for number in range(hub.BACKLOG + 1):
            await hand_to_hub(Event(type="news", data={"number": number}))

    monkeypatch.setattr(hub.Hub, "join", join)
    client = Client(token_of(me))
    assert (await client.open())[0]
    assert await client.close_code() == 1013
    assert hub.current().sockets == []


def test_a_socket_takes_little_memory():
    """What is ours of it; the server's own part is ten times as much."""
    scope = {"headers": [(b"host", b"localhost")]}

    async def send(message):
        raise AssertionError(message)

    async def bytes_of_each():
        await asyncio.sleep(0)
        tracemalloc.start()
        sockets = [consumers.RealtimeConsumer(scope, send) for _ in range(1000)]
        size, _peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size / len(sockets)

    assert asyncio.run(bytes_of_each()) < 1200


# --- Talking ------------------------------------------------------------------------------------
async def test_a_ping_is_answered_with_the_time(me):
    client, _hello = await opened(token_of(me))
    await client.say("ping")
    pong = await client.next()
    assert pong["type"] == "pong"
    assert list(pong["data"]) == ["server_time"]
    await client.leave()


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "5", "null", '"ping"', "{}", '{"type": null}', '{"type": ["ping"]}',
     '{"type": "unknown"}', '{"type": {}}', "[" * 5000, '{"type": "auth2"}'],
    ids=lambda text: text[:20],
)  # fmt: skip
async def test_nonsense_closes_nothing(me, text):
    client, _hello = await opened(token_of(me), language="en")
    await client.wire.send_input({"type": "websocket.receive", "text": text})
    (message,) = await client.heard_before_a_pong()
    is_of_unknown_type = text.startswith('{"type"')
    assert message == {
        "type": "error",
        "data": {
            "code": 1011 if is_of_unknown_type else 1017,
            "message": "There is no message of this type."
            if is_of_unknown_type
            else "This is no message of this protocol.",
        },
    }
    await client.leave()


@pytest.mark.parametrize(
    ("wanted", "language"), [(None, "zh-hans"), ("en-GB,en;q=0.9", "en"), ("fr", "zh-hans")]
)
async def test_a_refusal_is_in_the_language_of_the_handshake(me, wanted, language):
    client, _hello = await opened(token_of(me), language=wanted)
    await client.say("unknown")
    with override(language):
        said = gettext("There is no message of this type.")
    assert (await client.next())["data"] == {"code": 1011, "message": said}
    await client.leave()


# --- How much -----------------------------------------------------------------------------------
async def test_a_hundred_and_twenty_messages_are_listened_to_and_no_more(me):
    client, _hello = await opened(token_of(me))
    for _ in range(120):
        await client.say("ping")
    for _ in range(120):
        assert (await client.next())["type"] == "pong"
    await client.say("ping")
    assert await client.close_code() == 1008


async def test_what_is_no_message_counts_as_one(me):
    client, _hello = await opened(token_of(me))
    for _ in range(121):
        await client.wire.send_input({"type": "websocket.receive", "text": "nonsense"})
    assert await client.close_code() == 1008


async def test_ten_resumes_are_served_and_no_more(me, monkeypatch):
    asked = []

    def replay(owner_id, _since):
        asked.append(owner_id)
        return []

    monkeypatch.setattr(push, "replays", Registry())
    push.replays.register("of this test", replay)
    client, _hello = await opened(token_of(me))
    for _ in range(3000):
        await client.say("resume", data={"since": "2026-11-22T12:00:00+08:00"})
    assert await client.close_code() == 1008
    assert asked == [me.person.pk] * 10


async def test_a_resume_that_brings_nothing_counts_as_well(me):
    client, _hello = await opened(token_of(me))
    for _ in range(11):
        await client.say("resume")
    assert await client.close_code() == 1008


def test_a_minute_and_ten_seconds_are_counted_back_from_each_message():
    pace = Pace(3, seconds=10)
    taken = [0.0, 4, 8, 9, 14, 19, 30, 30, 30, 39.9, 40]
    assert [pace.allows_one_more(now) for now in taken] == [
        *[True, True, True, False],  # the one at 9 is the fourth since 0
        *[True, True],
        *[True, True, True, False, True],
    ]


def test_the_limits_are_those_of_the_contract():
    assert (consumers.MESSAGES, consumers.MESSAGES_SECONDS) == (120, 10)
    assert (consumers.RESUMES, consumers.RESUMES_SECONDS) == (10, 60)
    assert consumers.LARGEST_MESSAGE == 2**20


@pytest.mark.parametrize("kind", ["text", "bytes"])
async def test_a_message_over_a_megabyte_closes_with_1009(me, kind):
    client, _hello = await opened(token_of(me))
    rest = '{"type": "ping", "rest": ""}'
    for length, expected in ((2**20, "pong"), (2**20 + 1, None)):
        text = rest.replace('""', '"' + "x" * (length - len(rest)) + '"')
        assert len(text) == length
        sent = text if kind == "text" else text.encode()
        await client.wire.send_input({"type": "websocket.receive", kind: sent})
        if expected:
            assert (await client.next())["type"] == expected
    assert await client.close_code() == 1009


async def test_a_megabyte_is_counted_in_bytes(me):
    client, _hello = await opened(token_of(me))
    await client.wire.send_input({"type": "websocket.receive", "text": "积" * 400_000})
    assert await client.close_code() == 1009


async def test_bytes_are_read_as_text(me):
    client, _hello = await opened(token_of(me))
    await client.wire.send_input({"type": "websocket.receive", "bytes": b'{"type": "ping"}'})
    assert (await client.next())["type"] == "pong"
    await client.wire.send_input({"type": "websocket.receive", "bytes": b"\xff\x00"})
    assert [message["type"] for message in await client.heard_before_a_pong()] == ["error"]
    await client.leave()


async def test_a_fresh_token_of_the_same_person_prolongs_the_socket(me):
    soon = int(timezone.now().timestamp()) + 30
    client, _hello = await opened(token_of(me, exp=soon))
    socket = only_socket()
    assert socket.expires_at.timestamp() == soon
    again = await in_database(make_sign_in, me.person)
    await client.say("auth", token=token_of(again))
    assert await client.heard_before_a_pong() == []
    assert socket.expires_at.timestamp() > soon
    assert socket.session_id == again.session.pk
    # It stands on the new sign-in now: the end of the old one is nothing to it.
    await in_database(service.revoke, me.session)
    assert await client.heard_before_a_pong() == []
    await in_database(service.revoke, again.session)
    assert await client.close_code() == 4403


async def test_the_token_of_another_person_closes_with_4401(me):
    other = await in_database(make_sign_in)
    client, _hello = await opened(token_of(me))
    await client.say("auth", token=token_of(other))
    assert await client.close_code() == 4401
    assert hub.current().sockets == []


@pytest.mark.parametrize("token", ["garbage", "", None, 5, ["x"], {}])
async def test_a_token_that_is_none_closes_with_4401(me, token):
    client, _hello = await opened(token_of(me))
    await client.say("auth", token=token, data="x")
    assert await client.close_code() == 4401


async def test_the_token_of_an_ended_sign_in_closes_with_4403(me):
    other = await in_database(make_sign_in, me.person)
    await in_database(service.revoke, other.session)
    client, _hello = await opened(token_of(me))
    await client.say("auth", token=token_of(other))
    assert await client.close_code() == 4403


# --- Ended while connected ----------------------------------------------------------------------
@pytest.mark.parametrize("how", ["ban", "logout", "everywhere", "reuse"])
async def test_a_socket_ends_with_its_sign_in(either_process, how):
    me, other = await in_database(make_sign_in), await in_database(make_sign_in)
    mine, _hello = await opened(token_of(me))
    others, _hello = await opened(token_of(other))

    def steal():
        service.refresh(me.pair.refresh_token)
        DeviceSession.objects.update(rotated_at=timezone.now() - timedelta(seconds=11))
        with pytest.raises(RefreshTokenReused):
            service.refresh(me.pair.refresh_token)

    ends = {
        "ban": lambda: service.change_status(person=me.person, status=UserStatus.BANNED),
        "logout": lambda: service.sign_out(me.session),
        "everywhere": lambda: service.sign_out(me.session, everywhere=True),
        "reuse": steal,
    }
    await in_database(ends[how])
    assert await mine.close_code() == 4403
    assert await others.heard_before_a_pong() == []
    await others.leave()


async def test_an_end_that_was_never_pushed_is_found_by_housekeeping(me, monkeypatch):
    """As when a management command beside the embedded server bans somebody."""
    monkeypatch.setattr(hub, "HOUSEKEEPING_EVERY", 0.02)
    other = await in_database(make_sign_in)
    banned, _hello = await opened(token_of(me))
    revoked, _hello = await opened(token_of(other))
    fine, _hello = await opened(token_of(await in_database(make_sign_in)))
    await in_database(User.objects.filter(pk=me.person.pk).update, status="banned")
    await in_database(
        DeviceSession.objects.filter(pk=other.session.pk).update, revoked_at=timezone.now()
    )
    assert await banned.close_code() == 4403
    assert await revoked.close_code() == 4403
    assert await fine.heard_before_a_pong() == []
    await fine.leave()


@pytest.mark.django_db
def test_thousands_are_looked_after_by_one_short_statement():
    ended, fine = make_sign_in(), make_sign_in()
    service.revoke(ended.session)
    asked = []

    def note(execute, sql, parameters, *more):
        asked.append((sql, parameters))
        return execute(sql, parameters, *more)

    session_ids = {ended.session.pk, fine.session.pk, *range(10**9, 10**9 + 5000)}
    with connection.execute_wrapper(note):
        assert consumers._ended_sessions(session_ids) == {ended.session.pk}
    ((sql, parameters),) = asked
    assert len(sql) < 500
    assert len(parameters) < 5


async def test_a_socket_ends_with_its_token(me, monkeypatch):
    monkeypatch.setattr(hub, "HOUSEKEEPING_EVERY", 0.02)
    client, _hello = await opened(token_of(me))
    socket = only_socket()
    socket.expires_at = timezone.now()
    assert await client.close_code() == 4401


async def test_an_ended_session_lives_five_seconds_at_most():
    """Each look may take a second: one that had just begun, the wait, and the one that sees it."""
    assert 1 + hub.HOUSEKEEPING_EVERY + 1 <= 5
    assert consumers.close_ended in hub.housekeeping.values()


async def test_a_sixth_socket_closes_the_oldest_with_4429(either_process):
    me = await in_database(make_sign_in)
    other = await in_database(make_sign_in)
    bystander, _hello = await opened(token_of(other))
    clients = [(await opened(token_of(me)))[0] for _ in range(5)]
    assert await clients[0].heard_before_a_pong() == []
    clients.append((await opened(token_of(me)))[0])
    assert await clients[0].close_code() == 4429
    for client in (*clients[1:], bystander):
        assert await client.heard_before_a_pong() == []
        await client.leave()


# --- Points -------------------------------------------------------------------------------------
async def test_each_ledger_entry_is_one_update_in_order_for_its_owner_alone(either_process):
    me, other = await in_database(make_sign_in), await in_database(make_sign_in)
    phone, _hello = await opened(token_of(me))
    tablet, _hello = await opened(token_of(me))
    others, _hello = await opened(token_of(other))

    def spend_and_win():
        with transaction.atomic():
            give(me.person, 1000, source="photo_upload", related_id="1")
            for _ in range(10):
                give(me.person, -10)
        give(me.person, 5, source="prize", related_id="2")

    await in_database(spend_and_win)
    entries = await in_database(
        lambda: list(PointsEntry.objects.filter(user=me.person).order_by("sequence"))
    )
    for client in (phone, tablet):
        for entry in entries:
            assert await client.next() == {
                "type": "points_update",
                "data": {
                    "user_id": me.person.pk,
                    "total_points": entry.balance_after,
                    "change_points": entry.points,
                    "reason": entry.source,
                    "points_version": entry.sequence,
                    "timestamp": push.timestamp(entry.created_at),
                },
            }
        assert await client.heard_before_a_pong() == []
    assert await others.heard_before_a_pong() == []
    for client in (phone, tablet, others):
        await client.leave()


async def test_nothing_is_heard_before_the_commit_and_nothing_after_a_rollback(either_process):
    me = await in_database(make_sign_in)
    client, _hello = await opened(token_of(me))
    loop = asyncio.get_running_loop()
    heard = []

    def change(*, commit):
        with transaction.atomic():
            change_points(person_id=me.person.pk, points=5, source=PointsSource.ADJUST)
            # The socket is asked while the transaction is open: it must know nothing.
            heard.append(
                asyncio.run_coroutine_threadsafe(client.heard_before_a_pong(), loop).result(10)
            )
            if not commit:
                transaction.set_rollback(True)

    await asyncio.to_thread(closing_connections(change), commit=False)
    assert heard == [[]]
    assert await client.heard_before_a_pong() == []
    await asyncio.to_thread(closing_connections(change), commit=True)
    assert heard == [[], []]
    assert versions([await client.next()]) == [1]
    assert await client.heard_before_a_pong() == []
    await client.leave()


def closing_connections(function):
    def run(*arguments, **more):
        try:
            return function(*arguments, **more)
        finally:
            connection.close()

    return run


async def test_a_refusal_is_not_heard(me):
    client, _hello = await opened(token_of(me))
    with pytest.raises(NotEnoughPoints):
        await in_database(give, me.person, -1)
    assert await client.heard_before_a_pong() == []
    await client.leave()


async def events_of(person, points):
    """Entries of the ledger whose pushes are withheld, to be handed to the hub by the test."""

    def change():
        events = []
        for amount in points:
            with transaction.atomic():
                entry = change_points(
                    person_id=person.pk, points=amount, source=PointsSource.ADJUST
                )
                transaction.get_connection().run_on_commit.clear()
            events.append(points_push.points_event(entry))
        return events

    return await in_database(change)


@pytest.mark.parametrize(
    "order",
    [(1, 2, 3, 4), (4, 3, 2, 1), (2, 1, 4, 3), (1, 1, 2, 2, 3, 4, 4), (4,), (3, 1, 2, 4, 1, 3)],
)
async def test_updates_go_out_once_each_and_in_order_whatever_order_they_arrive_in(me, order):
    client, _hello = await opened(token_of(me))
    events = await events_of(me.person, [100, -1, -2, -3])
    for number in order:
        await hand_to_hub(events[number - 1])
    heard = [await client.next() for _ in range(4)]
    assert [message["data"]["points_version"] for message in heard] == [1, 2, 3, 4]
    assert [message["data"]["change_points"] for message in heard] == [100, -1, -2, -3]
    assert await client.heard_before_a_pong() == []
    await client.leave()


async def test_the_next_update_needs_no_task_and_no_turn_of_the_loop(me, statements, hops):
    client, _hello = await opened(token_of(me))
    events = await events_of(me.person, [5, 6])
    statements.clear()
    hops.clear()
    before = asyncio.all_tasks()
    for event in events:
        await hand_to_hub(event)
    assert client.wire.output_queue.qsize() == 2
    assert asyncio.all_tasks() == before
    assert versions(await client.heard_before_a_pong()) == [1, 2]
    assert (statements, hops) == ([], [])
    await client.leave()


async def test_whatever_comes_while_the_ledger_is_read_waits_in_one_task(me, statements):
    client, _hello = await opened(token_of(me))
    events = await events_of(me.person, [1] * 40)
    may_go_on, statements.then = threading.Event(), None
    statements.clear()
    before = asyncio.all_tasks()
    statements.then = lambda: may_go_on.wait(10)
    for event in events[1:]:
        await hand_to_hub(event)
    await until(lambda: statements)
    await hand_to_hub(events[0])  # the very next, but it is being read
    waiting = asyncio.all_tasks() - before
    assert len([task for task in waiting if "_catch_up" in repr(task)]) == 1
    assert len(waiting) <= 2  # the other one is the test's way to the socket
    may_go_on.set()
    heard = [await client.next() for _ in range(40)]
    assert versions(heard) == list(range(1, 41))
    assert await client.heard_before_a_pong() == []
    await client.leave()


async def test_what_the_hello_counted_is_not_heard_again(me):
    events = await events_of(me.person, [5, 5])
    client, hello = await opened(token_of(me))
    assert hello["points_version"] == 2
    for event in events:
        await hand_to_hub(event)
    assert await client.heard_before_a_pong() == []
    await client.leave()


async def test_a_lost_push_is_made_up_for_by_the_next(me):
    client, _hello = await opened(token_of(me))
    await events_of(me.person, [5, 6])  # never sent
    (event,) = await events_of(me.person, [7])
    await hand_to_hub(event)
    heard = [await client.next() for _ in range(3)]
    assert [message["data"]["change_points"] for message in heard] == [5, 6, 7]
    await client.leave()


async def test_a_change_between_two_sockets_of_one_moment_reaches_both(me):
    """One connects while the change commits: it is in the hello or comes as an update."""
    for _ in range(5):
        connecting = asyncio.create_task(opened(token_of(me)))
        await in_database(give, me.person, 1)
        client, hello = await connecting
        total = hello["total_points"]
        for message in await client.heard_before_a_pong():
            total += message["data"]["change_points"]
        fresh = await User.objects.aget(pk=me.person.pk)
        assert total == fresh.total_points
        await client.leave()


# --- Resume -------------------------------------------------------------------------------------
async def test_what_was_missed_is_sent_again_and_says_so(me):
    await events_of(me.person, [5, 6, 7])
    client, hello = await opened(token_of(me))
    assert hello["points_version"] == 3
    await client.say("resume", data={"points_version": 1})
    second, third = await client.heard_before_a_pong()
    assert second["replayed"] is True
    assert second["type"] == "points_update"
    assert (second["data"]["points_version"], second["data"]["change_points"]) == (2, 6)
    assert (third["data"]["points_version"], third["data"]["total_points"]) == (3, 18)
    await client.leave()


async def test_what_was_sent_again_does_not_come_a_third_time(me):
    """The push of an entry is on its way while the entry is replayed."""
    client, _hello = await opened(token_of(me))
    events = await events_of(me.person, [5, 6])
    await client.say("resume", data={"points_version": 0})
    assert versions(await client.heard_before_a_pong()) == [1, 2]
    for event in events:
        await hand_to_hub(event)
    assert await client.heard_before_a_pong() == []
    (event,) = await events_of(me.person, [7])
    await hand_to_hub(event)
    assert versions([await client.next()]) == [3]
    await client.leave()


async def test_nobody_resumes_the_ledger_of_another(me):
    other = await in_database(make_person)
    await events_of(other, [5])
    client, _hello = await opened(token_of(me))
    await client.say("resume", data={"points_version": 0})
    assert await client.heard_before_a_pong() == []
    await client.leave()


@pytest.mark.parametrize(("missed", "greeted"), [(100, False), (101, True)])
async def test_more_than_a_hundred_is_a_fresh_hello(me, missed, greeted):
    await events_of(me.person, [1] * missed)
    client, _hello = await opened(token_of(me))
    await client.say("resume", data={"points_version": 0})
    heard = await client.heard_before_a_pong()
    if greeted:
        (hello,) = heard
        assert hello["type"] == "hello"
        assert hello["data"]["points_version"] == missed
    else:
        assert versions(heard) == list(range(1, 101))
    await client.leave()


async def test_what_other_apps_know_is_asked_for_by_time(me, monkeypatch):
    asked = []

    def replay(owner_id, since):
        asked.append((owner_id, since))
        return [Event("review_result", {"upload_id": 1}, owner_id=owner_id, is_replay=True)]

    only = Registry[push.Replay]()
    only.register("noting", replay)
    monkeypatch.setattr(push, "replays", only)
    client, _hello = await opened(token_of(me))
    await client.say("resume", data={"points_version": 0, "since": "2026-01-01T08:00:00+08:00"})
    (message,) = await client.heard_before_a_pong()
    assert message == {
        "type": "review_result",
        "data": {"upload_id": 1, "replayed": True},
        "replayed": True,
    }
    assert asked == [(me.person.pk, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))]
    await client.say("resume", data={"since": "2026-01-01T08:00:00"})
    assert len(await client.heard_before_a_pong()) == 1
    assert asked[1] == asked[0]  # without an offset it is the shop's time
    await client.leave()


@pytest.mark.parametrize(
    "data",
    [None, [], "x", {}, {"points_version": None}, {"points_version": "0"}, {"points_version": -1},
     {"points_version": True}, {"points_version": 2**63}, {"points_version": 0.5},
     {"since": "yesterday"}, {"since": 5}, {"since": "2026-13-01T00:00:00Z"}, {"since": ""},
     {"since": "9999-12-31T23:59:59-23:59"}, {"points_version": 9}],
    ids=str,
)  # fmt: skip
async def test_a_resume_from_nowhere_brings_nothing_and_closes_nothing(me, data):
    await events_of(me.person, [5])
    client, _hello = await opened(token_of(me))
    await client.say("resume", data=data)
    assert await client.heard_before_a_pong() == []
    await client.leave()


# --- Others, and slow ones ----------------------------------------------------------------------
def stock_event(version):
    return Event(
        type="stock_update", data={"stock_version": version}, version=version, subject="product 1"
    )


async def test_stock_is_heard_by_everybody_and_never_goes_back(either_process):
    me, other = await in_database(make_sign_in), await in_database(make_sign_in)
    clients = [(await opened(token_of(one)))[0] for one in (me, other)]
    for version in (1, 5, 3, 9, 2):
        await asyncio.to_thread(push.publish, stock_event(version))
    for client in clients:
        heard = [0]
        while heard[-1] != 9:
            heard.append((await client.next())["data"]["stock_version"])
        assert heard == sorted(set(heard))
        assert await client.heard_before_a_pong() == []
        await client.leave()


async def test_a_socket_that_takes_nothing_holds_nobody_up_and_is_dropped(me, monkeypatch):
    monkeypatch.setattr(hub, "SECONDS_TO_TAKE_A_MESSAGE", 0.3)
    other = await in_database(make_sign_in)
    slow, _hello = await opened(token_of(me))
    fast, _hello = await opened(token_of(other))
    socket = only_socket(of=me)
    real_send, stuck = socket.base_send, asyncio.Event()

    async def base_send(message):
        if message["type"] == "websocket.send":
            await stuck.wait()
        await real_send(message)

    socket.base_send = base_send
    for number in range(20):
        await hand_to_hub(Event(type="news", data={"number": number}))
    heard = await fast.heard_before_a_pong()
    assert [message["data"]["number"] for message in heard] == list(range(20))
    assert await slow.close_code() == 1013
    assert hub.current().by_owner.keys() == {other.person.pk}
    await fast.leave()


async def test_a_socket_too_far_behind_is_dropped(me):
    slow, _hello = await opened(token_of(me))
    socket = only_socket()
    real_send, stuck = socket.base_send, asyncio.Event()

    async def base_send(message):
        if message["type"] == "websocket.send":
            await stuck.wait()
        await real_send(message)

    socket.base_send = base_send
    for number in range(hub.BACKLOG + 2):
        await hand_to_hub(Event(type="news", data={"number": number}))
    await until(lambda: not hub.current().sockets)
    stuck.set()
    assert await slow.close_code() == 1013


async def test_what_comes_before_the_hello_is_heard_after_it(me, monkeypatch):
    """A push for everybody arrives while the socket is being greeted."""
    joined = asyncio.Event()
    real_join = hub.Hub.join

    async def join(self, socket):
        await real_join(self, socket)
        await hand_to_hub(Event(type="news", data={}))
        joined.set()

    monkeypatch.setattr(hub.Hub, "join", join)
    client = Client(token_of(me))
    assert (await client.open())[0]
    assert [(await client.next())["type"] for _ in range(2)] == ["hello", "news"]
    assert joined.is_set()
    await client.leave()


async def test_without_a_channel_layer_a_client_is_told_to_come_back(me, monkeypatch, settings):
    monkeypatch.setattr(consumers, "SECONDS_TO_JOIN", 0.05)
    settings.CHANNEL_LAYERS = SILENT
    client = Client(token_of(me))
    assert (await client.open())[0]
    assert await client.close_code() == 1013
    assert hub.current().sockets == []


async def test_a_ledger_that_cannot_be_read_is_logged_and_made_up_for_later(me, caplog):
    """A read that fails loses nothing: the next update brings what is missing."""
    client, _hello = await opened(token_of(me))
    events = await events_of(me.person, [5, 6, 7])
    failures: list[str] = []

    def fail_once(execute, sql, parameters, *more):
        if TABLE not in sql or failures:
            return execute(sql, parameters, *more)
        failures.append(sql)
        raise DatabaseError

    await in_database(lambda: connection.execute_wrappers.append(fail_once))
    await hand_to_hub(events[1])
    await until(lambda: failures)
    await hand_to_hub(events[2])
    assert versions([await client.next() for _ in range(3)]) == [1, 2, 3]
    (record,) = (one for one in caplog.records if one.name == "accounts.consumers")
    assert f"The ledger of person {me.person.pk} could not be read" in record.getMessage()
    assert record.exc_info
    assert me.person.phone not in caplog.text
    await client.leave()
    await in_database(lambda: connection.execute_wrappers.remove(fail_once))


async def test_a_socket_that_is_cancelled_while_it_is_greeted_leaves_the_hub(me, monkeypatch):
    """As when a client goes away at that moment: its server cancels it."""
    has_joined, join = asyncio.Event(), hub.Hub.join

    async def join_and_be_slow(self, socket):
        await join(self, socket)
        has_joined.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(hub.Hub, "join", join_and_be_slow)
    client = Client(token_of(me))
    await client.open()
    await has_joined.wait()
    assert len(hub.current().sockets) == 1

    client.wire.future.cancel()
    with suppress(asyncio.CancelledError):
        await client.wire.future

    assert hub.current().sockets == []
