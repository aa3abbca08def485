"""What is counted of people and their points."""

from django.utils.translation import gettext_lazy as _

from accounts.models import PointsSource
from ops.charts import Chart, Group, Shows
from ops.measures import Counter, Label

_WAY = Label("way", ("code", "console"))
_SOURCE = Label("source", PointsSource.values)

SIGN_INS = Counter("platform_sign_ins_total", "Sign-ins: by a code, or to the console.", _WAY)
SIGN_INS_REFUSED = Counter(
    "platform_sign_ins_refused_total",
    "Sign-ins that were refused.",
    _WAY,
    Label("reason", ("wrong", "delayed", "closed")),
)
SIGN_OUTS = Counter("platform_sign_outs_total", "Sign-ins that their own person ended.")
REFRESHES = Counter(
    "platform_refreshes_total",
    "Refresh tokens that were exchanged, and those that were used a second time.",
    Label("outcome", ("exchanged", "reused")),
)
CODES = Counter(
    "platform_sign_in_codes_total",
    "Sign-in codes that were handed to the provider.",
    Label("outcome", ("sent", "failed")),
)
CODES_USED = Counter("platform_sign_in_codes_used_total", "Sign-in codes that were right.")
NEW_PEOPLE = Counter("platform_new_people_total", "People who signed in for the first time.")
RENAMED = Counter("platform_people_renamed_total", "Nicknames that their person changed.")
POINTS_ISSUED = Counter("platform_points_issued_total", "Points that people got.", _SOURCE)
POINTS_SPENT = Counter("platform_points_spent_total", "Points that were taken.", _SOURCE)

POINTS_ISSUED_CHART = Chart(
    name="points_issued",
    title=_("Points issued"),
    group=Group.BUSINESS,
    measure=POINTS_ISSUED,
    shows=Shows.COUNT,
)
POINTS_SPENT_CHART = Chart(
    name="points_spent",
    title=_("Points spent"),
    group=Group.BUSINESS,
    measure=POINTS_SPENT,
    shows=Shows.COUNT,
)
