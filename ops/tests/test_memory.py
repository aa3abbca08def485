"""Freed memory: glibc is told to give it back, other C libraries are left alone."""

from types import SimpleNamespace

from ops.services.memory import LARGE, give_back, give_large_back


def test_the_switches_of_glibc_are_called():
    called: list[tuple[object, ...]] = []
    library = SimpleNamespace(
        mallopt=lambda option, value: called.append(("mallopt", option, value)),
        malloc_trim=lambda kept: called.append(("malloc_trim", kept)),
    )

    give_large_back(library)
    give_back(library)

    # -3 is M_MMAP_THRESHOLD of glibc's malloc.h.
    assert called == [("mallopt", -3, LARGE), ("malloc_trim", 0)]


def test_a_library_without_the_switches_is_left_alone():
    other = SimpleNamespace()

    give_large_back(other)
    give_back(other)


def test_the_library_of_this_process_takes_the_switches():
    give_large_back()
    give_back()
