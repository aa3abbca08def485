"""Putting recognised boxes back into the lines of the slip, whichever way the photo was held."""

import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from reviews.ocr.types import TextBox

# Between two boxes of a line; two spaces, so that no pattern takes a number across boxes.
BOX_GAP = "  "


@dataclass(frozen=True, slots=True)
class Piece:
    """A box in the slip's own axes: `left`, `right` along the text, `middle` down the slip."""

    text: str
    score: float
    left: float
    right: float
    left_middle: float
    right_middle: float
    height: float

    @property
    def slope(self) -> tuple[float, float]:
        return self.right - self.left, self.right_middle - self.left_middle

    @property
    def middle(self) -> float:
        return (self.left_middle + self.right_middle) / 2


@dataclass(slots=True)
class Line:
    """One printed line, left to right.

    `text` joins the pieces by `BOX_GAP`; a position in it leads back to its piece.
    """

    pieces: list[Piece] = field(default_factory=list)
    text: str = ""
    starts: list[int] = field(default_factory=list)

    def append(self, piece: Piece) -> None:
        if self.pieces:
            self.text += BOX_GAP
        self.starts.append(len(self.text))
        self.text += piece.text
        self.pieces.append(piece)

    @property
    def middle(self) -> float:
        return sum(piece.middle for piece in self.pieces) / len(self.pieces)

    @property
    def height(self) -> float:
        return sum(piece.height for piece in self.pieces) / len(self.pieces)

    def piece_at(self, position: int) -> Piece:
        """Return the piece that holds the character at `position` of `text`."""
        return self.pieces[self._index_at(position)]

    def across(self, position: int) -> float:
        """Return where along the slip the character at `position` begins, in pixels."""
        index = self._index_at(position)
        piece = self.pieces[index]
        whole = _printed_width(piece.text)
        if not whole:
            return piece.left
        before = _printed_width(piece.text[: position - self.starts[index]])
        return piece.left + (piece.right - piece.left) * before / whole

    def _index_at(self, position: int) -> int:
        return max(index for index, start in enumerate(self.starts) if start <= position)


def text_lines(boxes: Iterable[TextBox]) -> list[Line]:
    """Group boxes into lines, top to bottom, left to right.

    Text is NFKC-normalised (full-width digits, colons and yen signs become narrow). Each box is
    tried against the right end of every line so far, along the direction the text runs there: a
    tilted, curved or foreshortened slip keeps its lines. Empty boxes are left out.
    """
    pieces = sorted(_pieces(list(boxes)), key=lambda piece: piece.left)
    chains: list[list[Piece]] = []
    for piece in pieces:
        best: list[Piece] | None = None
        best_miss = math.inf
        for chain in chains:
            last = chain[-1]
            tolerance = (last.height + piece.height) / 4
            # A box that begins well before the line's end lies above or beneath it.
            if piece.left < last.right - max(last.height, piece.height):
                continue
            miss = _miss(last, piece)
            if miss < tolerance and miss < best_miss:
                best, best_miss = chain, miss
        if best is None:
            chains.append([piece])
        else:
            best.append(piece)
    lines = []
    for chain in sorted(chains, key=lambda chain: sum(p.middle for p in chain) / len(chain)):
        line = Line()
        for piece in chain:
            line.append(piece)
        lines.append(line)
    return lines


def _pieces(boxes: list[TextBox]) -> list[Piece]:
    # The slip's direction: the sum of all top and bottom edges, so long texts count for more.
    across = down = 0.0
    for box in boxes:
        top_left, top_right, bottom_right, bottom_left = box.corners
        across += top_right[0] - top_left[0] + bottom_right[0] - bottom_left[0]
        down += top_right[1] - top_left[1] + bottom_right[1] - bottom_left[1]
    length = math.hypot(across, down)
    if not length:
        across, down, length = 1.0, 0.0, 1.0
    across, down = across / length, down / length

    pieces = []
    for box in boxes:
        text = unicodedata.normalize("NFKC", box.text).strip()
        if not text:
            continue
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = box.corners
        left_x, left_y, right_x, right_y = (
            (x0 + x3) / 2,
            (y0 + y3) / 2,
            (x1 + x2) / 2,
            (y1 + y2) / 2,
        )
        pieces.append(
            Piece(
                text=text,
                score=box.score,
                left=left_x * across + left_y * down,
                right=right_x * across + right_y * down,
                left_middle=left_y * across - left_x * down,
                right_middle=right_y * across - right_x * down,
                height=(math.hypot(x3 - x0, y3 - y0) + math.hypot(x2 - x1, y2 - y1)) / 2,
            )
        )
    return pieces


def _miss(last: Piece, piece: Piece) -> float:
    """How far `piece` lies off the line that `last` ends, in pixels down the slip."""
    # Short boxes tell little of their direction: the slip's own axis steadies them.
    run = 2 * (last.height + piece.height)
    rise = 0.0
    for run_part, rise_part in (last.slope, piece.slope):
        run += run_part
        rise += rise_part
    expected = last.right_middle + (piece.left - last.right) * rise / run if run else 0.0
    return abs(piece.left_middle - expected)


def _printed_width(text: str) -> int:
    """Width in half-width columns, as a till prints it: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
