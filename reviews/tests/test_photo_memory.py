"""How much memory photos take while they are judged and read: bytes at the peak, and no times."""

import io

import pytest
from PIL import Image
from pillow_heif import register_heif_opener

from ops.tests.picture_samples import flat_png, written
from reviews.tests.slips import Layout, make_slip
from tests import memory

register_heif_opener()

AT_ONCE = 8
NEAREST = Image.Resampling.NEAREST
MOST_OVER_IDLE = 200 * 2**20  # bytes

JUDGE = """
import sys, threading
from ops.services.pictures import in_turn
from reviews.errors import ImageBroken
from reviews.photos import check_photo

outcomes = []

def judge(path):
    try:
        in_turn(lambda: check_photo(path.read_bytes()))
        outcomes.append("taken")
    except ImageBroken:
        outcomes.append("broken")

first, *paths = map(Path, sys.argv[1:])
judge(first)
before = idle()
threads = [threading.Thread(target=judge, args=[path]) for path in paths]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(peak() - before, *sorted(set(outcomes[1:])))
"""


def taken_at_once(folder, photos):
    """How many bytes over idle these photos take together at the peak, and what came of them."""
    small = written(Image.new("RGB", (200, 200)), "JPEG")
    paths = [folder / f"{number}" for number in range(len(photos) + 1)]
    for path, photo in zip(paths, [small, *photos], strict=True):
        path.write_bytes(photo)
    peak, *outcomes = memory.run(JUDGE, *paths, data_dir=folder)
    return int(peak) * 1024, outcomes


def large_jpeg(**options):
    noise = Image.effect_noise((1600, 1000), 60).convert("RGB").resize((8000, 5000))
    return written(noise, "JPEG", **options)


def large_webp(*, alpha=False, **options):
    noise = Image.effect_noise((200, 125), 60).convert("RGB").resize((8000, 5000), NEAREST)
    if alpha:
        noise.putalpha(noise.getchannel(0))
    return written(noise, "WEBP", method=0, **options)


LARGEST = {
    "JPEG": large_jpeg,
    # Turned: two of them stand beside each other.
    "JPEG of 16 megapixels, sideways": lambda: written(
        Image.new("RGB", (4000, 4000)),
        "JPEG",
        exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0",
    ),
    "progressive JPEG": lambda: large_jpeg(progressive=True),
    "RGB": lambda: flat_png(8000, 5000),
    "RGBA": lambda: flat_png(8000, 5000, colour=6),
    "16 bits of RGBA": lambda: flat_png(8000, 5000, colour=6, depth=16),
    "interlaced RGBA": lambda: flat_png(8000, 5000, colour=6, interlaced=True),
    "one bit": lambda: flat_png(8000, 5000, colour=0, depth=1),
    "WebP": lambda: large_webp(quality=30),
    "WebP with transparency": lambda: large_webp(alpha=True, quality=30),
    "lossless WebP": lambda: large_webp(lossless=True, quality=0),
    "HEIC of 24 megapixels": lambda: written(
        Image.effect_noise((600, 400), 60).convert("RGB").resize((6000, 4000)),
        "HEIF",
        quality=20,
        enc_params={"preset": "ultrafast"},
    ),
}


@pytest.mark.parametrize("make", LARGEST.values(), ids=LARGEST)
def test_eight_of_the_largest_at_once(tmp_path, make):
    peak, outcomes = taken_at_once(tmp_path, [make()] * AT_ONCE)

    assert outcomes == ["taken"]
    assert peak <= MOST_OVER_IDLE


def test_what_would_take_more_is_refused(tmp_path):
    """Progressive without subsampling: 240 MB of coefficients before the first pixel."""
    peak, outcomes = taken_at_once(tmp_path, [large_jpeg(progressive=True, subsampling=0)])

    assert outcomes == ["broken"]
    assert peak <= 30 * 2**20


READ = """
import sys
from reviews.ocr.engine import RapidReceiptReader

reader = RapidReceiptReader()
first, *paths = map(Path, sys.argv[1:])
reader.read(first.read_bytes())
before = idle()
amounts = {reader.read(path.read_bytes()).amount for path in paths}
print(peak() - before, *amounts)
"""
MOST_OVER_LOADED = 100 * 2**20  # bytes


def test_reading_takes_little_over_its_models(tmp_path):
    photos = [
        make_slip(),
        *(
            make_slip(scale=scale, layout=layout)
            for scale in (0.5, 3)
            for layout in list(Layout)[:3]
        ),
        large_slip(),
    ]
    paths = [tmp_path / f"{number}" for number in range(len(photos))]
    for path, photo in zip(paths, photos, strict=True):
        path.write_bytes(photo)

    peak, *amounts = memory.run(READ, *paths, data_dir=tmp_path)

    assert amounts == ["128.50"]
    assert int(peak) * 1024 <= MOST_OVER_LOADED


def large_slip():
    """A photo of twelve megapixels, in which the slip has a third of the width."""
    photo = Image.effect_noise((375, 500), 40).resize((3000, 4000)).convert("RGB")
    with Image.open(io.BytesIO(make_slip(scale=2))) as slip:
        photo.paste(slip.resize((1000, 1000 * slip.height // slip.width)), (1000, 1000))
    return written(photo, "JPEG")
