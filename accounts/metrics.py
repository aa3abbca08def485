"""What is counted of people and their points."""

from datetime import timedelta

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import PointsSource, SignInCode
from ops.charts import Chart, Group, Shows
from ops.measures import Counter, EventKind, Gauge, Histogram, Label, Values

_WAY = Label("way", ("code", "wechat", "console"))
_SOURCE = Label("source", PointsSource.values)

SIGN_INS = Counter(
    "platform_sign_ins_total", "Sign-ins: by a code, by WeChat, or to the console.", _WAY
)
SIGN_INS_REFUSED = Counter(
    "platform_sign_ins_refused_total",
    "Sign-ins that were refused.",
    _WAY,
    Label("reason", ("wrong", "delayed", "closed", "away")),
)
SECOND_FACTORS_USED = Counter(
    "platform_second_factors_used_total",
    "Second factors of the console that were right: codes of a phone, and recovery codes.",
    Label("kind", ("phone", "recovery")),
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
CODES_REFUSED = Counter(
    "platform_sign_in_codes_refused_total",
    "Sign-in codes that were asked for too often, or held back, by the limit that did it.",
    Label("reason", ("minute", "day", "address", "prefix", "budget", "pumping")),
)
SMS_TRIES = Counter(
    "platform_sms_tries_total",
    "What SMS providers did with a code: took it, did not, or never said so.",
    Label("provider", ("aliyun", "tencent", "console", "none")),
    Label("outcome", ("taken", "refused", "unsure")),
)
CODES_USED = Counter("platform_sign_in_codes_used_total", "Sign-in codes that were right.")
NEW_PEOPLE = Counter("platform_new_people_total", "People who signed in for the first time.")
RENAMED = Counter("platform_people_renamed_total", "Nicknames that their person changed.")
EMAIL_STEPS = Counter(
    "platform_people_emails_total",
    "E-mail addresses of people: links asked for, confirmed, and addresses removed.",
    Label("step", ("asked", "confirmed", "removed")),
)
EMAILS = Counter(
    "platform_emails_total",
    "Letters to people that the mail server took, and that it did not.",
    Label("outcome", ("sent", "failed")),
)
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
WECHAT_SECONDS = Histogram(
    "platform_wechat_seconds",
    "How long WeChat took to answer, by what was asked and whether it did.",
    Label("operation", ("session", "token", "phone")),
    Label("outcome", ("answered", "refused", "away")),
)
WECHAT_JOINED = Counter(
    "platform_wechat_joined_total", "Accounts that got a phone or a WeChat identity besides."
)

MERGES = Counter("platform_account_merges_total", "Accounts that staff merged into another.")


def _used_share() -> Values:
    """The used share of the codes of the last hour; of none there is no share.

    Those of the last minute may yet be used, and are left out.
    """
    now = timezone.now()
    codes = SignInCode.objects.filter(
        is_held_back=False,
        created_at__gt=now - timedelta(hours=1),
        created_at__lte=now - timedelta(minutes=1),
    )
    sums = codes.aggregate(all=Count("pk"), used=Count("pk", filter=Q(used_at__isnull=False)))
    return {(): sums["used"] / sums["all"]} if sums["all"] else {}


CODES_USED_RATIO = Gauge(
    "platform_sign_in_codes_used_ratio",
    "Which share of the sign-in codes of the last hour was used, from 0 to 1.",
    read=_used_share,
)

SMS_PUMPING = EventKind(
    "sms_pumping",
    _("Few sign-in codes are used: phones that never signed in before wait"),
    ("codes", "below_percent"),
)
SMS_BUDGET_USED_UP = EventKind(
    "sms_budget_used_up", _("The day's budget of sign-in codes is used up"), ("codes",)
)
