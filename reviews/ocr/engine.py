"""Recognising the text of a photo with the models inside the rapidocr wheel."""

import math
import threading
from collections.abc import Callable, Sequence
from datetime import tzinfo
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, cast, override

import cv2
import numpy as np
import numpy.typing as npt
from django.utils import timezone
from PIL import Image

from ops.services.memory import give_back, give_large_back
from ops.services.pictures import decode
from reviews.limits import most_pixels
from reviews.ocr.facts import find_issued_at, find_receipt_number
from reviews.ocr.lines import text_lines
from reviews.ocr.total import choose_total
from reviews.ocr.types import Corners, Point, Reading, ReceiptReader, TextBox

type Pixels = npt.NDArray[np.uint8]
type Quadrilateral = npt.NDArray[np.float32]

DETECTION_MODEL = "PP-OCRv6_det_small.onnx"
DIRECTION_MODEL = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"
RECOGNITION_MODEL = "PP-OCRv6_rec_small.onnx"
THREADS = 1
# A 1500 x 2000 photo takes half the time at 1600 and reads the same.
LONGEST_SIDE = 1600
# The detector enlarges the shorter side to this by itself, so shrinking a long slip further
# would lose letters and save nothing.
SHORTEST_SIDE = 736
# So many pixels the detector looks at: it needs 120 bytes for each of them at once, and finds the
# lines of a slip in a smaller picture than the one in which they are read.
DETECTED_PIXELS = 400_000
STEP = 32  # sides that the detector takes are multiples of it
# A strip is widened to this shape: the detector would enlarge 20 x 20000 pixels to 540 million.
UTMOST_SHAPE = 5
MINIMUM_SCORE = 0.5
LEAST_SIDE = 1.0  # pixel: a box without a width or a height has no letter
# As many of the longest boxes are asked which way up they stand.
VOTERS = 16


class _Detection(Protocol):
    boxes: Any


class _Direction(Protocol):
    cls_res: Sequence[tuple[str, float]] | None


class _Recognition(Protocol):
    txts: Sequence[str] | None
    scores: Sequence[float]


class _Engine(Protocol):
    """The part of rapidocr in use: its three steps, since its whole call hides which way up."""

    def detect_and_crop(
        self, img: Pixels, op_record: dict[str, Any]
    ) -> tuple[list[Pixels], _Detection]: ...

    def cls_and_rotate(self, img: list[Pixels]) -> tuple[list[Pixels], _Direction]: ...

    def recognize_txt(self, img: list[Pixels]) -> _Recognition: ...

    crop_text_regions: Callable[[Pixels, Any], list[Pixels]]


_lock = threading.Lock()
_engine: _Engine | None = None


def _load_engine() -> _Engine:
    """Load the models, once per process; the caller holds the lock."""
    global _engine
    if _engine is None:
        # Imported here: a process that reads no receipts should not pay 100 MB for it.
        import rapidocr

        give_large_back()
        models = Path(rapidocr.__file__).parent / "models"
        cv2.setNumThreads(THREADS)
        # Naming the files keeps rapidocr from ever downloading: a missing one is an error.
        _engine = cast(
            "_Engine",
            rapidocr.RapidOCR(
                params={
                    "Global.log_level": "critical",
                    "Global.text_score": MINIMUM_SCORE,
                    "EngineConfig.onnxruntime.intra_op_num_threads": THREADS,
                    "EngineConfig.onnxruntime.inter_op_num_threads": THREADS,
                    # `_detect` brings pictures to their size.
                    "Det.limit_type": "max",
                    "Det.limit_side_len": DETECTED_PIXELS // STEP,
                    # Each line of a batch is as wide as the widest, and has a score for each of
                    # 18,000 characters: six at once took 140 MB and no less time.
                    "Rec.rec_batch_num": 1,
                    "Det.model_path": str(models / DETECTION_MODEL),
                    "Cls.model_path": str(models / DIRECTION_MODEL),
                    "Rec.model_path": str(models / RECOGNITION_MODEL),
                }
            ),
        )
        # It would cut out every box, which nobody looks at, and divide by the width of each.
        _engine.crop_text_regions = lambda _pixels, _boxes: []
    return _engine


class RapidReceiptReader(ReceiptReader):
    """Reads receipts with rapidocr on this machine's processor; nothing leaves it.

    `zone` is where the slip's wall clock hangs; without one, Django's default time zone.
    """

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone

    @property
    @override
    def model_name(self) -> str:
        return f"rapidocr {version('rapidocr')} PP-OCRv6 small"

    @property
    @override
    def settings(self) -> dict[str, int | float | str]:
        return {
            "detection": DETECTION_MODEL,
            "direction": DIRECTION_MODEL,
            "recognition": RECOGNITION_MODEL,
            "threads": THREADS,
            "longest_side": LONGEST_SIDE,
            "shortest_side": SHORTEST_SIDE,
            "detected_pixels": DETECTED_PIXELS,
            "minimum_score": MINIMUM_SCORE,
        }

    @override
    def read(self, picture: bytes) -> Reading:
        """Read one photo, the right way up or not.

        A picture without text gives a reading of nothing. Raises `UnknownType` or `BrokenPicture`
        of `ops.services.pictures` when the bytes are no picture that can be decoded.
        """
        boxes = recognise(picture)
        lines = text_lines(boxes)
        amount, confidence = choose_total(boxes)
        return Reading(
            amount=amount,
            confidence=confidence,
            receipt_number=find_receipt_number(lines),
            issued_at=find_issued_at(lines, self._zone or timezone.get_default_timezone()),
            boxes=boxes,
        )


def recognise(picture: bytes) -> tuple[TextBox, ...]:
    """Return the text boxes of a picture, in pixels of the picture turned by its EXIF.

    One picture at a time per process: each takes a core and some 100 MB.
    """
    with _lock:
        try:
            return _recognise(picture)
        finally:
            give_back()


def _recognise(picture: bytes) -> tuple[TextBox, ...]:
    pixels, scale = prepare(picture)
    engine = _load_engine()
    boxes = _detect(engine, pixels)
    if not boxes:
        return ()
    turns = _quarter_turns(engine, pixels, boxes)
    upright = np.ascontiguousarray(np.rot90(pixels, turns))
    height, width = pixels.shape[:2]
    upright_boxes = [_turn(box, turns=turns, width=width, height=height) for box in boxes]
    found = engine.recognize_txt([_cut(upright, box) for box in upright_boxes])
    back_width, back_height = upright.shape[1], upright.shape[0]
    return tuple(
        TextBox(
            text=text,
            score=round(float(score), 4),
            corners=_corners(
                _shift(box, turns=-turns, width=back_width, height=back_height) / scale
            ),
        )
        for text, score, box in zip(found.txts or (), found.scores, upright_boxes, strict=True)
        if text.strip() and score >= MINIMUM_SCORE
    )


def prepare(picture: bytes) -> tuple[Pixels, float]:
    """Decode a picture, turn it by its EXIF and shrink it to what the models can use.

    Returns height x width x BGR pixels, never longer than `UTMOST_SHAPE` times their shorter
    side, and how many of them a pixel of the turned picture became.
    """
    decoded = decode(picture, scale=_scale, max_pixels=most_pixels())
    image = decoded.image
    least = -(-max(image.size) // UTMOST_SHAPE)
    if min(image.size) < least:
        # Room is added to the right or beneath, so that no point moves.
        roomy = Image.new("RGB", (max(image.width, least), max(image.height, least)), "white")
        roomy.paste(image)
        image = roomy
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8)[:, :, ::-1]), decoded.scale


def _scale(width: int, height: int) -> float:
    long, short = max(width, height), min(width, height)
    wanted = max(LONGEST_SIDE / long, SHORTEST_SIDE / short)
    return min(1.0, wanted, UTMOST_SHAPE * SHORTEST_SIDE / long)


def _detect(engine: _Engine, pixels: Pixels) -> list[Quadrilateral]:
    """Where there is text, in pixels of this picture."""
    from rapidocr.main import RapidOCRError

    height, width = pixels.shape[:2]
    shown = cv2.resize(pixels, _detected_size(width, height), interpolation=cv2.INTER_AREA)
    record: dict[str, Any] = {}
    try:
        _, found = engine.detect_and_crop(cast("Pixels", shown), record)
    except RapidOCRError:  # its way to say that there is no text
        return []
    padding = record["padding_1"]
    shift = np.array([padding["left"], padding["top"]], dtype=np.float32)
    back = np.array([width / shown.shape[1], height / shown.shape[0]], dtype=np.float32)
    boxes = [(np.asarray(box, dtype=np.float32) - shift) * back for box in found.boxes]
    return [box for box in boxes if min(_sides(box)) >= LEAST_SIDE]


def _detected_size(width: int, height: int) -> tuple[int, int]:
    """The size in which the detector sees a picture: small ones enlarged, none too large."""
    enlarged = max(1.0, SHORTEST_SIDE / min(width, height))
    part = min(enlarged, math.sqrt(DETECTED_PIXELS / (width * height)))
    return max(STEP, round(width * part / STEP) * STEP), max(
        STEP, round(height * part / STEP) * STEP
    )


def _quarter_turns(engine: _Engine, pixels: Pixels, boxes: list[Quadrilateral]) -> int:
    """How many quarter turns counter-clockwise make the text upright: 0 to 3.

    Most of the text's length says whether the lines run across or down; the direction model,
    asked about the longest boxes together, says which end is up. One box alone, above all a
    short number, is too easily wrong to be turned on its own.
    """
    across = down = 0.0
    for box in boxes:
        edges = (box[1] - box[0], box[2] - box[1])
        long_edge = max(edges, key=lambda edge: float(np.linalg.norm(edge)))
        across += abs(float(long_edge[0]))
        down += abs(float(long_edge[1]))
    sideways = int(down > across)
    turned = np.ascontiguousarray(np.rot90(pixels, sideways))
    height, width = pixels.shape[:2]
    voters = sorted(
        (_turn(box, turns=sideways, width=width, height=height) for box in boxes),
        key=lambda box: _sides(box)[0] / max(_sides(box)[1], 1.0),
    )[-VOTERS:]
    _, found = engine.cls_and_rotate([_cut(turned, box) for box in voters])
    upside_down = sum(score if label == "180" else -score for label, score in found.cls_res or ())
    return sideways + 2 * int(upside_down > 0)


def _turn(box: Quadrilateral, *, turns: int, width: int, height: int) -> Quadrilateral:
    """Move a box with its picture and let its corners begin at the new top left again.

    The first edge is the one that runs most to the right: the detector's own order of corners
    follows their places in the picture, which a steep tilt mixes up.
    """
    moved = _shift(box, turns=turns, width=width, height=height)
    edges = np.roll(moved, -1, axis=0) - moved
    return np.roll(moved, -int(np.argmax(edges[:, 0])), axis=0)


def _shift(box: Quadrilateral, *, turns: int, width: int, height: int) -> Quadrilateral:
    """Where points of a `width` x `height` picture go in `numpy.rot90(picture, turns)`."""
    x, y = box[:, 0], box[:, 1]
    match turns % 4:
        case 1:
            return np.stack([y, width - x], axis=1)
        case 2:
            return np.stack([width - x, height - y], axis=1)
        case 3:
            return np.stack([height - y, x], axis=1)
    return box


def _sides(box: Quadrilateral) -> tuple[float, float]:
    top, right, bottom, left = (
        float(np.linalg.norm(box[index] - box[(index + 1) % 4])) for index in range(4)
    )
    return max(top, bottom), max(left, right)


def _cut(pixels: Pixels, box: Quadrilateral) -> Pixels:
    """Cut a box out and straighten it."""
    width, height = (max(1, int(side)) for side in _sides(box))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(box, target)
    cut = cv2.warpPerspective(
        pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return cast("Pixels", cut)


def _corners(box: Quadrilateral) -> Corners:
    points: list[Point] = [(round(float(x), 1), round(float(y), 1)) for x, y in box]
    return points[0], points[1], points[2], points[3]
