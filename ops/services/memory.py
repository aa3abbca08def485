"""What the C library does with freed memory. glibc's has these switches; others decide alone."""

import ctypes

# Memory of this size is asked for from the system and given back to it as soon as it is freed.
# glibc starts so, but after the first large piece it keeps ever larger ones, for each thread on
# its own: 8 threads that each decoded one picture held 300 MB of nothing.
LARGE = 1 << 20  # bytes
_M_MMAP_THRESHOLD = -3

_library = ctypes.CDLL(None)


def give_large_back(library: object = _library) -> None:
    """Give memory of LARGE and more back at once, from now on and in the whole process."""
    _switch(library, "mallopt", _M_MMAP_THRESHOLD, LARGE)


def give_back(library: object = _library) -> None:
    """Give back what was freed and is kept for the next time; takes some milliseconds."""
    _switch(library, "malloc_trim", 0)


def _switch(library: object, name: str, *values: int) -> None:
    """Call a function of the C library, if it has it."""
    function = getattr(library, name, None)
    if function is not None:
        function(*values)
