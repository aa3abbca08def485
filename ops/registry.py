"""What apps hand in from AppConfig.ready(), and others ask for by name: one shape for all of it."""

from collections.abc import ItemsView, ValuesView

from django.core.exceptions import ImproperlyConfigured


class Registry[Entry]:
    """Entries by name, in the order in which they were handed in."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, entry: Entry) -> None:
        """Hand in an entry; doing it twice changes nothing.

        Raises ImproperlyConfigured when another entry has the name: one of them would be lost.
        """
        if self._entries.setdefault(name, entry) != entry:
            raise ImproperlyConfigured(f"Something else is registered as {name} already.")

    def __getitem__(self, name: str) -> Entry:
        """The entry of this name; raises KeyError when there is none."""
        return self._entries[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._entries)

    def items(self) -> ItemsView[str, Entry]:
        """Names and entries."""
        return self._entries.items()

    def values(self) -> ValuesView[Entry]:
        """The entries."""
        return self._entries.values()
