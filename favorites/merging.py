"""What becomes of favorites when two accounts are merged."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.services import merging
from accounts.services.merging import Fate, Part, Told
from favorites import services
from favorites.models import Favorite

FATES = {"favorites.Favorite.person": Fate.MOVES}


def register() -> None:
    """Register the part of favorites."""
    merging.parts.register("favorites", Part(fates=FATES, counts=_counts, move=services.hand_over))


def _counts(merged: User) -> Iterator[Told]:
    kept = Favorite.objects.filter(person=merged).count()
    yield _("Favorites"), kept, _("move, each once")
