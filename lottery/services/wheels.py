"""Which version of a wheel is in force, and whether people may draw on it."""

from django.db import transaction

from lottery.models import Wheel, WheelStatus, WheelVersion
from ops.errors import NotFound


def version_in_force(wheel_id: int | None = None, *, default_wheel: bool = False) -> WheelVersion:
    """The newest version of a wheel, or of the wheel marked default, with its wheel.

    Raises NotFound when it was never published, or there is no such wheel: None is the id of none.
    """
    wanted = {"wheel__is_default": True} if default_wheel else {"wheel_id": wheel_id}
    versions = WheelVersion.objects.select_related("wheel").filter(**wanted)
    newest = versions.order_by("-number").first()
    if newest is None:
        raise NotFound
    return newest


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
