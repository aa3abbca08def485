"""`/ws/`: one socket of one person."""

import asyncio
import logging
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import orjson
from channels.db import database_sync_to_async
from django.db import connection
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.utils import timezone, translation
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from accounts.events import CLOSED_TO_YOU, NOT_SIGNED_IN, points_event
from accounts.models import DeviceSession, PointsEntry, UserStatus
from accounts.services import tokens
from accounts.services.greeting import SignedInAs, standings
from ops import request_id
from ops.api.languages import language_for
from ops.errors import NotSignedIn, Unreadable, ValidationFailed
from ops.identifiers import MAX_ID
from ops.realtime import hub, push
from ops.realtime.gathering import Gathering
from ops.realtime.pace import Pace
from ops.realtime.push import REPLAY_LIMIT
from ops.services import maintenance

HEARTBEAT = 30  # seconds between the pings that a client should send
# How much a client may send; more closes the socket.
MESSAGES, MESSAGES_SECONDS = 120, 10
RESUMES, RESUMES_SECONDS = 10, 60
LARGEST_MESSAGE = 1024 * 1024  # bytes
# Codes of the protocol itself; those from 4000 on are ours.
TOO_MANY_MESSAGES, MESSAGE_TOO_LARGE, TRY_AGAIN_LATER = 1008, 1009, 1013
SECONDS_TO_JOIN = 5
MOST_GREETED_TOGETHER = 500  # by one query; whoever comes on top of them is in the next

logger = logging.getLogger(__name__)


async def _read_standings(those):
    return await database_sync_to_async(standings)(those)


_standings = Gathering(_read_standings, most=MOST_GREETED_TOGETHER)


class RealtimeConsumer:
    """Says hello, then hands on what the hub brings, in the order of the ledger.

    It speaks ASGI by itself: Channels' consumer would hop into a thread and start a task for
    every message that comes in. There are thousands of them: what most never need, as a lock, is
    made when it is needed.
    """

    __slots__ = (
        "_before_hello", "_catching_up", "_ledger_lock", "_newest", "_wanted_language",
        "base_send", "expires_at", "is_counted", "is_open", "messages", "names_issuer", "outbox",
        "owner_id", "points_version", "resumes", "session_id", "socket_id",
    )  # fmt: skip

    def __init__(self, scope, send):
        self.base_send = send
        self.socket_id = uuid.uuid4().hex
        # What the token says and then the hello, in this order.
        self.owner_id: Any = None
        self.session_id: Any = None
        self.expires_at: Any = None
        self.names_issuer: Any = None
        self.points_version: Any = None
        self.is_open = True
        self.is_counted = False
        self._wanted_language = dict(scope["headers"]).get(b"accept-language", b"")
        self._ledger_lock: asyncio.Lock | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._newest = 0  # the newest ledger entry that was heard of while catching up
        self._before_hello: list[tuple[push.Event, str]] | None = []
        self.outbox = hub.Outbox(self.write, self._drop)
        self.messages = Pace(MESSAGES, seconds=MESSAGES_SECONDS)
        self.resumes = Pace(RESUMES, seconds=RESUMES_SECONDS)

    async def serve(self, scope, receive):
        """Greet, then listen until one of both ends closes."""
        request_id.current.set(self.socket_id)  # of this task alone: its lines are found by it
        try:
            await receive()  # websocket.connect
            await self._greet(await self._accept(scope))
            while await self._take(await receive()):
                pass
        finally:
            # Cancelled by the server, it would stay in the hub and collect messages without end.
            self.is_open = False
            self._leave()
            if self._catching_up is not None:
                self._catching_up.cancel()

    async def _accept(self, scope):
        """Accept first and close then: a refused handshake cannot carry a close code."""
        offered, token = _offered_token(scope)
        await self.base_send(
            {"type": "websocket.accept", "subprotocol": "bearer" if offered else None}
        )
        return token

    async def _greet(self, token):
        """Join first and read then: no change between the two passes this socket by."""
        notice = maintenance.current()
        if notice.is_on:
            await self.write(
                hub.encode(push.Event(type="maintenance", data=maintenance.told(notice)))
            )
            await self.disconnect_with(TRY_AGAIN_LATER)
            return
        try:
            claims = tokens.read_access(token)
        except NotSignedIn:
            await self.disconnect_with(NOT_SIGNED_IN)
            return
        self._stand_on(claims)
        try:
            async with asyncio.timeout(SECONDS_TO_JOIN):
                await hub.current().join(self)
            standing = await self._standing()
        except Exception:
            # No channel layer, or no database: the client comes back when there is one.
            logger.exception("A socket could not be served")
            await self.disconnect_with(TRY_AGAIN_LATER)
            return
        if standing is None:
            await self.disconnect_with(CLOSED_TO_YOU)
        elif self.is_open:  # nobody closed it meanwhile
            hub.current().count(self)
            self._say_hello(standing)
            held_back, self._before_hello = self._before_hello, None
            for event, text in held_back or ():
                self.deliver(event, text)

    def _stand_on(self, claims):
        self.owner_id = claims.person_id
        self.session_id = claims.session_id
        self.expires_at = claims.expires_at
        self.names_issuer = claims.names_issuer

    def _standing(self):
        signed_in_as = SignedInAs(self.owner_id, self.session_id, self.names_issuer)
        return _standings.answer_to(signed_in_as)

    def _say_hello(self, standing):
        self.points_version = standing.points_version
        self.put(
            "hello",
            {
                "user_id": self.owner_id,
                "total_points": standing.total_points,
                "points_version": standing.points_version,
                "heartbeat": HEARTBEAT,
                "server_time": push.timestamp(timezone.now()),
            },
        )

    # --- From the client --------------------------------------------------------------------
    async def _take(self, message):
        """Act on what the server brings; False at the end of the connection."""
        if message["type"] != "websocket.receive":
            return False
        if self.is_open:  # else closed: what was on its way says nothing
            await self._listen_to(message.get("bytes") or (message.get("text") or "").encode())
        return True

    async def _listen_to(self, sent):
        if len(sent) > LARGEST_MESSAGE:
            await self.disconnect_with(MESSAGE_TOO_LARGE)
            return
        if not self.messages.allows_one_more(time.monotonic()):
            await self.disconnect_with(TOO_MANY_MESSAGES)
            return
        try:
            message = orjson.loads(sent)
            kind, data = message["type"], message.get("data")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            self.refuse(Unreadable.code, _("This is no message of this protocol."))
            return
        match kind:
            case "ping":
                self.put("pong", {"server_time": push.timestamp(timezone.now())})
            case "auth":
                token = message.get("token")
                await self._stand_on_another(token if isinstance(token, str) else "")
            case "resume" if not self.resumes.allows_one_more(time.monotonic()):
                await self.disconnect_with(TOO_MANY_MESSAGES)
            case "resume":
                await self._resume(data if isinstance(data, dict) else {})
            case _:
                self.refuse(ValidationFailed.code, _("There is no message of this type."))

    async def _stand_on_another(self, token):
        """Go on by another token, of the same person, that may belong to another sign-in."""
        try:
            claims = tokens.read_access(token)
        except NotSignedIn:
            await self.disconnect_with(NOT_SIGNED_IN)
            return
        standing = await _standings.answer_to(
            SignedInAs(claims.person_id, claims.session_id, claims.names_issuer)
        )
        if standing is None:
            await self.disconnect_with(CLOSED_TO_YOU)
        elif claims.person_id != self.owner_id:
            await self.disconnect_with(NOT_SIGNED_IN)
        else:
            self._stand_on(claims)

    async def _resume(self, data):
        version, since = data.get("points_version"), _moment(data.get("since"))
        async with self._ledger():
            missed = await database_sync_to_async(_missed)(self.owner_id, version, since)
            for event in missed if len(missed) <= REPLAY_LIMIT else ():
                self.outbox.put(hub.encode(event))
                if event.type == "points_update":  # it need not come a second time as a push
                    self.points_version = max(self.points_version, event.version)
            if len(missed) > REPLAY_LIMIT:
                standing = await self._standing()
                if standing is None:
                    await self.disconnect_with(CLOSED_TO_YOU)
                else:
                    self._say_hello(standing)

    # --- From the hub -----------------------------------------------------------------------
    def deliver(self, event, text):
        """Send one event, after the hello; ledger changes wait their turn."""
        if self._before_hello is not None:
            self._before_hello.append((event, text))
            if len(self._before_hello) > hub.BACKLOG:
                self._drop()
        elif event.type != "points_update":
            self.outbox.put(text)
        elif self._is_next(event):
            self.points_version = event.version
            self.outbox.put(text)
        else:
            self._newest = max(self._newest, event.version)
            if self._catching_up is None:
                self._catching_up = asyncio.create_task(self._catch_up())

    def _is_next(self, event):
        """Whether it follows upon the last one that was sent, and nobody reads the ledger now."""
        is_being_read = self._ledger_lock is not None and self._ledger_lock.locked()
        return not is_being_read and event.version == self.points_version + 1

    def _ledger(self):
        """The right to send from the ledger: one at a time has it."""
        if self._ledger_lock is None:
            self._ledger_lock = asyncio.Lock()
        return self._ledger_lock

    async def _catch_up(self):
        """Send ledger changes once each and in order, whatever order processes sent them in.

        A later commit overtook an earlier one on the way here. Both are committed: the ledger has
        them in order, up to the newest that was heard of. What the hello counted already, or went
        out with a later one, is not sent again.
        """
        tried = None
        try:
            async with self._ledger():
                while self.points_version < self._newest and self._newest != tried:
                    tried = self._newest
                    await self._send_entries(tried)
        finally:
            self._catching_up = None

    async def _send_entries(self, newest):
        try:
            missed = await database_sync_to_async(_entries_between)(
                self.owner_id, self.points_version, newest
            )
        except Exception:
            logger.exception(
                "The ledger of person %s could not be read for a push; the next one "
                "brings what is missing",
                self.owner_id,
            )
            return
        for entry in missed:
            self.outbox.put(hub.encode(points_event(entry)))
        self.points_version = newest

    # --- The connection ---------------------------------------------------------------------
    def put(self, kind, data):
        """Send one message in its turn."""
        self.outbox.put(orjson.dumps({"type": kind, "data": data}).decode())

    def refuse(self, code, why):
        """Say no to one message, in the client's language; the socket stays open."""
        with translation.override(language_for(self._wanted_language)):
            self.put("error", {"code": code, "message": str(why)})

    async def write(self, text):
        """Hand a text to the server; returns when the server has taken it."""
        await self.base_send({"type": "websocket.send", "text": text})

    def _drop(self):
        """Close a socket that does not take what it is sent; its client comes back and resumes."""
        hub.close_all([self], TRY_AGAIN_LATER)

    async def disconnect_with(self, code):
        """Close from our side, once."""
        if self.is_open:
            self.is_open = False
            self._leave()
            await self.base_send({"type": "websocket.close", "code": code})

    def _leave(self):
        if self.owner_id is not None:
            hub.current().leave(self)


async def serve_socket(scope, receive, send):
    """The ASGI application of `/ws/`."""
    await RealtimeConsumer(scope, send).serve(scope, receive)


def _offered_token(scope):
    """Whether `bearer` was offered as a subprotocol, and the token from there or the header."""
    protocols = scope.get("subprotocols") or []
    if protocols and protocols[0] == "bearer":
        return True, protocols[1] if len(protocols) > 1 else ""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _space, token = value.decode("latin-1").partition(" ")
            return False, token.strip() if scheme.lower() == "bearer" else ""
    return False, ""


def _moment(text) -> datetime | None:
    try:
        moment = parse_datetime(text) if isinstance(text, str) else None
        if moment and timezone.is_naive(moment):
            moment = timezone.make_aware(moment)
    except ValueError:
        return None
    if moment is None:
        return None
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        # "Never" in a client's own time zone is before the first moment of UTC.
        return datetime.min.replace(tzinfo=UTC) if moment.year == 1 else None


def _ended_sessions(session_ids):
    ids = session_ids
    if connection.vendor == "postgresql":
        # One parameter instead of thousands: 9 ms instead of 102 for 5,000, every few seconds.
        ids = RawSQL("SELECT unnest(%s::bigint[])", [list(session_ids)])
    return set(
        DeviceSession.objects.filter(pk__in=ids)
        .filter(Q(revoked_at__isnull=False) | ~Q(user__status=UserStatus.ACTIVE))
        .values_list("pk", flat=True)
    )


def _entries_between(person_id, known, newest):
    return list(
        PointsEntry.objects.filter(
            user_id=person_id, sequence__gt=known, sequence__lte=newest
        ).order_by("sequence")
    )


def _missed(person_id, version, since):
    """What a client missed, at most one more than may be replayed."""
    missed = []
    if isinstance(version, int) and not isinstance(version, bool) and 0 <= version <= MAX_ID:
        entries = PointsEntry.objects.filter(user_id=person_id, sequence__gt=version)
        missed += [
            points_event(entry, is_replay=True)
            for entry in entries.order_by("sequence")[: REPLAY_LIMIT + 1]
        ]
    if since is not None:
        missed += push.replay_since(person_id, since)[: REPLAY_LIMIT + 1]
    return missed


async def close_ended(sockets):
    """Close sockets whose token ran out or whose session was ended without a push.

    A push can be lost, and a management command beside the embedded server has no way to send
    one: every process looks for itself, so that 5 seconds is the longest an ended session lives.
    """
    now = timezone.now()
    hub.close_all((socket for socket in sockets if socket.expires_at <= now), NOT_SIGNED_IN)
    if sockets:
        ended = await database_sync_to_async(_ended_sessions)(
            {socket.session_id for socket in sockets}
        )
        hub.close_all((socket for socket in sockets if socket.session_id in ended), CLOSED_TO_YOU)
