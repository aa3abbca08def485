"""Decoding a picture within bounded memory: straight to a part of its size, or row by row.

Every decoder gives RGB on white paper, shrunk by a whole factor. How many bytes that takes is known
before: `needed` is the sum of what stands in memory at once, without the file itself.
"""

import io
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import override

import pillow_heif
from PIL import Image

from ops.services import webp
from ops.services.picture_files import (
    BrokenFile,
    orientation_of,
    plain_heif,
    read_jpeg,
    read_png,
    read_webp,
)

PIXEL = 4  # bytes: Pillow keeps three colours in four
STRIP = 1 << 21  # bytes of rows that are decoded at a time
# Shrinking by these is what a JPEG decoder does by itself.
FACTORS = (1, 2, 4, 8)

# Each thumbnail, depth map and gain map is one more picture that nobody asked for.
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False
# Threads of a decoder multiply its memory, and the cores belong to other requests.
pillow_heif.options.DECODE_THREADS = 1


class PictureFile(ABC):
    """A file whose headers were read and whose pixels were not."""

    width: int
    height: int
    orientation = 1  # EXIF's number

    @abstractmethod
    def needed(self, factor: int) -> int:
        """The bytes of memory that decoding to a part of the size takes at most."""

    @abstractmethod
    def decode(self, factor: int) -> Image.Image:
        """All of it, in RGB on white paper, shrunk by the factor."""

    def pixels(self, factor: int = 1) -> int:
        """How many it has when it is shrunk by this."""
        width, height = _part(self.width, self.height, factor)
        return width * height


def open_file(received: bytes, image_type: str) -> PictureFile:
    """Read the headers of a file of this type. Raises whatever its reader does."""
    return _KINDS[image_type](received)


class _Jpeg(PictureFile):
    def __init__(self, received: bytes) -> None:
        self._file = read_jpeg(received)
        self.width, self.height = self._file.width, self._file.height
        self.orientation = orientation_of(self._file.exif)

    @override
    def needed(self, factor: int) -> int:
        shrunk = PIXEL * self.pixels(factor)
        # Four inks become three colours in a copy, once the coefficients are gone.
        return len(self._file.plain) + shrunk + max(self._file.coefficients, shrunk)

    @override
    def decode(self, factor: int) -> Image.Image:
        with Image.open(io.BytesIO(self._file.plain), formats=["JPEG"]) as opened:
            wanted = (max(1, self.width // factor), max(1, self.height // factor))
            opened.draft("RGB", wanted)
            opened.load()
        return opened if opened.mode == "RGB" else opened.convert("RGB")


class _Png(PictureFile):
    def __init__(self, received: bytes) -> None:
        self._file = read_png(received)
        self.width, self.height = self._file.width, self._file.height
        self.orientation = orientation_of(self._file.exif)

    @override
    def needed(self, factor: int) -> int:
        whole = 0
        if self._file.interlaced:
            whole = self.pixels() * (2 if self._file.colour in {0, 3} else PIXEL)
        return whole + 4 * STRIP + PIXEL * self.pixels(factor)

    @override
    def decode(self, factor: int) -> Image.Image:
        strips = self._strips_of_whole() if self._file.interlaced else self._strips()
        return _assemble(strips, (self.width, self.height), factor)

    def _strips_of_whole(self) -> Iterator[Image.Image]:
        """Strips of a picture whose rows come in seven rounds: it is decoded whole before."""
        file = self._file
        header = struct.pack(">IIBBBBB", file.width, file.height, file.depth, file.colour, 0, 0, 1)
        chunks = [(b"IHDR", header), (b"PLTE", file.palette)]
        plain = b"".join(
            [
                b"\x89PNG\r\n\x1a\n",
                *(_chunk(kind, content) for kind, content in chunks if content),
                *(_chunk(b"IDAT", piece) for piece in file.data),
                _chunk(b"IEND", b""),
            ]
        )
        with Image.open(io.BytesIO(plain), formats=["PNG"]) as opened:
            opened.load()
            if file.transparency:
                # Pillow would compare all 16 bits with the 8 that it kept.
                opened.info["transparency"] = self._transparent()
            yield from _cut(opened)

    def _strips(self) -> Iterator[Image.Image]:
        """Rows as they come, some at a time.

        A row may be filtered by the one above, so each strip starts with the last row of the strip
        before. Filters work on bytes, each on those of its own sample: what has more than 8 bits
        is cut to its high bytes before, what has fewer is unfiltered as bytes.
        """
        file = self._file
        samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[file.colour]
        stored = -(-file.width * samples * file.depth // 8)  # bytes of a row
        kept = stored // 2 if file.depth == 16 else stored
        mode = "L" if file.depth < 8 else {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples]
        across = kept // len(mode)
        reader = _Inflater(file.data)
        above = bytes(kept)
        for size in _heights(file.height, stored):
            rows = reader.read(size * (1 + stored))
            if file.depth == 16:
                rows = _high_bytes(rows, kept, size)
            # An unfiltered row, then the others; stored, since Pillow's decoder inflates.
            packed = zlib.compress(b"\0" + above + rows, 0)
            plain = Image.frombytes(mode, (across, size + 1), packed, "zip", mode, 0)
            above = plain.crop((0, size, across, size + 1)).tobytes()
            yield self._coloured(plain.crop((0, 1, across, size + 1)), size)

    def _coloured(self, strip: Image.Image, height: int) -> Image.Image:
        """A strip with the colours that its bytes stand for."""
        file = self._file
        if file.depth < 8:
            mode = "P" if file.colour == 3 else "1" if file.depth == 1 else "L"
            raw = mode if mode == "1" else f"{mode};{file.depth}"
            strip = Image.frombytes(mode, (file.width, height), strip.tobytes(), "raw", raw)
        if file.colour == 3:
            strip.putpalette(file.palette)
        if file.transparency:
            strip.info["transparency"] = self._transparent()
        return strip

    def _transparent(self) -> bytes | int | tuple[int, ...]:
        """What counts as transparent, as Pillow wants to hear it."""
        file = self._file
        if file.colour == 3:
            return file.transparency
        given = file.transparency
        values = [int.from_bytes(given[at : at + 2]) for at in range(0, len(given), 2)]
        if file.depth == 16:
            values = [value >> 8 for value in values]
        if file.colour == 0:
            return values[0] if file.depth >= 8 else values[0] * 255 // (2**file.depth - 1)
        return tuple(values[:3])


class _Webp(PictureFile):
    def __init__(self, received: bytes) -> None:
        self._file = read_webp(received)
        self.width, self.height = self._file.width, self._file.height
        self.orientation = orientation_of(self._file.exif)

    @override
    def needed(self, factor: int) -> int:
        whole = PIXEL if self._file.is_lossless else 2 if self._file.has_alpha else 0
        # The result stands there twice, once with its transparency.
        return whole * self.pixels() + len(self._file.plain) + 2 * PIXEL * self.pixels(factor)

    @override
    def decode(self, factor: int) -> Image.Image:
        size = _part(self.width, self.height, factor)
        return _assemble(_cut(webp.decode(self._file.plain, size)), size, 1)


class _Heif(PictureFile):
    def __init__(self, received: bytes) -> None:
        opened = pillow_heif.open_heif(plain_heif(received), remove_stride=False)
        self._image = opened[opened.primary_index]
        self.width, self.height = self._image.size

    @override
    def needed(self, factor: int) -> int:
        info, samples = self._image.info, len(self._image.mode)
        chroma, is_deep = str(info.get("chroma")), info.get("bit_depth") != 8
        planes = {"420": 1.5, "422": 2.0}.get(chroma, 3.0)
        # As measured: how often the planes stand there while they become colours.
        times = 3.5 if is_deep else 1.1 if chroma == "420" else 2.0
        decoding = int(self.pixels() * (planes * times + samples))
        shrinking = self.pixels() * samples + 2 * STRIP + PIXEL * self.pixels(factor)
        return max(decoding, shrinking)

    @override
    def decode(self, factor: int) -> Image.Image:
        return _assemble(self._strips(), (self.width, self.height), factor)

    def _strips(self) -> Iterator[Image.Image]:
        image = self._image
        data = memoryview(image.data)
        # The size can change while it is decoded.
        if image.size != (self.width, self.height):
            raise BrokenFile("another size than its header says")
        top = 0
        for height in _heights(self.height, image.stride):
            rows = data[top * image.stride : (top + height) * image.stride]
            yield Image.frombytes(
                image.mode, (self.width, height), rows, "raw", image.mode, image.stride
            )
            top += height


_KINDS: dict[str, type[_Jpeg | _Png | _Webp | _Heif]] = {
    "JPEG": _Jpeg,
    "PNG": _Png,
    "WEBP": _Webp,
    "HEIF": _Heif,
}


# --- Rows ---------------------------------------------------------------------------------------
class _Inflater:
    """Reads so many bytes at a time from compressed pieces, and inflates no more than that."""

    def __init__(self, pieces: tuple[memoryview, ...]) -> None:
        self._pieces = iter(pieces)
        self._stream = zlib.decompressobj()
        self._rest: bytes | memoryview = b""

    def read(self, wanted: int) -> bytes:
        """Exactly so many bytes. Raises BrokenFile when there are fewer."""
        got = bytearray()
        while len(got) < wanted:
            more = self._stream.decompress(self._rest, wanted - len(got))
            self._rest = self._stream.unconsumed_tail
            got += more
            if not more and not self._rest:
                piece = next(self._pieces, None)
                if piece is None or self._stream.eof:
                    raise BrokenFile("fewer rows than its header says")
                self._rest = piece
        return bytes(got)


def _heights(height: int, row: int) -> Iterator[int]:
    """How many rows each strip has: a multiple of every factor, but for the last one."""
    most = max(FACTORS[-1], STRIP // row // FACTORS[-1] * FACTORS[-1])
    for top in range(0, height, most):
        yield min(most, height - top)


def _cut(picture: Image.Image) -> Iterator[Image.Image]:
    top = 0
    for height in _heights(picture.height, PIXEL * picture.width):
        yield picture.crop((0, top, picture.width, top + height))
        top += height


def _high_bytes(rows: bytes, kept: int, height: int) -> bytes:
    """Every second byte of rows that begin with the number of their filter."""
    image = Image.frombytes("L", (1 + 2 * kept, height), rows)
    halved = Image.new("L", (1 + kept, height))
    halved.paste(image.crop((0, 0, 1, height)))
    # The nearest to the middle of bytes 0 and 1, which is byte 1, and so on.
    high = image.resize((kept, height), Image.Resampling.NEAREST, box=(0, 0, 2 * kept, height))
    halved.paste(high, (1, 0))
    return halved.tobytes()


def _assemble(strips: Iterator[Image.Image], size: tuple[int, int], factor: int) -> Image.Image:
    """Put strips beneath each other, each on white paper and shrunk before the next one comes."""
    picture = Image.new("RGB", _part(*size, factor))
    top = 0
    for strip in strips:
        done = on_white(strip)
        if factor > 1:
            done = done.reduce(factor)
        picture.paste(done, (0, top))
        top += done.height
    return picture


def on_white(picture: Image.Image) -> Image.Image:
    """A picture in RGB, what is transparent in it on white paper."""
    if picture.mode.startswith("I"):
        # 16 bits of grey: Pillow would cut off whatever is brighter than 255.
        picture = picture.convert("I").point(lambda value: value / 256).convert("L")
    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, "white")
        paper.alpha_composite(picture.convert("RGBA"))
        picture = paper
    return picture.convert("RGB")


def _part(width: int, height: int, factor: int) -> tuple[int, int]:
    return -(-width // factor), -(-height // factor)


def _chunk(kind: bytes, content: bytes | memoryview) -> bytes:
    crc = zlib.crc32(content, zlib.crc32(kind))
    return b"".join([len(content).to_bytes(4), kind, content, crc.to_bytes(4)])
