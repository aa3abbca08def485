"""What the C library does with freed memory. glibc's has these switches; others decide alone."""

import ctypes

# Memory of this size is asked for from the system and given back to it as soon as it is freed.
# glibc starts so, but after the first large piece it keeps ever larger ones, for each thread on
# its own: 8 threads that each decoded one picture held 300 MB of nothing.
LARGE = 1 << 20  # bytes
_M_MMAP_THRESHOLD = -3

_library = ctypes.CDLL(None)


def give_large_back() -> None:
    """Give memory of LARGE and more back at once, from now on and in the whole process."""
    if hasattr(_library, "mallopt"):
        _library.mallopt(_M_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """Give back what was freed and is kept for the next time; takes some milliseconds."""
    if hasattr(_library, "malloc_trim"):
        _library.malloc_trim(0)
