"""The one way to take pictures from outside: decoded safely, kept as pixels and nothing else.

Files come from strangers: the type is told from the content, and the size is known from the
header before anything is decoded. What is made of a picture is a temporary file until somebody
needs it for good (`files.make_permanent`).
"""

import io
import threading
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Waited
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.db import connections
from django.utils import timezone
from PIL import Image

from ops.errors import Unavailable
from ops.models import FilePurpose, StoredFile
from ops.services import files
from ops.services.memory import give_back, give_large_back
from ops.services.picture_decoders import FACTORS, PictureFile, open_file
from ops.services.picture_files import LONGEST_SIDE, type_of

# Longer than any request: what a killed process left behind is told by it.
UNUSED_FOR = timedelta(hours=1)

# What one picture may take while it is decoded; what would take more counts as a bomb.
MOST_MEMORY = 180_000_000  # bytes
# A larger picture is decoded to a half, a quarter or an eighth of its sides.
MOST_DECODED_PIXELS = 16_000_000
# As many rows of a result are made at a time when a picture is shrunk.
ROWS = 256

# So long a picture waits for its turn, and so many of them wait at most, before the answer is 1503.
PATIENCE = 20  # seconds
MOST_WAITING = 64

# What EXIF's orientations ask for.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}

type Scale = Callable[[int, int], float]
type Sides = Callable[[int, int], bool]


class UnknownType(Exception):
    """The content is no picture, or of a type that is not taken."""


class BrokenPicture(Exception):
    """A picture that is broken, cut off, too large to be decoded or of sides that are not taken."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture, and to which part of the size of its file it was shrunk (1 at most)."""

    image: Image.Image
    scale: float


@dataclass(frozen=True, slots=True)
class Renditions:
    """A picture as it is kept: two JPEGs without metadata."""

    content: bytes
    thumbnail: bytes


# --- One at a time ------------------------------------------------------------------------------
_own = threading.local()


def _begin() -> None:
    _own.is_turn = True
    give_large_back()


# One thread, not a lock around any: what the C library keeps of freed memory, it keeps for each.
_turns = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures", initializer=_begin)
_waiting = threading.BoundedSemaphore(MOST_WAITING)


class _Line:
    """Who waits for a turn: an owner's in the order in which they came, the owners in rounds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int | None, deque[Callable[[], None]]] = {}

    def join(self, owner_id: int | None, turn: Callable[[], None]) -> None:
        """Let a turn wait behind those of its owner."""
        with self._lock:
            self._waiting.setdefault(owner_id, deque()).append(turn)

    def next(self) -> Callable[[], None]:
        """Take out the turn that is next; all other owners come before its owner's following one.

        Call it as often as somebody joins, and no more.
        """
        with self._lock:
            owner_id = next(iter(self._waiting))
            theirs = self._waiting.pop(owner_id)
            turn = theirs.popleft()
            if theirs:
                self._waiting[owner_id] = theirs
        return turn


_line = _Line()


def _take[Result](turn: Future[Result], work: Callable[[], Result]) -> None:
    """Work in the thread of the pictures, unless whoever waited for it is gone."""
    if not turn.set_running_or_notify_cancel():
        return
    try:
        try:
            result = work()
        finally:
            give_back()
    except BaseException as error:  # noqa: BLE001  whoever waits gets it
        turn.set_exception(error)
        del turn, work  # or the trace of the error would keep them, and they it
    else:
        turn.set_result(result)


def in_turn[Result](work: Callable[[], Result], *, owner_id: int | None = None) -> Result:
    """Do work with a picture when no other one of this process is being worked on.

    What is sent has to be read inside of it, so that nothing stands in memory while it waits; nor
    is a connection to the database held meanwhile, except within a transaction. However many
    pictures one owner sends, each other owner waits for one of them.
    Raises Unavailable (1503) when too many wait or it waited too long, and what the work raises.
    """
    if getattr(_own, "is_turn", False):
        return work()
    if not _waiting.acquire(blocking=False):
        raise Unavailable
    try:
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()  # back into the pool; the next statement takes one again
        turn: Future[Result] = Future()
        _line.join(owner_id, partial(_take, turn, work))
        _turns.submit(lambda: _line.next()())
        try:
            return turn.result(timeout=PATIENCE)
        except Waited:
            if turn.cancel():
                raise Unavailable from None
            return turn.result()  # it has begun meanwhile, and takes no longer than a moment
    finally:
        _waiting.release()


# --- Decoding -----------------------------------------------------------------------------------
def decode(
    received: bytes,
    *,
    scale: Scale,
    max_pixels: int,
    types: Collection[str] = ("JPEG", "PNG", "WEBP", "HEIF"),
    sides: Sides | None = None,
) -> Decoded:
    """Decode all of a file: RGB, upright, on white paper, no larger than needed, no metadata.

    `scale(width, height)` says to which part of its size in pixels a picture is shrunk, 1 at most;
    `types` are Pillow's names; `sides(width, height)` says which sides are taken, all by default.
    Raises UnknownType; and BrokenPicture, also for more pixels than `max_pixels`.
    """
    image_type = type_of(received)
    if image_type not in types:
        raise UnknownType
    try:
        file = open_file(received, image_type)
        width, height, orientation = file.width, file.height, file.orientation
        if width * height > max_pixels or max(width, height) > LONGEST_SIDE:
            raise BrokenPicture  # noqa: TRY301  a decompression bomb; one way out
        if sides is not None and not sides(width, height):
            raise BrokenPicture  # noqa: TRY301
        picture = file.decode(_factor(file, scale))
        del file  # some decoders keep all pixels of theirs
        if (turn := _TURNS.get(orientation)) is not None:
            picture = picture.transpose(turn)
        if orientation in _SIDEWAYS:
            width, height = height, width
        picture = _shrink(picture, _scaled(width, height, scale(width, height)))
    except Exception as error:
        # Decoders raise whatever comes to them from a broken or a hostile file.
        raise BrokenPicture from error
    picture.info = {}
    return Decoded(image=picture, scale=max(picture.size) / max(width, height))


def within(side: int) -> Scale:
    """The scale that lets a picture fit into a square, in pixels."""

    def scale(width: int, height: int) -> float:
        return min(1.0, side / max(width, height))

    return scale


def _factor(file: PictureFile, scale: Scale) -> int:
    """The whole factor by which a picture is shrunk while it is decoded."""
    part = scale(file.width, file.height)
    for factor in FACTORS:
        is_enough = factor == FACTORS[-1] or 2 * factor * part > 1
        fits = file.pixels(factor) <= MOST_DECODED_PIXELS and file.needed(factor) <= MOST_MEMORY
        if is_enough and fits:
            return factor
    raise BrokenPicture


def _scaled(width: int, height: int, part: float) -> tuple[int, int]:
    return max(1, round(width * part)), max(1, round(height * part))


def _shrink(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Shrink a picture to a size in pixels, unless it is no larger.

    Some rows at a time, so that no third picture of its size stands beside the two.
    """
    if size[0] >= picture.width or size[1] >= picture.height:
        return picture
    width, height = size
    down = picture.height / height
    shrunk = Image.new(picture.mode, size)
    for top in range(0, height, ROWS):
        bottom = min(top + ROWS, height)
        rows = picture.resize(
            (width, bottom - top),
            Image.Resampling.LANCZOS,
            box=(0, top * down, picture.width, min(bottom * down, picture.height)),
            reducing_gap=2.0,
        )
        shrunk.paste(rows, (0, top))
    return shrunk


# --- What is kept -------------------------------------------------------------------------------
def render(
    picture: Image.Image, *, quality: int, thumbnail_side: int, thumbnail_quality: int
) -> Renditions:
    """Write a decoded picture as JPEG, as it is and within a square of so many pixels."""
    part = within(thumbnail_side)(*picture.size)
    small = _shrink(picture, _scaled(*picture.size, part))
    return Renditions(content=_jpeg(picture, quality), thumbnail=_jpeg(small, thumbnail_quality))


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=quality)
    return target.getvalue()


def store(
    renditions: Renditions,
    *,
    purpose: FilePurpose,
    thumbnail_purpose: FilePurpose,
    owner_id: int | None = None,
    name: str = "",
) -> tuple[StoredFile, StoredFile]:
    """Write a picture and its thumbnail into the storage, for an hour unless they are needed."""
    expires_at = timezone.now() + UNUSED_FOR
    file, thumbnail = (
        files.store(
            content=content,
            purpose=what,
            media_type="image/jpeg",
            owner_id=owner_id,
            name=name,
            expires_at=expires_at,
        )
        for content, what in (
            (renditions.content, purpose),
            (renditions.thumbnail, thumbnail_purpose),
        )
    )
    return file, thumbnail
