"""`/ws/`: one socket of one person."""

import asyncio
import logging
import time
import uuid
from datetime import UTC, datetime

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db.models import Q
from django.utils import timezone, translation
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from accounts.errors import AccountClosed
from accounts.events import CLOSED_TO_YOU, NOT_SIGNED_IN, points_event
from accounts.models import DeviceSession, PointsEntry, User, UserStatus
from accounts.services import sign_in, tokens
from ops.api.languages import language_for
from ops.errors import NotSignedIn, Unreadable, ValidationFailed
from ops.identifiers import MAX_ID
from ops.realtime import hub, push
from ops.realtime.pace import Pace
from ops.realtime.push import REPLAY_LIMIT

HEARTBEAT = 30  # seconds between the pings that a client should send
# How much a client may send; more closes the socket.
MESSAGES, MESSAGES_SECONDS = 120, 10
RESUMES, RESUMES_SECONDS = 10, 60
LARGEST_MESSAGE = 1024 * 1024  # bytes
# Codes of the protocol itself; those from 4000 on are ours.
TOO_MANY_MESSAGES, MESSAGE_TOO_LARGE, TRY_AGAIN_LATER = 1008, 1009, 1013
SECONDS_TO_JOIN = 5

logger = logging.getLogger(__name__)


class RealtimeConsumer(AsyncWebsocketConsumer):
    """Says hello, then hands on what the hub brings, in the order of the ledger."""

    # Not a configured layer: the hub feeds this socket, it needs no channel of its own.
    channel_layer_alias = "none: fed by the hub"

    async def connect(self):
        self.socket_id = uuid.uuid4().hex
        self.owner_id = None
        self.points_version = None
        self.is_open = True
        self._own = asyncio.Lock()
        self._tasks = set()
        self._before_hello: list[str] | None = []
        self.outbox = hub.Outbox(self.write, self._drop)
        self.messages = Pace(MESSAGES, seconds=MESSAGES_SECONDS)
        self.resumes = Pace(RESUMES, seconds=RESUMES_SECONDS)
        offered, token = _offered_token(self.scope)
        await self.accept(subprotocol="bearer" if offered else None)
        # Accepted first and closed then: a refused handshake cannot carry a close code.
        if not await self._sign_in(token):
            return
        is_greeted = False
        try:
            async with asyncio.timeout(SECONDS_TO_JOIN):
                await hub.current().join(self)
            await self._hello()
            is_greeted = True
        except Exception:
            # No channel layer, or no database: the client comes back when there is one.
            logger.exception("A socket could not be served")
            await self.disconnect_with(TRY_AGAIN_LATER)
        finally:
            # Cancelled by the server, it would stay in the hub and collect messages without end.
            if not is_greeted:
                self._leave()

    async def _sign_in(self, token):
        try:
            claims, session = await database_sync_to_async(_read_token)(token)
        except (AccountClosed, _SessionRevoked):
            await self.disconnect_with(CLOSED_TO_YOU)
            return False
        except NotSignedIn:
            await self.disconnect_with(NOT_SIGNED_IN)
            return False
        if self.owner_id not in (None, session.user_id):
            await self.disconnect_with(NOT_SIGNED_IN)
            return False
        self.owner_id = session.user_id
        self.session_id = session.pk
        self.expires_at = claims.expires_at
        return True

    async def _hello(self):
        async with self._own:
            person = await User.objects.values("total_points", "points_version").aget(
                pk=self.owner_id
            )
            self.points_version = person["points_version"]
            self.put(
                "hello",
                {
                    "user_id": self.owner_id,
                    **person,
                    "heartbeat": HEARTBEAT,
                    "server_time": push.timestamp(timezone.now()),
                },
            )
            for text in self._before_hello or ():
                self.outbox.put(text)
            self._before_hello = None

    # --- From the client --------------------------------------------------------------------
    async def receive(self, text_data=None, bytes_data=None):
        if self.owner_id is None or not self.is_open:
            return  # closed; what was on its way says nothing
        sent = bytes_data or (text_data or "").encode()
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
                await self._sign_in(token if isinstance(token, str) else "")
            case "resume" if not self.resumes.allows_one_more(time.monotonic()):
                await self.disconnect_with(TOO_MANY_MESSAGES)
            case "resume":
                await self._resume(data if isinstance(data, dict) else {})
            case _:
                self.refuse(ValidationFailed.code, _("There is no message of this type."))

    async def _resume(self, data):
        version, since = data.get("points_version"), _moment(data.get("since"))
        async with self._own:
            missed = await database_sync_to_async(_missed)(self.owner_id, version, since)
            for event in missed if len(missed) <= REPLAY_LIMIT else ():
                self.outbox.put(hub.encode(event))
                if event.type == "points_update":  # it need not come a second time as a push
                    self.points_version = max(self.points_version, event.version)
        if len(missed) > REPLAY_LIMIT:
            await self._hello()

    # --- From the hub -----------------------------------------------------------------------
    def deliver(self, event, text):
        """Send one event, after the hello; ledger changes wait their turn."""
        if event.type != "points_update":
            if self._before_hello is None:
                self.outbox.put(text)
            else:
                self._before_hello.append(text)
            return
        task = asyncio.create_task(self._deliver_points(event, text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_points(self, event, text):
        """Send ledger changes once each and in order, whatever order processes sent them in."""
        async with self._own:
            if self.points_version is None or event.version <= self.points_version:
                return  # the hello counted it already, or it went out with a later one
            if event.version == self.points_version + 1:
                self.outbox.put(text)
            else:
                # A later commit overtook an earlier one on the way here. Both are committed.
                try:
                    missed = await database_sync_to_async(_entries_between)(
                        self.owner_id, self.points_version, event.version
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
            self.points_version = event.version

    # --- The connection ---------------------------------------------------------------------
    def put(self, kind, data):
        """Send one message in its turn."""
        self.outbox.put(orjson.dumps({"type": kind, "data": data}).decode())

    def refuse(self, code, why):
        """Say no to one message, in the client's language; the socket stays open."""
        headers = dict(self.scope["headers"])
        with translation.override(language_for(headers.get(b"accept-language", b""))):
            self.put("error", {"code": code, "message": str(why)})

    async def write(self, text):
        """Hand a text to the server; returns when the server has taken it."""
        await self.base_send({"type": "websocket.send", "text": text})

    def _drop(self):
        """Close a socket that does not take what it is sent; its client comes back and resumes."""
        task = asyncio.create_task(self.disconnect_with(TRY_AGAIN_LATER))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def disconnect_with(self, code):
        """Close from our side, once."""
        if self.is_open:
            self.is_open = False
            self._leave()
            await self.close(code=code)

    async def disconnect(self, code):
        self.is_open = False
        self._leave()
        for task in list(self._tasks):
            task.cancel()

    def _leave(self):
        if self.owner_id is not None:
            hub.current().leave(self)


class _SessionRevoked(NotSignedIn):
    """The token is good but its session was ended."""


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


def _read_token(token):
    claims = tokens.read_access(token)
    try:
        return claims, sign_in.live_session(token)
    except NotSignedIn as error:
        raise _SessionRevoked from error


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
    return set(
        DeviceSession.objects.filter(pk__in=session_ids)
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
    await hub.close_all((socket for socket in sockets if socket.expires_at <= now), NOT_SIGNED_IN)
    if sockets:
        ended = await database_sync_to_async(_ended_sessions)(
            {socket.session_id for socket in sockets}
        )
        await hub.close_all(
            (socket for socket in sockets if socket.session_id in ended), CLOSED_TO_YOU
        )
