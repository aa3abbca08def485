"""WebP decoded straight to a smaller size, by the libwebp that Pillow carries.

Pillow's own binding decodes every WebP as an animation, whole and through four copies: 900 MB were
measured for 40 megapixels. The library scales while it decodes; this is that one call, with the
structures of its public header `webp/decode.h`.
"""

import ctypes

from PIL import Image, _webp

_ABI = 0x0209  # its high byte has to be the library's
_MODE_RGBA = 1


class _Features(ctypes.Structure):
    _fields_ = [
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("has_alpha", ctypes.c_int),
        ("has_animation", ctypes.c_int),
        ("format", ctypes.c_int),
        ("pad", ctypes.c_uint32 * 5),
    ]


class _RGBABuffer(ctypes.Structure):
    _fields_ = [
        ("rgba", ctypes.c_void_p),
        ("stride", ctypes.c_int),
        ("size", ctypes.c_size_t),
    ]


class _YUVABuffer(ctypes.Structure):
    _fields_ = [
        ("planes", ctypes.c_void_p * 4),
        ("strides", ctypes.c_int * 4),
        ("sizes", ctypes.c_size_t * 4),
    ]


class _Planes(ctypes.Union):
    _fields_ = [("rgba", _RGBABuffer), ("yuva", _YUVABuffer)]


class _Output(ctypes.Structure):
    _fields_ = [
        ("colorspace", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("is_external_memory", ctypes.c_int),
        ("planes", _Planes),
        ("pad", ctypes.c_uint32 * 4),
        ("private_memory", ctypes.c_void_p),
    ]


class _Options(ctypes.Structure):
    _fields_ = [
        ("bypass_filtering", ctypes.c_int),
        ("no_fancy_upsampling", ctypes.c_int),
        ("use_cropping", ctypes.c_int),
        ("crop", ctypes.c_int * 4),
        ("use_scaling", ctypes.c_int),
        ("scaled_width", ctypes.c_int),
        ("scaled_height", ctypes.c_int),
        ("use_threads", ctypes.c_int),
        ("dithering_strength", ctypes.c_int),
        ("flip", ctypes.c_int),
        ("alpha_dithering_strength", ctypes.c_int),
        ("pad", ctypes.c_uint32 * 5),
    ]


class _Config(ctypes.Structure):
    _fields_ = [("input", _Features), ("output", _Output), ("options", _Options)]


# Names are looked for in what Pillow's module was linked with as well.
_library = ctypes.CDLL(_webp.__file__)
_library.WebPInitDecoderConfigInternal.argtypes = [ctypes.POINTER(_Config), ctypes.c_int]
_library.WebPInitDecoderConfigInternal.restype = ctypes.c_int
_library.WebPDecode.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(_Config)]
_library.WebPDecode.restype = ctypes.c_int


def decode(webp: bytes, size: tuple[int, int]) -> Image.Image:
    """Decode a still WebP to RGBA of this size in pixels. Raises ValueError when it is broken."""
    config = _Config()
    if not _library.WebPInitDecoderConfigInternal(config, _ABI):
        raise ValueError("another libwebp than this was written for")
    width, height = size
    pixels = bytearray(width * height * 4)
    output, options = config.output, config.options
    options.use_scaling, options.scaled_width, options.scaled_height = 1, width, height
    output.colorspace, output.is_external_memory = _MODE_RGBA, 1
    output.planes.rgba.rgba = ctypes.addressof(ctypes.c_char.from_buffer(pixels))
    output.planes.rgba.stride, output.planes.rgba.size = width * 4, len(pixels)
    if _library.WebPDecode(webp, len(webp), config) != 0:
        raise ValueError("a WebP that cannot be decoded")
    return Image.frombuffer("RGBA", size, pixels, "raw", "RGBA", 0, 1)
