"""Which wheel is meant, what is in force on it, and whether people may draw."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from lottery.models import Wheel, WheelStatus, WheelVersion
from lottery.odds import PublishedPrize, Sheet
from ops.errors import NotFound

# A version never changes, so it is read once per process. The time is part of the key because
# SQLite hands the id of a row that was rolled back to the next one.
_sheets: dict[tuple[int, datetime], Sheet] = {}


def version_in_force(wheel_id: int | None) -> WheelVersion:
    """The newest version of a wheel, with its wheel; None means the wheel marked default.

    Its `prizes` are left in the database: see `sheet_of`. Raises NotFound (1010) when there is
    no such wheel or it was never published.
    """
    wanted = {"wheel__is_default": True} if wheel_id is None else {"wheel_id": wheel_id}
    version = versions().filter(**wanted).order_by("-number").first()
    if version is None:
        raise NotFound
    return version


def versions() -> QuerySet[WheelVersion]:
    """Versions with their wheel and without their prizes, which `sheets_of` keeps."""
    return WheelVersion.objects.select_related("wheel").defer("prizes")


def sheets_of(versions: Iterable[WheelVersion]) -> dict[int, Sheet]:
    """The odds sheets of these versions by version id; one query for those not yet read."""
    wanted = {version.pk: version for version in versions}
    unread = [pk for pk, version in wanted.items() if _key(version) not in _sheets]
    if unread:
        rows = WheelVersion.objects.filter(pk__in=unread).values_list("pk", "prizes")
        for pk, prizes in rows:
            _sheets[_key(wanted[pk])] = Sheet(
                prizes=tuple(PublishedPrize.from_json(prize) for prize in prizes),
                fallback_prize_id=wanted[pk].fallback_prize_id,
                pity_threshold=wanted[pk].pity_threshold,
            )
    return {pk: _sheets[_key(version)] for pk, version in wanted.items()}


def sheet_of(version: WheelVersion) -> Sheet:
    """The odds sheet of one version."""
    return sheets_of([version])[version.pk]


def _key(version: WheelVersion) -> tuple[int, datetime]:
    return version.pk, version.published_at


def change_status(*, wheel_id: int, status: WheelStatus) -> None:
    """Open, pause or close a wheel; it takes effect with the next draw.

    Raises NotFound.
    """
    if not Wheel.objects.filter(pk=wheel_id).update(status=status):
        raise NotFound


@transaction.atomic
def make_default(*, wheel_id: int) -> None:
    """Make this the wheel that a client gets that names none. Raises NotFound."""
    concerned = Wheel.objects.filter(is_default=True) | Wheel.objects.filter(pk=wheel_id)
    rows = {wheel.pk: wheel for wheel in concerned.locked()}
    if wheel_id not in rows:
        raise NotFound
    # One default at any time: the old one steps down before the new one steps up.
    Wheel.objects.filter(pk__in=rows, is_default=True).update(is_default=False)
    Wheel.objects.filter(pk=wheel_id).update(is_default=True)
