"""Picture files as no camera writes them: hostile ones, and forms that Pillow does not write."""

import io
import itertools
import random
import struct
import zlib

from PIL import Image

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the colour type of a PNG
_ROUNDS = [  # of Adam7: first column and row, and the steps between them
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def written(image: Image.Image, image_format: str, **options) -> bytes:
    target = io.BytesIO()
    image.save(target, image_format, **options)
    return target.getvalue()


# --- JPEG ---------------------------------------------------------------------------------------
def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """The same JPEG with these at its beginning."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def scan_bomb(size: tuple[int, int], scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    jpeg = written(Image.new("RGB", size), "JPEG", progressive=True)
    last = jpeg.rfind(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * scans + jpeg[-2:]


def scans_of(jpeg: bytes) -> int:
    """How many scans a JPEG without metadata has."""
    return jpeg.count(b"\xff\xda")


# --- PNG ----------------------------------------------------------------------------------------
def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return len(content).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)


def png_of(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def header(width: int, height: int, *, depth: int = 8, colour: int = 2, interlaced=False) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def flat_png(width: int, height: int, *, colour: int = 2, depth: int = 8, interlaced=False):
    """A large PNG of one colour, written without holding it."""
    row = 1 + -(-width * SAMPLES[colour] * depth // 8)
    packer = zlib.compressobj(1)
    # Rows that come in rounds are more, and shorter: twice the bytes are enough.
    rows = height * 2 if interlaced else height
    pixels = b"".join(packer.compress(b"\0" * row) for _ in range(rows)) + packer.flush()
    head = header(width, height, depth=depth, colour=colour, interlaced=interlaced)
    return png_of(head, chunk(b"IDAT", pixels))


def random_png(
    width: int, height: int, *, colour: int, depth: int, interlaced: bool, transparent: bool = False
) -> bytes:
    """A PNG of random pixels whose rows have every kind of filter."""
    chance = random.Random(f"{width} {height} {colour} {depth} {interlaced}")
    samples = SAMPLES[colour]
    most = min(2**depth, 5) if colour == 3 else 2**depth
    pixels = [
        [[chance.randrange(most) for _ in range(samples)] for _ in range(width)]
        for _ in range(height)
    ]
    rounds = _ROUNDS if interlaced else [(0, 0, 1, 1)]
    filtered = b""
    for left, top, across, down in rounds:
        rows = [_packed(row[left::across], depth) for row in pixels[top::down]]
        filtered += _filtered([row for row in rows if row], max(1, samples * depth // 8))
    chunks = [header(width, height, colour=colour, depth=depth, interlaced=interlaced)]
    if colour == 3:
        chunks.append(chunk(b"PLTE", bytes(chance.randrange(256) for _ in range(3 * most))))
    if transparent:
        marked = (
            bytes([0, 90]) if colour == 3 else b"".join(value.to_bytes(2) for value in pixels[0][0])
        )
        chunks.append(chunk(b"tRNS", marked))
    packed = zlib.compress(filtered)
    return png_of(*chunks, *(chunk(b"IDAT", bytes(part)) for part in itertools.batched(packed, 99)))


def _packed(pixels: list[list[int]], depth: int) -> bytes:
    values = [value for pixel in pixels for value in pixel]
    if depth >= 8:
        return b"".join(value.to_bytes(depth // 8) for value in values)
    bits = "".join(f"{value:0{depth}b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def _filtered(rows: list[bytes], pixel: int) -> bytes:
    result = b""
    for number, row in enumerate(rows):
        kind = (number * 3 + 4) % 5
        above = rows[number - 1] if number else bytes(len(row))
        result += bytes([kind])
        for at, value in enumerate(row):
            left = row[at - pixel] if at >= pixel else 0
            corner = above[at - pixel] if at >= pixel else 0
            guess = [0, left, above[at], (left + above[at]) // 2, _paeth(left, above[at], corner)]
            result += bytes([(value - guess[kind]) % 256])
    return result


def _paeth(left: int, above: int, corner: int) -> int:
    near = left + above - corner
    return min((left, above, corner), key=lambda value: abs(near - value))


# --- WebP ---------------------------------------------------------------------------------------
def riff_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)


def webp_of(*chunks: bytes) -> bytes:
    return riff_chunk(b"RIFF", b"WEBP" + b"".join(chunks))


# --- HEIC ---------------------------------------------------------------------------------------
def box(kind: bytes, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content


def wide_box(kind: bytes, content: bytes = b"") -> bytes:
    """The same with its length in 64 bits, as boxes of more than 4 GB have it."""
    return b"\0\0\0\1" + kind + (16 + len(content)).to_bytes(8) + content


def heic_cropped(width: int, height: int) -> bytes:
    """A HEIC of 299 x 199 pixels whose header says that it is cropped to this size."""
    heic = written(Image.new("RGB", (299, 199), "red"), "HEIF")
    # The clean aperture: width and height as fractions. The coded picture is one pixel larger.
    said = b"clap" + struct.pack(">IIII", 299, 1, 199, 1)
    assert said in heic
    return heic.replace(said, b"clap" + struct.pack(">IIII", width, 1, height, 1))


# --- EXIF ---------------------------------------------------------------------------------------
def exif(orientation: int, *, tags: int = 1) -> bytes:
    """EXIF whose tag of orientation comes last, behind others that all refer to everything."""
    other = struct.pack("<HHII", 0x010F, 7, 60_000, 8)
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, tags) + other * (tags - 1) + entry + b"\0" * 4
