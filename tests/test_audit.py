"""Every change by staff, merchant or command leaves its audit entry; nothing else does.

Every public function of every service, and every command, stands in one of the tables below: what
is audited with somebody who does it, all else with the reason why not.
"""

import ast
import getpass
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable
from datetime import UTC, date, timedelta
from decimal import Decimal
from functools import partial
from io import StringIO
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.management import call_command
from django.db import connection, transaction
from django.tasks import Task
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.live_settings import REGISTER_BONUS
from accounts.models import ConsoleDevice, DeviceSession, User, UserStatus
from accounts.services import (
    adjusting,
    console_devices,
    identities,
    merging,
    passwords,
    premium,
    second_factors,
    sign_in,
)
from accounts.services.staff import choose_platform_role, make_superuser
from accounts.tests.factories import Phone, make_sign_in
from accounts.tests.factories import enrol as enrolled
from catalog.models import (
    Product,
    ProductImage,
    ShopInvitation,
    ShopMember,
    ShopRole,
    StockOperation,
)
from catalog.services import invitations, members, orders, pictures, stock, virtual_codes
from catalog.tests.factories import make_member, make_order, make_png, make_product, make_shop
from favorites import services as favorites
from lottery.models import PrizeType, Wheel, WheelStatus
from lottery.services import publishing, seeds, wheels
from lottery.services.draws import draw
from lottery.tests.factories import make_draft, make_wheel
from ops import sensitive
from ops.access import Role
from ops.models import (
    AuditActor,
    AuditEntry,
    ErrorGroup,
    FailedRow,
    LedgerSeal,
    LiveSetting,
    Maintenance,
    Schedule,
)
from ops.services import (
    error_groups,
    failed_rows,
    integrity,
    key_ring,
    key_rotation,
    key_uses,
    live_settings,
    maintenance,
    schedules,
    seals,
)
from ops.services.audit import NobodyActs
from reviews.services import review
from reviews.services.review import Action, Decision
from reviews.services.reviewers import Reviewer
from reviews.tests.factories import make_receipt, upload
from tests.audit import (
    ADDRESS,
    REQUEST_ID,
    Told,
    acting_as,
    entries_of,
    entries_of_commands,
    what,
)
from tests.keys import NEW, OLD
from tests.ledgers import without_triggers
from tests.people import make_person

pytestmark = pytest.mark.django_db
APPS = ("ops", "accounts", "catalog", "lottery", "reviews", "favorites")


class Deed(NamedTuple):
    """Something that staff do, and what of it has to be left."""

    do: Callable[[], Any]
    left: Callable[[], list[Told]]


# --- What is audited ------------------------------------------------------------------------------
def ban(staff):
    person = make_person()
    return Deed(
        partial(sign_in.change_status, person=person, status=UserStatus.BANNED, reason="Fraud"),
        lambda: [
            Told(
                "user.change_status",
                f"accounts.user:{person.pk}",
                {"status": "active"},
                {"status": "banned"},
                "Fraud",
            )
        ],
    )


def end_a_sign_in(staff):
    session = make_sign_in().session

    def left():
        ended = DeviceSession.objects.get(pk=session.pk).revoked_at
        assert ended is not None
        return [
            Told(
                "devicesession.revoke",
                f"accounts.devicesession:{session.pk}",
                {"revoked_at": None},
                {"revoked_at": ended.isoformat(timespec="microseconds")},
            )
        ]

    return Deed(partial(sign_in.revoke, session), left)


def of_password(person):
    before, after = ({"must_change_password": is_owed} for is_owed in (False, True))
    return Told("user.set_password", f"accounts.user:{person.pk}", before, after)


def set_a_password(staff):
    person = make_person(username="cook")
    return Deed(
        partial(passwords.set_password, person=person, password="s3cret-s3cret"),
        lambda: [of_password(person)],
    )


def of_superuser():
    root = User.objects.get(username="root")
    name = sensitive.told(User, "username", "root")
    rights = {"username": name, "is_staff": True, "is_superuser": True}
    return Told("user.create_superuser", f"accounts.user:{root.pk}", {}, rights)


def vouch_for_a_phone(staff):
    def left():
        person = User.objects.get(phone="13900139007")
        return [Told("user.add", f"accounts.user:{person.pk}", {}, {"phone": "139****9007"})]

    return Deed(partial(identities.account_for, "13900139007", author_id=staff.pk), left)


def make_a_superuser(staff):
    return Deed(
        partial(make_superuser, username="root", password="s3cret-s3cret"),
        lambda: [of_superuser()],
    )


def of_second_factor(person, action, reason=""):
    return [Told(f"user.{action}", f"accounts.user:{person.pk}", {}, {}, reason)]


def enrol(staff):
    phone = Phone()
    return Deed(
        partial(second_factors.enrol, person=staff, secret=phone.secret, code=phone.code()),
        lambda: of_second_factor(staff, "enrol_second_factor"),
    )


def renew_recovery_codes(staff):
    enrolled(staff)
    return Deed(
        partial(second_factors.renew_recovery_codes, person=staff),
        lambda: of_second_factor(staff, "renew_recovery_codes"),
    )


def remove_second_factor(staff):
    enrolled(staff)
    return Deed(
        partial(second_factors.remove, person=staff),
        lambda: of_second_factor(staff, "remove_second_factor"),
    )


def reset_second_factor(staff):
    person = make_person()
    enrolled(person)
    facts = {"person_id": person.pk, "reason": "Lost phone", "author_id": staff.pk}
    return Deed(
        partial(second_factors.reset, **facts),
        lambda: of_second_factor(person, "reset_second_factor", "Lost phone"),
    )


def of_premium(person, action, before, after, reason):
    before, after = ({"premium_until": day and day.isoformat()} for day in (before, after))
    return Told(f"user.{action}", f"accounts.user:{person.pk}", before, after, reason)


def grant_premium(staff):
    person, until = make_person(), date(2999, 1, 1)
    facts = {"until": until, "reason": "A regular", "author_id": staff.pk}
    return Deed(
        partial(premium.grant, person_id=person.pk, **facts),
        lambda: [of_premium(person, "grant_premium", None, until, "A regular")],
    )


def end_premium(staff):
    until = date(2999, 1, 1)
    person = make_person(premium_until=until)
    return Deed(
        partial(premium.end, person_id=person.pk, reason="Moved away", author_id=staff.pk),
        lambda: [of_premium(person, "end_premium", until, None, "Moved away")],
    )


def merge_two(staff):
    survivor, merged = make_person(), make_person(points=30)
    facts = {"reason": "One person", "author_id": staff.pk}
    phone = merged.masked_phone
    ended = {"phone": None, "status": "inactive", "total_points": 0, "merged_into": survivor.pk}
    was = {"phone": phone, "status": "active", "total_points": 30, "merged_into": None}
    return Deed(
        partial(merging.merge, survivor_id=survivor.pk, merged_id=merged.pk, **facts),
        lambda: [
            Told("user.merge", f"accounts.user:{person.pk}", before, after, "One person")
            for person, before, after in (
                (survivor, {"total_points": 0}, {"total_points": 30}),
                (merged, was, ended),
            )
        ],
    )


def of_points(person, points, reason):
    before, after = {"total_points": 30}, {"total_points": 30 + points, "entry": 2}
    return Told("user.adjust_points", f"accounts.user:{person.pk}", before, after, reason)


def adjust_points(staff):
    person = make_person(points=30)
    facts = {"points": -7, "reason": "Counted wrong", "author_id": staff.pk}
    return Deed(
        partial(adjusting.adjust, person_id=person.pk, **facts),
        lambda: [of_points(person, -7, "Counted wrong")],
    )


def correct_points(staff):
    person = make_person(points=30)
    entry = person.points_entries.get()
    facts = {"reason": "Nobody's", "author_id": staff.pk}
    return Deed(
        partial(adjusting.correct, entry_id=entry.pk, **facts),
        lambda: [of_points(person, -30, "Nobody's")],
    )


def of_product(product, action, before, after, reason=""):
    shop_id = product.shop_id
    return Told(action, f"catalog.product:{product.pk}", before, after, reason, shop_id)


def restock(staff):
    product = make_product(stock=5)
    return Deed(
        partial(
            stock.change_stock,
            product_id=product.pk,
            quantity=3,
            operation=StockOperation.RESTOCK,
            author_id=staff.pk,
            reason="Delivery",
        ),
        lambda: [
            of_product(product, "product.change_stock", {"stock": 5}, {"stock": 8}, "Delivery")
        ],
    )


def correct_stock(staff):
    product = make_product(stock=5)
    entry = product.stock_entries.get()
    facts = {"reason": "Nobody's", "author_id": staff.pk}
    return Deed(
        partial(stock.correct, entry_id=entry.pk, **facts),
        lambda: [
            of_product(product, "product.change_stock", {"stock": 5}, {"stock": 0}, "Nobody's")
        ],
    )


def load_codes(staff):
    product = make_product(codes=["A"])
    return Deed(
        partial(
            virtual_codes.add_codes,
            product_id=product.pk,
            codes=["A", "B", "C"],
            author_id=staff.pk,
        ),
        lambda: [
            of_product(product, "product.add_codes", {"stock": 1}, {"stock": 3, "added": 2}),
        ],
    )


def hang_a_picture(staff):
    product = make_product()

    def left():
        image = ProductImage.objects.get()
        return [
            Told(
                "productimage.add",
                f"catalog.productimage:{image.pk}",
                {},
                {"product": product.pk, "file": image.file_id, "position": 0},
                "",
                product.shop_id,
            )
        ]

    return Deed(
        partial(pictures.add_picture, product_id=product.pk, content=make_png((9, 9))), left
    )


def cancel_for_a_customer(staff):
    order = make_order()
    return Deed(
        partial(orders.cancel_for_customer, order_id=order.pk, reason="Out of stock"),
        lambda: [of_order(order, "order.cancel", "cancelled", "Out of stock")],
    )


def of_order(order, action, status, reason=""):
    before, after = {"status": "pending"}, {"status": status}
    return Told(action, f"catalog.order:{order.pk}", before, after, reason, order.shop_id)


def redeem(staff):
    order = make_order()
    make_member(shop=order.shop, person=staff)
    return Deed(
        partial(orders.redeem, cashier=staff, exchange_code=order.exchange_code),
        lambda: [of_order(order, "order.redeem", "redeemed")],
    )


def of_wheel(wheel, action, before, after):
    return Told(f"wheel.{action}", f"lottery.wheel:{wheel.pk}", before, after, "", wheel.shop_id)


def publish(staff):
    wheel = make_draft(shop=make_shop())
    return Deed(
        partial(publishing.publish, wheel_id=wheel.pk, author_id=staff.pk),
        lambda: [of_wheel(wheel, "publish", {"version": None}, {"version": 1})],
    )


def draw_up_a_wheel(staff):
    shop = make_shop()
    facts: dict[str, Any] = {
        "type": PrizeType.EMPTY,
        "probability": Decimal("0.125"),
        "color": "#c8261b",
    }
    sectors = [wheels.Sector(name=f"S{number}", **facts) for number in range(8)]

    def left():
        wheel = Wheel.objects.get()
        return [of_wheel(wheel, "add", {}, {"name": "W", "cost_points": 100, "prizes": 8})]

    draft = {"name": "W", "sectors": sectors, "cost_points": 100, "shop_id": shop.pk}
    return Deed(partial(wheels.make_draft, **draft), left)


def pause(staff):
    wheel = make_wheel(shop=make_shop())
    return Deed(
        partial(wheels.change_status, wheel_id=wheel.pk, status=WheelStatus.PAUSED),
        lambda: [of_wheel(wheel, "change_status", {"status": "active"}, {"status": "paused"})],
    )


def make_another_the_default(staff):
    old, new = make_wheel(), make_wheel()
    wheels.make_default(wheel_id=old.pk)
    yes, no = {"is_default": True}, {"is_default": False}
    return Deed(
        partial(wheels.make_default, wheel_id=new.pk),
        lambda: [of_wheel(old, "make_default", yes, no), of_wheel(new, "make_default", no, yes)],
    )


def of_receipt(receipt, action, status, *, points, reason=""):
    return Told(
        f"receipt.{action}",
        f"reviews.receipt:{receipt.pk}",
        {"status": "pending", "points_awarded": None},
        {"status": status, "points_awarded": points},
        reason,
        receipt.shop_id,
    )


def approve(staff):
    receipt = make_receipt()
    decision = Decision(upload_id=receipt.pk, action=Action.APPROVE)
    return Deed(
        partial(review.review, reviewer=Reviewer(staff, None), decision=decision),
        lambda: [of_receipt(receipt, "approve", "approved", points=1000)],
    )


def review_many(staff):
    """Two decisions; the third is refused and leaves nothing."""
    receipts = [make_receipt() for _ in range(3)]
    first, second, _decided = receipts
    decide = partial(review.review_batch, reviewer=Reviewer(staff, None))
    decide(decisions=[Decision(upload_id=receipts[2].pk, action=Action.REJECT, reason="x")])
    decisions = [
        Decision(upload_id=first.pk, action=Action.APPROVE),
        Decision(upload_id=receipts[2].pk, action=Action.APPROVE),
        Decision(upload_id=second.pk, action=Action.REJECT, reason="Blurred"),
    ]
    return Deed(
        partial(decide, decisions=decisions),
        lambda: [
            of_receipt(first, "approve", "approved", points=1000),
            of_receipt(second, "reject", "rejected", points=0, reason="Blurred"),
        ],
    )


def say_an_error_is_done(staff):
    now = timezone.now()
    facts = {"fingerprint": "f", "kind": "E", "count": 1, "first_seen": now, "last_seen": now}
    row = ErrorGroup.objects.create(**facts)
    told = Told(
        "errorgroup.close", f"ops.errorgroup:{row.pk}", {"state": "open"}, {"state": "done"}
    )
    return Deed(partial(error_groups.close, row), lambda: [told])


def try_a_row_again(staff):
    row = FailedRow.objects.create(job="j", row_id="7", error="E")
    pk = row.pk

    def left():
        (entry,) = entries_of(staff)
        told = what(entry)
        before = {name: told.before[name] for name in ("job", "row_id", "error")}
        assert before == {"job": "j", "row_id": "7", "error": "E"}
        return [Told("failedrow.try_again", f"ops.failedrow:{pk}", told.before, {})]

    return Deed(partial(failed_rows.try_again, row), left)


def let_a_job_run(staff):
    due_at = timezone.now() + timedelta(days=1)
    row = Schedule.objects.create(job="j", timing="every 1 s", next_due_at=due_at)

    def left():
        row.refresh_from_db()
        before, after = (
            {"next_due_at": moment.isoformat(timespec="microseconds")}
            for moment in (due_at, row.next_due_at)
        )
        return [Told("schedule.run_now", f"ops.schedule:{row.pk}", before, after)]

    return Deed(partial(schedules.run_now, row), left)


def replace_keys(staff):
    with override_settings(FIELD_ENCRYPTION_KEYS=[OLD], HASH_KEYS=[OLD]):
        make_product(codes=["A-1", "A-2"])
    ring = override_settings(FIELD_ENCRYPTION_KEYS=[NEW, OLD], HASH_KEYS=[NEW, OLD])

    def do():
        with ring:
            list(key_rotation.renew(key_uses.columns["catalog.VirtualCode.code_encrypted"]))

    def left():
        with ring:
            after = {
                "purpose": "field", "newest_key": key_ring.newest("field").id, "rows": 2
            }  # fmt: skip
        return [Told("keys.renew", "catalog.virtualcode", {}, after)]

    return Deed(do, left)


def put_seals_aside(staff):
    seal = seals.seal_ledgers(now=timezone.now())
    assert seal is not None
    forget_seals()
    return Deed(
        seals.set_newer_aside,
        lambda: [Told("seals.set_aside", "ops.ledgerseal", {}, {"days": [str(seal.date)]})],
    )


def forget_seals():
    """A database that was restored to a moment before they were made."""
    with without_triggers(LedgerSeal):
        LedgerSeal.objects.all().delete()


def of_member(member, verb, before, after):
    facts = {"person": member.person_id, "role": after}
    return Told(
        f"shopmember.{verb}",
        f"catalog.shopmember:{member.pk}",
        {"role": before},
        facts,
        shop_id=member.shop_id,
    )


def take_somebody_on(staff):
    shop, person = make_shop(), make_person()
    return Deed(
        partial(members.join, shop_id=shop.pk, person=person, role=ShopRole.CASHIER),
        lambda: [of_member(ShopMember.objects.get(person=person), "join", None, "cashier")],
    )


def raise_a_member(staff):
    member = ShopMember.objects.get(person=make_member(shop=make_shop()))
    return Deed(
        partial(members.change_role, member=member, role=ShopRole.MANAGER),
        lambda: [of_member(member, "change_role", "cashier", "manager")],
    )


def let_a_member_go(staff):
    member = ShopMember.objects.get(person=make_member(shop=make_shop()))
    return Deed(
        partial(members.leave, member=member),
        lambda: [of_member(member, "leave", "cashier", None)],
    )


def let_members_go(staff):
    shop = make_shop()
    gone = [ShopMember.objects.get(person=make_member(shop=shop)) for _ in range(2)]
    return Deed(
        partial(members.leave_all, gone),
        lambda: [of_member(member, "leave", "cashier", None) for member in gone],
    )


def of_invitation(invitation, verb, before, after):
    return Told(
        f"shopinvitation.{verb}",
        f"catalog.shopinvitation:{invitation.pk}",
        before,
        after,
        shop_id=invitation.shop_id,
    )


def as_told(invitation):
    until = invitation.expires_at.astimezone(UTC).isoformat(timespec="microseconds")
    return {"phone": invitation.masked_phone, "role": "cashier", "expires_at": until}


def make_invitation(phone="13800138000"):
    return invitations.invite(shop_id=make_shop().pk, phone=phone, role=ShopRole.CASHIER)


def invite_somebody(staff):
    shop, phone = make_shop(), "13800138000"

    def left():
        invitation = ShopInvitation.objects.get()
        return [of_invitation(invitation, "invite", {}, as_told(invitation))]

    ask = partial(invitations.invite, shop_id=shop.pk, phone=phone, role=ShopRole.CASHIER)
    return Deed(ask, left)


def withdraw_invitations(staff):
    gone = [make_invitation() for _ in range(2)]
    return Deed(
        partial(invitations.withdraw_all, gone),
        lambda: [of_invitation(one, "withdraw", as_told(one), {}) for one in gone],
    )


def decline_an_invitation(staff):
    invitation = make_invitation(staff.phone)
    return Deed(
        partial(invitations.decline, person=staff, invitation_id=invitation.pk),
        lambda: [of_invitation(invitation, "decline", as_told(invitation), {})],
    )


def accept_an_invitation(staff):
    invitation = make_invitation(staff.phone)
    return Deed(
        partial(invitations.accept, person=staff, invitation_id=invitation.pk),
        lambda: [of_member(ShopMember.objects.get(), "join", None, "cashier")],
    )


def accept_all_invitations(staff):
    make_invitation(staff.phone)
    return Deed(
        partial(invitations.accept_all, staff),
        lambda: [of_member(ShopMember.objects.get(), "join", None, "cashier")],
    )


def make_an_auditor(staff):
    person = make_person()
    return Deed(
        partial(choose_platform_role, person_id=person.pk, role=Role.AUDITOR, author_id=staff.pk),
        lambda: [
            Told(
                "user.choose_platform_role",
                f"accounts.user:{person.pk}",
                {"role": None},
                {"role": "auditor"},
            )
        ],
    )


def end_a_console_device(staff):
    facts = {"token": "", "address": "", "user_agent": ""}
    device, _token = console_devices.remember(person=make_person(), **facts)

    def left():
        ended = ConsoleDevice.objects.get(pk=device.pk).ended_at
        assert ended is not None
        return [
            Told(
                "consoledevice.end",
                f"accounts.consoledevice:{device.pk}",
                {"ended_at": None},
                {"ended_at": ended.isoformat(timespec="microseconds")},
            )
        ]

    return Deed(partial(console_devices.end, device), left)


def of_setting(action, before, after, reason=""):
    return Told(action, f"ops.livesetting:{REGISTER_BONUS.key}", before, after, reason)


def change_a_setting(staff):
    return Deed(
        partial(live_settings.change, key=REGISTER_BONUS.key, value=500, reason="Opening"),
        lambda: [
            of_setting(
                "livesetting.change",
                {"value": 1000, "is_default": True},
                {"value": 500, "is_default": False},
                "Opening",
            )
        ],
    )


def reset_a_setting(staff):
    LiveSetting.objects.create(key=REGISTER_BONUS.key, value=500)
    return Deed(
        partial(live_settings.reset, key=REGISTER_BONUS.key),
        lambda: [
            of_setting(
                "livesetting.reset",
                {"value": 500, "is_default": False},
                {"value": 1000, "is_default": True},
            )
        ],
    )


def rest(staff):
    return Deed(
        partial(maintenance.turn_on, message="Back at two."),
        lambda: [
            Told(
                "maintenance.on",
                "ops.maintenance:1",
                {"is_on": False, "message": ""},
                {"is_on": True, "message": "Back at two."},
            )
        ],
    )


def go_on(staff):
    Maintenance.objects.create(is_on=True)
    return Deed(
        maintenance.turn_off,
        lambda: [
            Told("maintenance.off", "ops.maintenance:1", {"is_on": True}, {"is_on": False}),
        ],
    )


AUDITED = {
    "accounts.services.adjusting.adjust": adjust_points,
    "accounts.services.adjusting.correct": correct_points,
    "accounts.services.console_devices.end": end_a_console_device,
    "accounts.services.identities.account_for": vouch_for_a_phone,
    "accounts.services.merging.merge": merge_two,
    "accounts.services.passwords.set_password": set_a_password,
    "accounts.services.premium.end": end_premium,
    "accounts.services.premium.grant": grant_premium,
    "accounts.services.second_factors.enrol": enrol,
    "accounts.services.second_factors.remove": remove_second_factor,
    "accounts.services.second_factors.renew_recovery_codes": renew_recovery_codes,
    "accounts.services.second_factors.reset": reset_second_factor,
    "accounts.services.sign_in.change_status": ban,
    "accounts.services.sign_in.revoke": end_a_sign_in,
    "accounts.services.staff.choose_platform_role": make_an_auditor,
    "accounts.services.staff.make_superuser": make_a_superuser,
    "catalog.services.invitations.accept": accept_an_invitation,
    "catalog.services.invitations.accept_all": accept_all_invitations,
    "catalog.services.invitations.decline": decline_an_invitation,
    "catalog.services.invitations.invite": invite_somebody,
    "catalog.services.invitations.withdraw_all": withdraw_invitations,
    "catalog.services.members.change_role": raise_a_member,
    "catalog.services.members.join": take_somebody_on,
    "catalog.services.members.leave": let_a_member_go,
    "catalog.services.members.leave_all": let_members_go,
    "catalog.services.orders.cancel_for_customer": cancel_for_a_customer,
    "catalog.services.orders.redeem": redeem,
    "catalog.services.pictures.add_picture": hang_a_picture,
    "catalog.services.stock.change_stock": restock,
    "catalog.services.stock.correct": correct_stock,
    "catalog.services.virtual_codes.add_codes": load_codes,
    "lottery.services.publishing.publish": publish,
    "lottery.services.wheels.change_status": pause,
    "lottery.services.wheels.make_draft": draw_up_a_wheel,
    "lottery.services.wheels.make_default": make_another_the_default,
    "ops.services.error_groups.close": say_an_error_is_done,
    "ops.services.failed_rows.try_again": try_a_row_again,
    "ops.services.key_rotation.renew": replace_keys,
    "ops.services.schedules.run_now": let_a_job_run,
    "ops.services.live_settings.change": change_a_setting,
    "ops.services.live_settings.reset": reset_a_setting,
    "ops.services.maintenance.turn_off": go_on,
    "ops.services.maintenance.turn_on": rest,
    "ops.services.seals.set_newer_aside": put_seals_aside,
    "reviews.services.review.review": approve,
    "reviews.services.review.review_batch": review_many,
}

# --- What is not, and why -------------------------------------------------------------------------
READS = {
    "ops.services.connection_room.room",
    "ops.services.connection_room.warn_without_room",
    "accounts.services.second_factors.address_of",
    "accounts.services.second_factors.code_at",
    "accounts.services.second_factors.codes_left",
    "accounts.services.second_factors.factor_of",
    "accounts.services.second_factors.must_have",
    "accounts.services.second_factors.new_secret",
    "accounts.services.second_factors.tidy",
    "catalog.services.pictures.largest_picture",
    "ops.services.memory.give_back",
    "ops.services.memory.give_large_back",
    "ops.services.picture_decoders.on_white",
    "ops.services.picture_decoders.open_file",
    "ops.services.picture_files.orientation_of",
    "ops.services.picture_files.plain_heif",
    "ops.services.picture_files.read_jpeg",
    "ops.services.picture_files.read_png",
    "ops.services.picture_files.read_webp",
    "ops.services.picture_files.type_of",
    "ops.services.pictures.in_turn",
    "ops.services.queue.engine",
    "ops.services.queue.failures",
    "ops.services.queue.first_arguments",
    "ops.services.queue.under_way",
    "ops.services.queue.waiting",
    "ops.services.queue_engine.names_of",
    "ops.services.queue_engine.present_name",
    "ops.services.redis_queue.connect",
    "ops.services.jobs.are_paused",
    "ops.services.jobs.interval_in_words",
    "ops.services.scheduler.worker_name",
    "ops.services.schedules.database_now",
    "ops.services.schedules.due",
    "ops.services.schedules.label_of",
    "ops.services.schedules.standings",
    "ops.services.schedules.under_way",
    "ops.services.schedules.what_it_did",
    "ops.services.schedules.what_went_wrong",
    "ops.services.webp.decode",
    "accounts.services.live_sessions.find",
    "accounts.services.merged_accounts.account_ids",
    "accounts.services.merged_accounts.is_own",
    "accounts.services.merged_accounts.survivors",
    "accounts.services.adjusting.proofs_of",
    "accounts.services.merging.preview",
    "accounts.services.merging.proofs_of",
    "accounts.services.console_devices.alive",
    "accounts.services.console_devices.known_device",
    "accounts.services.code_counts.check_wrong_codes",
    "accounts.services.code_counts.rest_of_hour",
    "accounts.services.code_counts.start_of_hour",
    "accounts.services.customers.known_at",
    "accounts.services.passwords.check_own_choice",
    "accounts.services.passwords.check_strength",
    "accounts.services.staff.check_may_act_on",
    "accounts.services.staff.may_act_on",
    "accounts.services.staff.platform_role",
    "catalog.services.console_access.access_of",
    "catalog.services.console_access.rights_of_role",
    "catalog.services.invitations.is_awaited",
    "catalog.services.invitations.open_to",
    "catalog.services.members.check_author",
    "accounts.services.admissions.is_awaited",
    "catalog.services.orders.look_up",
    "catalog.services.orders.ordered_at",
    "reviews.services.queue.next_for",
    "reviews.services.queue.waiting_for",
    "reviews.services.uploads.uploaded_at",
    "accounts.services.avatars.read_picture",
    "accounts.services.emails.link_named",
    "accounts.services.greeting.standings",
    "accounts.services.profile.statistics",
    "catalog.services.orders.counted_of",
    "lottery.services.draws.counted_of",
    "reviews.services.uploads.counted_of",
    "accounts.services.profile.tiers_around",
    "accounts.services.sign_in.live_session",
    "accounts.services.sign_in_codes.alive",
    "accounts.services.sign_in_codes.check_phone",
    "accounts.services.tokens.alive",
    "accounts.services.tokens.read_access",
    "accounts.services.tokens.read_refresh",
    "accounts.services.tokens.sign_pair",
    "accounts.services.welcome.proofs_of",
    "catalog.services.exchange_codes.new_exchange_code",
    "catalog.services.exchange_codes.normal_form",
    "catalog.services.mall.favorites_among",
    "catalog.services.mall.shown",
    "catalog.services.orders.own_order",
    "catalog.services.pictures.read_picture",
    "catalog.services.shops.is_merchant",
    "catalog.services.shops.only_open_shop",
    "catalog.services.shops.open_shop",
    "catalog.services.shops.require_merchant",
    "catalog.services.shops.roles_of",
    "catalog.services.virtual_codes.codes_by_order",
    "catalog.services.virtual_codes.codes_of",
    "catalog.services.virtual_codes.rehashed",
    "favorites.services.is_favorite_of",
    "lottery.services.draws.pity_and_used_today",
    "lottery.services.proofs.proof_of",
    "lottery.services.seeds.reveal",
    "lottery.services.wheels.version_in_force",
    "ops.services.audit.changed",
    "ops.services.audit.form_change",
    "ops.services.audit.values_of",
    "ops.services.encryption.decrypt",
    "ops.services.encryption.encrypt",
    "ops.services.encryption.key_of",
    "ops.services.encryption.keyed_hash",
    "ops.services.encryption.keyed_hashes",
    "ops.services.freshness.current",
    "ops.services.freshness.forget",
    "ops.services.freshness.heard",
    "ops.services.freshness.is_unchanged",
    "ops.services.freshness.question",
    "ops.services.kept.do_not_keep",
    "ops.services.kept.forget",
    "ops.services.kept.kept",
    "ops.services.files.by_signed_token",
    "ops.services.files.open_to_read",
    "ops.services.files.read",
    "ops.services.files.signed_path",
    "ops.services.health.report",
    "ops.services.processes.check_alive",
    "ops.services.processes.last_seen",
    "ops.services.storage_probe.check",
    "ops.services.integrity.count_rows",
    "ops.services.integrity.remarks",
    "ops.services.integrity.run",
    "ops.services.integrity.snapshot",
    "ops.services.integrity.unguarded_tables",
    "ops.services.integrity.unlike",
    "ops.services.live_settings.forget",
    "ops.services.live_settings.history",
    "ops.services.live_settings.public_values",
    "ops.services.live_settings.read_at_first_use",
    "ops.services.live_settings.refresh",
    "ops.services.live_settings.refuse_stored_settings",
    "ops.services.live_settings.sentences_about_stored",
    "ops.services.live_settings.setting_named",
    "ops.services.live_settings.standings",
    "ops.services.live_settings.value_of_text",
    "ops.services.maintenance.begin",
    "ops.services.maintenance.current",
    "ops.services.maintenance.end",
    "ops.services.maintenance.forget",
    "ops.services.maintenance.in_hand",
    "ops.services.maintenance.is_on",
    "ops.services.maintenance.is_smoke",
    "ops.services.maintenance.refuse_while_on",
    "ops.services.maintenance.smoke_headers",
    "ops.services.maintenance.told",
    "ops.services.key_ring.borrowed_hash_key",
    "ops.services.key_ring.find",
    "ops.services.key_ring.first_hash_key",
    "ops.services.key_ring.keys",
    "ops.services.key_ring.newest",
    "ops.services.key_rotation.verdicts",
    "ops.services.heads.end_of",
    "ops.services.heads.is_whole",
    "ops.services.heads.why_unproved",
    "ops.services.repair.answer_of_head",
    "ops.services.repair.plan",
    "ops.services.ledgers.broken_links",
    "ops.services.ledgers.wrong_heads",
    "ops.services.ledgers.check_causes",
    "ops.services.ledgers.check_chains",
    "ops.services.ledgers.without_cause",
    "ops.services.missing_keys.missing_keys",
    "ops.services.missing_keys.refuse_missing_keys",
    "ops.services.pictures.decode",
    "ops.services.pictures.render",
    "ops.services.pictures.within",
    "ops.services.public_files.copies_of",
    "ops.services.public_files.public_address",
    "ops.services.public_files.read_copy",
    "ops.services.seal_files.days",
    "ops.services.seal_files.differ",
    "ops.services.seal_files.read",
    "ops.services.seal_files.storage",
    "ops.services.seals.check_seals",
    "ops.services.seals.public_key",
    "ops.services.seals.say_what_is_unsealed",
    "ops.services.seals.sealed_heads",
    "ops.services.tables.check_tables",
    "reviews.services.process.load_reader",
    "reviews.services.reviewers.reviewer_for",
    "reviews.services.uploads.uploads_left_today",
}
# What a process tells of itself, and of what a command did once.
TELLS = {
    "catalog.services.members.tell_of_closing",
    "ops.services.events.record",
    "ops.services.slow_requests.note",
    "ops.services.slow_requests.write_waiting",
    "ops.services.metric_files.add_up",
    "ops.services.metric_files.compact",
    "ops.services.metric_files.folder",
    "ops.services.metric_files.let_go",
    "ops.services.metric_files.read",
    "ops.services.metric_files.replace",
    "ops.services.metric_files.write",
    "ops.services.metric_files.write_at_the_end",
    "ops.services.metrics.forget_gauges",
    "ops.services.metrics.render",
    "ops.services.metrics.samples",
    "ops.services.metrics.write",
    "ops.services.metrics.write_last",
    "ops.services.metrics.write_until_the_end",
    "ops.services.machine.let_go",
    "ops.services.machine.machine_id",
    "ops.services.machine.speaks",
    "ops.services.processes.beat",
    "ops.services.storage_probe.forget",
    "ops.services.storage_probe.probe",
}
LOCKS = {
    "accounts.services.points.lock_open",
    "accounts.services.points.lock_people",
    "accounts.services.points.lock_person",
    "accounts.services.points.lock_receiver",
    "accounts.services.points.lock_receivers",
    "ops.services.heads.lock_account",
    "ops.services.repair.alone",
    "catalog.services.stock.lock_product",
    "catalog.services.stock.lock_products",
    "lottery.services.availability.lock",
    "lottery.services.seeds.hold",
}
AT_THE_START = {
    "ops.services.key_uses.register",
    "catalog.services.mall.set_favorite_test",
}
THE_TRAIL_ITSELF = {
    "ops.services.audit.record",
    "ops.services.audit.record_all",
    "ops.services.audit.record_form",
    "ops.services.audit.record_forms",
}
OWN_AFFAIRS = {
    "accounts.services.console_devices.is_live",
    "accounts.services.console_devices.remember",
    "accounts.services.console_codes.check_code",
    "accounts.services.console_sign_in.check_password",
    "accounts.services.console_sign_in.check_second_factor",
    "accounts.services.console_sign_in.confirm_by_api",
    "accounts.services.console_sign_in.confirm_password",
    "accounts.services.console_sign_in.confirm_second_factor",
    "accounts.services.avatars.change",
    "accounts.services.emails.ask_link",
    "accounts.services.emails.confirm",
    "accounts.services.emails.remove",
    "accounts.services.live_sessions.note_activity",
    "accounts.services.profile.change",
    "accounts.services.profile.rename",
    "accounts.services.sign_in.refresh",
    "accounts.services.sign_in.sign_in_by_code",
    "accounts.services.sign_in.sign_in_by_wechat",
    "accounts.services.sign_in.sign_out",
    "accounts.services.sign_in_codes.ask_code",
    "accounts.services.sign_in_codes.use_code",
    "catalog.services.orders.cancel",
    "catalog.services.orders.exchange",
    "favorites.services.add",
    "favorites.services.remove",
    "lottery.services.draws.draw",
    "lottery.services.seeds.pairs_of",
    "lottery.services.seeds.rotate",
    "reviews.services.uploads.photo_stored",
    "reviews.services.uploads.submit",
}
JOBS = {
    "accounts.services.code_counts.forget_old",
    "accounts.services.console_sessions.forget_expired",
    "accounts.services.console_sign_in.forget_old_tries",
    "accounts.services.emails.forget_old",
    "accounts.services.emails.send_link",
    "accounts.services.emails.send_notice",
    "accounts.services.sign_in.forget_ended",
    "accounts.services.sign_in_codes.forget_old",
    "ops.services.purge.purge",
    "catalog.services.invitations.forget_expired",
    "catalog.services.orders.expire_orders",
    "ops.services.error_groups.forget_old",
    "ops.services.error_groups.write_waiting",
    "ops.services.failed_rows.do_each",
    "ops.services.events.forget_old",
    "ops.services.files.discard_expired",
    "ops.services.freshness.forget_old",
    "ops.services.idempotency.forget_expired",
    "ops.services.queue.forget_old",
    "ops.services.queue.mark_lost_tasks",
    "ops.services.scheduler.give_up",
    "ops.services.scheduler.run_by_hand",
    "ops.services.scheduler.work",
    "ops.services.schedules.add_missing",
    "ops.services.schedules.adopt_timings",
    "ops.services.schedules.claim",
    "ops.services.schedules.claim_now",
    "ops.services.schedules.finish",
    "ops.services.schedules.forget_old",
    "ops.services.schedules.give_up",
    "ops.services.schedules.renew",
    "ops.services.maintenance.keep_up",  # a beat: what this process has in hand
    "ops.services.processes.forget_old",
    "ops.services.seals.seal_ledgers",  # by the command it does what the job does, once a day
    "reviews.services.process.claim",
    "reviews.services.process.complete",
    "reviews.services.process.fail",
    "reviews.services.process.give_back",
    "reviews.services.process.process_receipt",
    "reviews.services.process.report",
    "reviews.services.process.sweep_processes",
}
# What services are built of, with those that are audited, or are somebody's own affair.
PARTS = {
    "ops.services.heads.set_right": "repair_integrity",
    "ops.services.repair.apply": "repair_integrity, each repair for itself",
    "ops.services.repair.record": "the repairs themselves",
    "accounts.services.avatars.let_go": "change, merge",
    "accounts.services.avatars.store_picture": "change",
    "accounts.services.admissions.person_of": "signing in to the console, accept_all",
    "accounts.services.code_counts.count_wrong_code": "use_code, sign_in_by_wechat",
    "accounts.services.identities.person_at_wechat": "sign_in_by_wechat",
    "accounts.services.identities.person_by_phone": "sign_in_by_code",
    "accounts.services.console_devices.end_all": "change_status",
    "accounts.services.console_sign_in.forget_tries": "set_password",
    "accounts.services.second_factors.use": "check_second_factor, confirm_second_factor",
    "accounts.services.staff.follow_access": "join, leave, change_status",
    "accounts.services.points.change_points": "review, exchange and whatever books points",
    "accounts.services.points.write_entries": "change_points, draw",
    "accounts.services.welcome.welcome": "sign_in_by_code, sign_in_by_wechat",
    "catalog.services.members.enter": "join, accept",
    "catalog.services.orders.orders_for_prizes": "draw",
    "catalog.services.pictures.store_picture": "add_picture, and the form of a product",
    "catalog.services.stock.write_entries": "change_stock, add_codes, exchange",
    "catalog.services.virtual_codes.hand_out": "exchange",
    "favorites.services.hand_over": "merge",
    "lottery.services.seeds.close": "merge",
    "lottery.services.seeds.lock_active": "draw, rotate",
    "ops.services.after_restore.run": "restore_backup, on the copy; what it did is told",
    "ops.services.files.discard": "the form of a product, an upload",
    "ops.services.files.make_permanent": "add_picture, an upload",
    "ops.services.files.store": "add_picture, an upload",
    "ops.services.idempotency.run_once": "whatever it runs once",
    "ops.services.pictures.store": "add_picture, an upload",
    "ops.services.seal_files.set_aside": "set_newer_aside",
    "ops.services.seal_files.write": "seal_ledgers",
}
EXEMPT = {*READS, *TELLS, *LOCKS, *AT_THE_START, *THE_TRAIL_ITSELF, *OWN_AFFAIRS, *JOBS, *PARTS}

AUDITED_COMMANDS = {
    "changepassword",
    "createsuperuser",
    "init_platform",
    "reset_second_factor",
    "restore_backup",
    "set_password",
    "rotate_keys",
    "seal_ledgers",
    "maintenance",
    "repair_integrity",
    "seed_demo",
    "settings",
}
EXEMPT_COMMANDS = {
    "after_restore": "a part of restore_backup, on the copy",
    "audit": "reads",
    "backup": "changes nothing that it keeps; leaves events",
    "backups": "reads",
    "check_integrity": "reads, and leaves an event",
    "diagnose_db": "changes no row; what it mends leaves an event",
    "jobs": "runs jobs",
    "logs": "reads",
    "prune_backups": "leaves an event",
    "receive_wal": "keeps what PostgreSQL wrote",
    "safe_migrate": "reads",
    "serve": "what it starts with is seed_demo",
    "verify_backup": "reads",
    "test_alert": "tells channels something",
    "worker": "runs jobs",
}


# --- The list -------------------------------------------------------------------------------------
def modules_of(package):
    """A package and what is in it; nothing where there is none."""
    try:
        top = importlib.import_module(package)
    except ModuleNotFoundError:
        return []
    inside = pkgutil.iter_modules(getattr(top, "__path__", []))
    return [top, *(importlib.import_module(f"{package}.{one.name}") for one in inside)]


def public_functions():
    """Every function that a service offers, by its whole name; tasks are functions as well."""
    return {
        f"{module.__name__}.{name}": function
        for app in APPS
        for module in modules_of(f"{app}.services")
        for name, value in vars(module).items()
        if not name.startswith("_")
        for function in [inspect.unwrap(value.func if isinstance(value, Task) else value)]
        if inspect.isfunction(function) and function.__module__ == module.__name__
    }


def test_every_public_function_of_a_service_is_audited_or_has_a_reason_not_to_be():
    functions = set(public_functions())
    assert len(functions) > 100
    assert sorted(functions - {*AUDITED, *EXEMPT}) == []
    assert sorted({*AUDITED, *EXEMPT} - functions) == [], "of what is not there any more"
    assert sorted(EXEMPT & {*AUDITED}) == []


def test_every_command_is_audited_or_has_a_reason_not_to_be():
    commands = {
        module.__name__.rpartition(".")[2]
        for app in (*APPS, "config")
        for module in modules_of(f"{app}.management.commands")[1:]
    }
    assert commands == {*AUDITED_COMMANDS, *EXEMPT_COMMANDS}


WRITES = {
    "save", "create", "bulk_create", "get_or_create", "update_or_create", "bulk_update", "delete",
    "update",
}  # fmt: skip


def writes_of(function):
    """What a function calls that writes rows, by its source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {call.attr for call in calls if isinstance(call, ast.Attribute)} & WRITES


def test_what_is_said_to_read_writes_nothing():
    functions = public_functions()
    assert writes_of(functions["accounts.services.sign_in.refresh"]), "this test sees nothing"
    assert sorted(name for name in READS if writes_of(functions[name])) == []


# --- Each of them ---------------------------------------------------------------------------------
@pytest.fixture
def staff():
    return make_person(username="staff", is_staff=True, is_superuser=True)


class SomethingLater(Exception):
    """What else belongs to the transaction fails."""


def newest_of(person, since):
    return entries_of(person).filter(sequence__gt=since)


@pytest.mark.parametrize("set_the_scene", AUDITED.values(), ids=AUDITED)
def test_it_leaves_one_entry_for_each_row_with_all_that_has_to_be_in_it(staff, set_the_scene):
    deed = set_the_scene(staff)
    since, others = entries_of(staff).count(), AuditEntry.objects.count()

    with acting_as(staff):
        deed.do()

    left = list(newest_of(staff, since))
    assert sorted(map(what, left)) == sorted(deed.left())
    assert {(one.address, one.request_id) for one in left} == {(ADDRESS, REQUEST_ID)}
    assert all(abs((timezone.now() - one.created_at).total_seconds()) < 60 for one in left)
    assert AuditEntry.objects.count() == others + len(left), "and nobody else left any"
    assert list(integrity.run("audit")) == []


@pytest.mark.parametrize("set_the_scene", AUDITED.values(), ids=AUDITED)
def test_what_is_taken_back_leaves_none(staff, set_the_scene):
    deed = set_the_scene(staff)
    before = list(AuditEntry.objects.order_by("pk"))

    @transaction.atomic
    def do_and_fail():
        deed.do()
        assert AuditEntry.objects.count() > len(before)
        raise SomethingLater

    with acting_as(staff), pytest.raises(SomethingLater):
        do_and_fail()

    assert list(AuditEntry.objects.order_by("pk")) == before
    assert list(integrity.run("audit")) == []


@pytest.mark.parametrize("set_the_scene", AUDITED.values(), ids=AUDITED)
def test_whoever_acts_is_locked_after_everything_else(staff, set_the_scene):
    """Else somebody could wait for it who holds what is asked for next."""
    deed = set_the_scene(staff)
    with CaptureQueriesContext(connection) as queries, acting_as(staff):
        deed.do()
    holding = [
        one["sql"]
        for one in queries
        if one["sql"].startswith(("INSERT", "UPDATE", "DELETE")) or "FOR NO KEY" in one["sql"]
    ]
    is_of_the_trail = ["ops_audit" in statement for statement in holding]
    assert is_of_the_trail == sorted(is_of_the_trail)
    assert any(is_of_the_trail)


def test_who_wrote_it_is_known_without_a_request(staff):
    deed = restock(staff)
    deed.do()
    (entry,) = entries_of(staff)
    assert (entry.address, entry.request_id) == ("", "")
    assert [what(entry)] == deed.left()


def test_a_batch_writes_its_entries_in_one_statement(staff):
    deed = review_many(staff)
    with CaptureQueriesContext(connection) as queries, acting_as(staff):
        deed.do()
    inserts = [one["sql"] for one in queries if one["sql"].startswith('INSERT INTO "ops_audit')]
    assert len(inserts) == 1


def test_what_changes_nothing_leaves_nothing(staff):
    person, wheel, product = make_person(), make_wheel(), make_product(codes=["A"])
    session = make_sign_in().session
    sign_in.revoke(session)
    wheels.make_default(wheel_id=wheel.pk)
    with acting_as(staff):
        sign_in.change_status(person=person, status=UserStatus.ACTIVE)
        sign_in.revoke(session)
        wheels.change_status(wheel_id=wheel.pk, status=WheelStatus.ACTIVE)
        wheels.make_default(wheel_id=wheel.pk)
        virtual_codes.add_codes(product_id=product.pk, codes=["A"])
        seals.set_newer_aside()
    assert list(entries_of(staff)) == []


def test_no_code_stands_in_an_entry(staff):
    deed = load_codes(staff)
    with acting_as(staff):
        deed.do()
    (entry,) = entries_of(staff)
    assert entry.after == '{"added":2,"stock":3}'


# --- One's own affairs ----------------------------------------------------------------------------
def test_ones_own_affairs_are_not_audited():
    shop = make_shop()
    product, wheel = make_product(shop=shop), make_wheel(shop=shop)
    customer = make_person(points=10_000)
    before = AuditEntry.objects.count()
    with acting_as(customer):
        signed_in = sign_in.sign_in_by_code(
            phone=str(customer.phone),
            code=settings.SMS_FIXED_CODE,
            device=sign_in.Device(address="127.0.0.1"),
        )
        sign_in.refresh(signed_in.pair.refresh_token)
        order = orders.exchange(person_id=customer.pk, product_id=product.pk, quantity=1)
        orders.cancel(person_id=customer.pk, order_id=order.pk)
        draw(person_id=customer.pk, wheel_id=wheel.pk, count=1)
        seeds.rotate(person_id=customer.pk)
        favorites.add(person=customer, product_id=product.pk)
        upload(customer, shop=shop)
        sign_in.sign_out(signed_in.session, everywhere=True)
    assert AuditEntry.objects.count() == before
    assert not AuditActor.objects.filter(person_id=customer.pk).exists()


# --- Commands -------------------------------------------------------------------------------------
def run(*command):
    call_command(*command, stdout=StringIO())
    return list(entries_of_commands())


def test_reset_second_factor_leaves_an_entry_of_whoever_runs_it():
    person = make_person(username="cook")
    enrolled(person)
    entry = run("reset_second_factor", "cook", "--reason", "Lost phone")[-1]
    assert what(entry) == of_second_factor(person, "reset_second_factor", "Lost phone")[0]
    assert "@" in entry.system_user


def test_changepassword_leaves_an_entry_of_whoever_runs_it(monkeypatch):
    person = make_person(username="cook")
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "s3cret-s3cret")

    (entry,) = run("changepassword", "cook")

    assert what(entry) == of_password(person)
    user, _at, host = entry.system_user.partition("@")
    assert user == getpass.getuser()
    assert host
    person.refresh_from_db()
    assert person.check_password("s3cret-s3cret")


def test_createsuperuser_leaves_an_entry(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "s3cret-s3cret")

    (entry,) = run("createsuperuser", "--noinput", "--username", "root")

    assert what(entry) == of_superuser()


def test_rotate_keys_leaves_an_entry_for_each_column():
    replace_keys(None)
    before = entries_of_commands().count()
    with override_settings(FIELD_ENCRYPTION_KEYS=[NEW, OLD], HASH_KEYS=[NEW, OLD]):
        left = run("rotate_keys")[before:]
    assert [(one.action, one.object_type) for one in left] == [
        ("keys.renew", "catalog.virtualcode"),
        ("keys.renew", "catalog.virtualcode"),
    ]


def test_seal_ledgers_after_a_restore_leaves_an_entry_and_seals_it():
    make_product()
    seals.seal_ledgers(now=timezone.now())
    forget_seals()

    *_earlier, entry = run("seal_ledgers", "--after-restore")

    assert entry.action == "seals.set_aside"
    assert LedgerSeal.objects.get().entries == entry.sequence + 1  # and one of the stock
    assert list(integrity.run("seals")) == []


def test_seed_demo_leaves_what_its_services_leave_and_one_for_the_whole():
    left = run("seed_demo")
    assert [left[0].action, left[-1].action] == ["user.create_superuser", "demo.load"]
    assert {one.action for one in left} == {
        "user.create_superuser", "shopmember.join", "product.change_stock", "product.add_codes",
        "productimage.add", "wheel.publish", "wheel.make_default", "demo.load",
    }  # fmt: skip
    assert len([one for one in left if one.action == "productimage.add"]) == Product.objects.count()
    assert list(integrity.run("audit")) == []


def test_a_stranger_changes_nothing():
    person = make_person()
    with acting_as(AnonymousUser()), pytest.raises(NobodyActs), transaction.atomic():
        sign_in.change_status(person=person, status=UserStatus.BANNED)
    person.refresh_from_db()
    assert person.status == UserStatus.ACTIVE
