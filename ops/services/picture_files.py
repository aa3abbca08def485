"""What a picture file says of itself, read from its headers before anything is decoded.

Each reader walks the parts of its format once and hands out only what a decoder needs. Comments,
colour profiles, thumbnails, further pictures and unknown parts never reach one, however many or
large they are: a library that looks into them may need a hundred times the file for it.
"""

import re
import zlib
from dataclasses import dataclass
from typing import Literal

# Editors and phones write some dozens of parts; a walk is bounded all the same.
MOST_PARTS = 2_000
MOST_CHUNKS = 50_000  # of a PNG: some cut its data into pieces of a few hundred bytes
# Progressive pictures of today's encoders have 10 to 20, and each one costs a walk over all pixels.
MOST_SCANS = 50
LONGEST_SIDE = 65_535  # pixels; more than any of the formats but PNG can say

_EXIF = b"Exif\0\0"
_ORIENTATION = 0x0112
_MOST_TAGS = 1_000


class BrokenFile(Exception):
    """The file does not hold together, or a part of it is none that is taken."""


@dataclass(frozen=True, slots=True)
class JpegFile:
    """A JPEG with nothing in it but its first picture."""

    width: int
    height: int
    plain: bytes
    exif: bytes
    # What a decoder keeps of it until the last scan, in bytes; 0 when one scan has it all.
    coefficients: int


@dataclass(frozen=True, slots=True)
class PngFile:
    """The parts of a PNG; `data` are pieces of its compressed rows."""

    width: int
    height: int
    depth: int  # bits a sample
    colour: int  # 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
    interlaced: bool
    palette: bytes
    transparency: bytes
    exif: bytes
    data: tuple[memoryview, ...]


@dataclass(frozen=True, slots=True)
class WebpFile:
    """A WebP with nothing in it but its first frame."""

    width: int
    height: int
    plain: bytes
    exif: bytes
    is_lossless: bool
    has_alpha: bool  # in a plane of its own, beside a lossy picture


# --- The type -----------------------------------------------------------------------------------
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
# Brands of the container; what is in it, its list of compatible brands says.
_CONTAINER_BRANDS = {b"mif1", b"msf1", b"mif2"}


def type_of(received: bytes) -> str:
    """Pillow's name for the type of the content; empty for all that are never taken."""
    if received.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if received.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if received.startswith(b"RIFF") and received[8:12] == b"WEBP":
        return "WEBP"
    if received[4:8] == b"ftyp":
        end = min(int.from_bytes(received[:4]), 256)
        major, compatible = received[8:12], received[16:end]
        brands = {compatible[at : at + 4] for at in range(0, len(compatible), 4)}
        if major in _HEIC_BRANDS or (major in _CONTAINER_BRANDS and brands & _HEIC_BRANDS):
            return "HEIF"
    return ""


# --- JPEG ---------------------------------------------------------------------------------------
# Inside of a scan a marker is what follows an FF and is no stuffing (ITU T.81, B.1.1.5).
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_SOI, _EOI, _SOS, _APP0, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE
_TABLES = {0xC4, 0xDB, 0xDD}  # Huffman, quantisation, restart interval
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive
# Lossless, hierarchical and arithmetic ones: no camera writes them.
_OTHER_FRAMES = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}


def read_jpeg(received: bytes) -> JpegFile:
    """Walk the segments of the first picture. Raises BrokenFile, also for too many scans."""
    view, exif = memoryview(received), b""
    frame: tuple[int, int, int, int] | None = None  # width, height, components, coefficients
    scans, at, in_scan, buffered = 0, 2, False, False
    seen: set[int] = set()
    parts: list[bytes | memoryview] = [b"\xff\xd8"]
    for _ in range(MOST_PARTS):
        found = _MARKER.search(received, at)
        if found is None:
            raise BrokenFile("no end")
        if in_scan:
            parts.append(view[at : found.start()])
            in_scan = False
        marker, at = found[1][0], found.end()
        if marker == _EOI:
            break
        length = int.from_bytes(received[at : at + 2])
        if marker == _SOI or length < 2 or at + length > len(received):
            raise BrokenFile("a segment that is none")
        segment, content = view[found.start() : at + length], view[at + 2 : at + length]
        at += length
        if marker in _FRAMES and frame is None:
            frame = _read_frame(content)
            buffered = marker == 0xC2
            parts.append(segment)
        elif marker in _FRAMES or marker in _OTHER_FRAMES:
            raise BrokenFile("a kind of frame that is not taken")
        elif marker == _SOS:
            scans += 1
            if frame is None or not content or scans > MOST_SCANS:
                raise BrokenFile("too many scans, or one without a frame")
            buffered = buffered or scans > 1 or content[0] < frame[2]
            in_scan = True
            parts.append(segment)
        elif marker in _TABLES or _says_colours(marker, content, seen):
            parts.append(segment)
        elif marker == _APP1 and not exif and bytes(content[:6]) == _EXIF:
            exif = bytes(content)
    else:
        raise BrokenFile("too many segments")
    if frame is None or not scans:
        raise BrokenFile("no picture")
    parts.append(b"\xff\xd9")
    width, height, _components, coefficients = frame
    return JpegFile(width, height, b"".join(parts), exif, coefficients if buffered else 0)


def _says_colours(marker: int, content: memoryview, seen: set[int]) -> bool:
    """Whether a decoder learns the kind of colours here: the first of each, and no longer ones."""
    wanted = {_APP0: b"JFIF\0", _APP14: b"Adobe"}.get(marker)
    if wanted is None or marker in seen or bytes(content[:5]) != wanted:
        return False
    seen.add(marker)
    return True


def _read_frame(content: memoryview) -> tuple[int, int, int, int]:
    if len(content) < 6 or len(content) != 6 + 3 * content[5] or content[0] != 8:
        raise BrokenFile("a frame header that is none")
    height, width = int.from_bytes(content[1:3]), int.from_bytes(content[3:5])
    factors = [divmod(content[at + 1], 16) for at in range(6, len(content), 3)]
    if not width or not height or not 1 <= len(factors) <= 4:
        raise BrokenFile("a frame without pixels")
    if not all(1 <= across <= 4 and 1 <= down <= 4 for across, down in factors):
        raise BrokenFile("sampling that is none")
    most = max(across for across, _ in factors) * max(down for _, down in factors)
    samples = sum(width * height * across * down // most for across, down in factors)
    return width, height, len(factors), 2 * samples


# --- PNG ----------------------------------------------------------------------------------------
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_PNG_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_PIECE = 1 << 16


def read_png(received: bytes) -> PngFile:
    """Walk the chunks up to the end; what stands behind it does not matter. Raises BrokenFile."""
    view, at = memoryview(received), 8
    found: dict[bytes, bytes] = {}
    data: list[memoryview] = []
    for number in range(MOST_CHUNKS):
        kind = received[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(received[at : at + 4])
        if end > len(received) or len(kind) < 4:
            raise BrokenFile("no end")
        content = view[at + 8 : end - 4]
        if kind in _PNG_NEEDED and zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(
            view[end - 4 : end]
        ):
            raise BrokenFile("a checksum that is wrong")
        if (number == 0) != (kind == b"IHDR"):
            raise BrokenFile("a header that is not the first chunk alone")
        at = end
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            data += [content[part : part + _PIECE] for part in range(0, len(content), _PIECE)]
        elif kind in {b"IHDR", b"PLTE", b"tRNS", b"eXIf"} and kind not in found:
            found[kind] = bytes(content)
    else:
        raise BrokenFile("too many chunks")
    header, palette = found[b"IHDR"], found.get(b"PLTE", b"")
    if len(header) != 13 or not data:
        raise BrokenFile("no header or no pixels")
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    depth, colour, compression, filters, interlace = header[8:]
    if not width or not height or depth not in _DEPTHS.get(colour, ()):
        raise BrokenFile("a header that is none")
    if compression or filters or interlace > 1:
        raise BrokenFile("a way of keeping pixels that is unknown")
    if len(palette) % 3 or len(palette) > 768 or (colour == 3 and not palette):
        raise BrokenFile("a palette that is none")
    return PngFile(
        width=width,
        height=height,
        depth=depth,
        colour=colour,
        interlaced=bool(interlace),
        palette=palette if colour == 3 else b"",
        transparency=found.get(b"tRNS", b""),
        exif=found.get(b"eXIf", b""),
        data=tuple(data),
    )


# --- WebP ---------------------------------------------------------------------------------------
def read_webp(received: bytes) -> WebpFile:
    """Walk the chunks; of an animation the first frame is the picture. Raises BrokenFile."""
    end = 8 + int.from_bytes(received[4:8], "little")
    if end > len(received):
        raise BrokenFile("no end")
    chunks = _webp_chunks(memoryview(received)[12:end])
    exif = bytes(chunks.get(b"EXIF", b""))
    if b"ANMF" in chunks:
        chunks = _webp_chunks(chunks[b"ANMF"][16:])
    if (lossy := chunks.get(b"VP8 ")) is not None:
        if len(lossy) < 10 or bytes(lossy[3:6]) != b"\x9d\x01\x2a":
            raise BrokenFile("no key frame")
        width = int.from_bytes(lossy[6:8], "little") & 0x3FFF
        height = int.from_bytes(lossy[8:10], "little") & 0x3FFF
        kind, picture = b"VP8 ", lossy
    elif (lossless := chunks.get(b"VP8L")) is not None:
        if len(lossless) < 5 or lossless[0] != 0x2F:
            raise BrokenFile("no lossless picture")
        bits = int.from_bytes(lossless[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        kind, picture = b"VP8L", lossless
    else:
        raise BrokenFile("no picture")
    if not width or not height:
        raise BrokenFile("no pixels")
    alpha = chunks.get(b"ALPH") if kind == b"VP8 " else None
    parts: list[bytes | memoryview] = [b"WEBP"]
    if alpha is not None:
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        parts += [*_webp_chunk(b"VP8X", b"\x10\0\0\0" + sides), *_webp_chunk(b"ALPH", alpha)]
    parts += _webp_chunk(kind, picture)
    size = sum(map(len, parts)).to_bytes(4, "little")
    plain = b"".join([b"RIFF", size, *parts])
    return WebpFile(width, height, plain, exif, kind == b"VP8L", alpha is not None)


def _webp_chunks(view: memoryview) -> dict[bytes, memoryview]:
    """The first chunk of each kind."""
    chunks: dict[bytes, memoryview] = {}
    at = 0
    for _ in range(MOST_PARTS):
        if at + 8 > len(view):
            return chunks
        kind, length = bytes(view[at : at + 4]), int.from_bytes(view[at + 4 : at + 8], "little")
        if at + 8 + length > len(view):
            raise BrokenFile("a chunk without its end")
        chunks.setdefault(kind, view[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    raise BrokenFile("too many chunks")


def _webp_chunk(kind: bytes, content: bytes | memoryview) -> list[bytes | memoryview]:
    return [kind, len(content).to_bytes(4, "little"), content, b"\0" * (len(content) % 2)]


# --- HEIC ---------------------------------------------------------------------------------------
# What a camera writes there are item lists and properties: some dozens of kilobytes.
MOST_HEIF_HEADER = 1 << 20  # bytes
# A reader copies the colour profile for every picture of the file.
MOST_HEIF_PROFILES = 1 << 24  # bytes
_HEIF_METADATA = {b"Exif", b"mime", b"uri "}
# Boxes that have others in them, and how many bytes stand before those; `iinf` knows two ways.
_HEIF_LISTS = {b"iinf": 6, b"iprp": 0, b"ipco": 0, b"iref": 4}


def plain_heif(received: bytes) -> bytes:
    """The same HEIC, with its metadata marked as what nobody reads.

    A reader copies it for every picture in the file. libheif turns the picture by properties of
    the container, not by EXIF. Raises BrokenFile, also when the last box has no end.
    """
    plain = bytearray(received)
    at = boxes = 0
    while at < len(received):
        kind, start, end = _box(received, at, len(received))
        if kind == b"meta":
            if end - at > MOST_HEIF_HEADER:
                raise BrokenFile("a header that is too long")
            items, profiles = _hide_metadata(plain, start + 4, end)
            if items * profiles > MOST_HEIF_PROFILES:
                raise BrokenFile("too many colour profiles")
        at, boxes = end, boxes + 1
        if boxes > MOST_PARTS:
            raise BrokenFile("too many boxes")
    return bytes(plain)


def _box(content: bytes | bytearray, at: int, limit: int) -> tuple[bytes, int, int]:
    """The kind of the box at a place, where its content starts and where it ends."""
    size, kind, start = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8], at + 8
    if size == 1:
        size, start = int.from_bytes(content[at + 8 : at + 16]), at + 16
    end = limit if size == 0 else at + size
    if len(kind) < 4 or end > limit or end < start:
        raise BrokenFile("a box without its end")
    return bytes(kind), start, end


def _hide_metadata(plain: bytearray, at: int, limit: int) -> tuple[int, int]:
    """Rename the metadata of a `meta` box; how many items it has, and bytes of profiles."""
    items = profiles = 0
    while at < limit:
        kind, start, end = _box(plain, at, limit)
        if kind in _HEIF_LISTS:
            is_wide = kind == b"iinf" and plain[start] > 0
            start += _HEIF_LISTS[kind] + 2 * is_wide
            inside, their_profiles = _hide_metadata(plain, start, end)
            items, profiles = items + inside, profiles + their_profiles
        elif kind == b"infe":
            items += 1
            type_at = start + (10 if plain[start] > 2 else 8)
            if bytes(plain[type_at : type_at + 4]) in _HEIF_METADATA:
                plain[at + 4 : at + 8] = b"free"
        elif kind == b"cdsc":  # a reference from metadata to what it describes
            plain[at + 4 : at + 8] = b"free"
        elif kind == b"colr":
            profiles += end - start
        at = end
    return items, profiles


# --- Orientation --------------------------------------------------------------------------------
def orientation_of(exif: bytes) -> int:
    """EXIF's number for the way a picture lies; 1, upright, when it cannot be read.

    Only this one tag is looked for: a general reader copies what each of 65,535 tags refers to,
    and all of them may refer to the same bytes.
    """
    tiff = exif.removeprefix(_EXIF)
    if tiff[:2] not in {b"II", b"MM"}:
        return 1
    endian: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"
    first = int.from_bytes(tiff[4:8], endian)
    count = int.from_bytes(tiff[first : first + 2], endian)
    for number in range(min(count, _MOST_TAGS)):
        at = first + 2 + 12 * number
        entry = tiff[at : at + 12]
        if len(entry) == 12 and int.from_bytes(entry[:2], endian) == _ORIENTATION:
            return int.from_bytes(entry[8:10], endian)
    return 1
