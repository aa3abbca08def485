"""Every change leaves a number or an event: what changes state and tells nobody fails here.

Which services there are, and which of them change state, is said by `tests/test_audit.py`.
"""

from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.management import call_command
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from accounts import metrics as of_people
from accounts.errors import AccountClosed, WeChatAway, WrongCode, WrongPassword
from accounts.models import (
    CodeCount,
    DeviceSession,
    EmailLink,
    LimitPurpose,
    SignInCode,
    SignInLimit,
    UserStatus,
)
from accounts.services import (
    avatars,
    code_counts,
    console_devices,
    console_sessions,
    console_sign_in,
    emails,
    profile,
    second_factors,
    sign_in,
    sign_in_codes,
)
from accounts.tests.factories import enrol, make_sign_in
from catalog import metrics as of_catalog
from catalog.models import Order, ShopInvitation, ShopRole
from catalog.services import invitations, orders
from catalog.tests.factories import make_order, make_product, make_shop
from favorites import metrics as of_favorites
from favorites import services as favorites
from lottery import metrics as of_lottery
from lottery.errors import NotEnoughPointsToDraw
from lottery.services import draws, seeds
from lottery.tests.factories import make_wheel, points_prize
from ops import metrics as of_ops
from ops.models import ErrorGroup, FilePurpose, IdempotencyRecord, OperationalEvent, ProcessBeat
from ops.services import (
    error_groups,
    events,
    failed_rows,
    files,
    idempotency,
    processes,
    purge,
    queue,
    scheduler,
    seals,
)
from ops.services.encryption import encrypt
from ops.tests import probe_tasks
from reviews import metrics as of_reviews
from reviews.models import ProcessError, ProcessRecord, ProcessStatus
from reviews.services import process
from reviews.tests.factories import make_receipt, make_record, upload
from reviews.tests.scripted_reader import ScriptedReader
from tests import test_audit
from tests.audit import acting_as
from tests.people import make_person

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(days=100)


# --- Own affairs and jobs: each with somebody who does it -----------------------------------------
def here():
    return sign_in.Device(address="127.0.0.1")


def signed_in():
    return make_sign_in(make_person())


def by_code():
    person = make_person()
    return lambda: sign_in.sign_in_by_code(
        phone=str(person.phone), code=settings.SMS_FIXED_CODE, device=here()
    )


def by_wechat():
    """In vain: no WeChat is named here. What comes of a success is in its own tests."""

    def do():
        with pytest.raises(WeChatAway):
            sign_in.sign_in_by_wechat(code="c", phone_code=None, device=here())

    return do


def code_of_a_phone():
    person = make_person()
    mine = enrol(person)
    return lambda: second_factors.use(person=person, answer=mine.phone.code())


def asked_link():
    """A person, and the link that they asked for."""
    person = make_person()
    emails.ask_link(person_id=person.pk, email="wang@example.com")
    return person, EmailLink.objects.get()


def old_link():
    _person, link = asked_link()
    EmailLink.objects.filter(pk=link.pk).update(created_at=timezone.now() - LONG_AGO)
    return partial(emails.forget_old, now=timezone.now())


def opened_link():
    _person, link = asked_link()
    emails.send_link.call(link.pk, "en")
    (letter,) = mail.outbox
    return partial(emails.confirm, token=letter.body.partition("/email/")[2].split()[0])


def exchange():
    product, person = make_product(), make_person(points=100_000)
    return partial(orders.exchange, person_id=person.pk, product_id=product.pk, quantity=1)


def cancel():
    order = make_order()
    return partial(orders.cancel, person_id=order.person_id, order_id=order.pk)


def keep():
    return partial(favorites.add, person=make_person(), product_id=make_product().pk)


def let_go():
    person, product = make_person(), make_product()
    favorites.add(person=person, product_id=product.pk)
    return partial(favorites.remove, person=person, product_id=product.pk)


def draw():
    wheel = make_wheel(points_prize(probability=1))
    return partial(draws.draw, person_id=make_person(points=10_000).pk, wheel_id=wheel.pk, count=2)


def submit():
    make_shop()
    return partial(upload, make_person())


def store():
    return partial(files.store, content=b"x", purpose=FilePurpose.OTHER, media_type="text/plain")


def ended_sign_in():
    session = signed_in().session
    DeviceSession.objects.filter(pk=session.pk).update(revoked_at=timezone.now() - LONG_AGO)
    return partial(sign_in.forget_ended, now=timezone.now())


def old_code():
    then = timezone.now() - LONG_AGO
    SignInCode.objects.create(
        phone="13800138000", day=then.date(), number=1, created_at=then, expires_at=then
    )
    return partial(sign_in_codes.forget_old, now=timezone.now())


def old_count():
    CodeCount.objects.create(purpose="platform", key_hash="k", since=timezone.now() - LONG_AGO)
    return partial(code_counts.forget_old, now=timezone.now())


def old_tries():
    then = timezone.now() - LONG_AGO
    SignInLimit.objects.create(
        purpose=LimitPurpose.ACCOUNT, key_hash="a1" * 32, last_failed_at=then
    )
    return partial(console_sign_in.forget_old_tries, now=timezone.now())


def console_session():
    Session.objects.create(session_key="k", session_data="", expire_date=timezone.now() - LONG_AGO)
    return partial(console_sessions.forget_expired, now=timezone.now())


def old_key():
    IdempotencyRecord.objects.create(
        owner_id=1, path="/", key="k", fingerprint="f", created_at=timezone.now() - LONG_AGO
    )
    return partial(idempotency.forget_expired, now=timezone.now())


def old_event():
    OperationalEvent.objects.create(kind="k", host="h", happened_at=timezone.now() - LONG_AGO)
    return partial(events.forget_old, now=timezone.now())


def old_error():
    then = timezone.now() - LONG_AGO
    ErrorGroup.objects.create(
        fingerprint="f", kind="k", count=1, first_seen=then, last_seen=then, state="done",
        done_at=then,
    )  # fmt: skip
    return partial(error_groups.forget_old, now=timezone.now())


def old_task():
    result = probe_tasks.note.enqueue("a")
    DBTaskResult.objects.filter(pk=result.id).update(
        status="SUCCESSFUL", finished_at=timezone.now() - LONG_AGO
    )
    return partial(queue.forget_old, now=timezone.now())


def old_process():
    processes.beat()
    ProcessBeat.objects.update(beat_at=timezone.now() - LONG_AGO)
    return partial(processes.forget_old, now=timezone.now())


def something_to_purge():
    make_order()
    OperationalEvent.objects.create(kind="k", host="h")
    return partial(purge.purge, OperationalEvent.objects.order_by("pk"), batch_size=1)


def expired_invitation():
    invitations.invite(shop_id=make_shop().pk, phone="13800138000", role=ShopRole.CASHIER)
    ShopInvitation.objects.update(expires_at=timezone.now() - LONG_AGO)
    return partial(invitations.forget_expired, now=timezone.now())


def overdue_order():
    order = make_order()
    Order.objects.filter(pk=order.pk).update(expires_at=timezone.now() - LONG_AGO)
    return partial(orders.expire_orders, now=timezone.now())


def rows_of_a_job():
    make_order()
    return partial(
        failed_rows.do_each, "j", Order.objects.order_by("pk"), lambda _row: True, batch_size=5
    )


def expired_file():
    files.store(
        content=b"x",
        purpose=FilePurpose.OTHER,
        media_type="text/plain",
        expires_at=timezone.now() - LONG_AGO,
    )
    return partial(files.discard_expired, now=timezone.now())


def a_process(status=ProcessStatus.PENDING, **fields):
    return make_record(make_receipt(process=None), status=status, **fields)


def claimed():
    record = process.claim(a_process().pk, reader=ScriptedReader(), now=timezone.now())
    assert record is not None
    return record


def read_a_receipt():
    make_shop()
    receipt = upload(make_person())
    record = ProcessRecord.objects.get(receipt=receipt)
    return partial(process.process_receipt.func, record.pk)


def reading():
    return ScriptedReader().read(b"")


def left_behind():
    a_process(queued_at=timezone.now() - LONG_AGO)
    return partial(process.sweep_processes, now=timezone.now())


def seal(do):
    make_person(points=5)
    return partial(do, now=timezone.now())


# What moves, and a scene that says how to move it.
COUNTED: dict[str, tuple[Any, Callable[[], Any]]] = {
    "accounts.services.console_devices.remember": (
        of_people.SIGN_INS,
        lambda: partial(
            console_devices.remember, person=make_person(), token="", address="", user_agent=""
        ),
    ),
    "accounts.services.emails.ask_link": (
        of_people.EMAIL_STEPS,
        lambda: partial(emails.ask_link, person_id=make_person().pk, email="wang@example.com"),
    ),
    "accounts.services.emails.confirm": (of_people.EMAIL_STEPS, opened_link),
    "accounts.services.emails.remove": (
        of_people.EMAIL_STEPS,
        lambda: partial(emails.remove, person_id=make_person(email="wang@example.com").pk),
    ),
    "accounts.services.profile.change": (
        of_people.RENAMED,
        lambda: partial(profile.change, person=make_person(), wanted={"nickname": "Someone"}),
    ),
    "accounts.services.profile.rename": (
        of_people.RENAMED,
        lambda: partial(profile.rename, person=make_person(), nickname="Someone"),
    ),
    "accounts.services.sign_in.refresh": (
        of_people.REFRESHES,
        lambda: partial(sign_in.refresh, signed_in().pair.refresh_token),
    ),
    "accounts.services.sign_in.sign_in_by_code": (of_people.SIGN_INS, by_code),
    "accounts.services.sign_in.sign_in_by_wechat": (of_people.SIGN_INS_REFUSED, by_wechat),
    "accounts.services.sign_in.sign_out": (
        of_people.SIGN_OUTS,
        lambda: partial(sign_in.sign_out, signed_in().session),
    ),
    "accounts.services.sign_in_codes.ask_code": (
        of_people.CODES,
        lambda: partial(sign_in_codes.ask_code, phone="13800138000", address="203.0.113.9"),
    ),
    "accounts.services.sign_in_codes.use_code": (
        of_people.CODES_USED,
        lambda: partial(
            sign_in_codes.use_code,
            phone="13800138000",
            code=settings.SMS_FIXED_CODE,
            address="127.0.0.1",
        ),
    ),
    "accounts.services.second_factors.use": (of_people.SECOND_FACTORS_USED, code_of_a_phone),
    "catalog.services.orders.cancel": (of_catalog.ORDERS_RETURNED, cancel),
    "catalog.services.orders.exchange": (of_catalog.EXCHANGES, exchange),
    "favorites.services.add": (of_favorites.FAVORITES, keep),
    "favorites.services.remove": (of_favorites.FAVORITES, let_go),
    "lottery.services.draws.draw": (of_lottery.DRAWS, draw),
    "lottery.services.seeds.rotate": (
        of_lottery.SEEDS_ROTATED,
        lambda: partial(seeds.rotate, person_id=make_person().pk),
    ),
    "reviews.services.uploads.submit": (of_reviews.UPLOADS, submit),
    "reviews.services.uploads.photo_stored": (of_ops.FILES_STORED, submit),
    # Jobs
    "accounts.services.console_sessions.forget_expired": (of_ops.ROWS_PURGED, console_session),
    "accounts.services.console_sign_in.forget_old_tries": (of_ops.ROWS_PURGED, old_tries),
    "accounts.services.emails.forget_old": (of_ops.ROWS_PURGED, old_link),
    "accounts.services.emails.send_link": (
        of_people.EMAILS,
        lambda: partial(emails.send_link.call, asked_link()[1].pk, "en"),
    ),
    "accounts.services.emails.send_notice": (
        of_people.EMAILS,
        lambda: partial(emails.send_notice.call, encrypt("wang@example.com"), "en"),
    ),
    "accounts.services.sign_in.forget_ended": (of_ops.ROWS_PURGED, ended_sign_in),
    "accounts.services.code_counts.forget_old": (of_ops.ROWS_PURGED, old_count),
    "accounts.services.sign_in_codes.forget_old": (of_ops.ROWS_PURGED, old_code),
    "catalog.services.invitations.forget_expired": (of_ops.ROWS_PURGED, expired_invitation),
    "catalog.services.orders.expire_orders": (of_catalog.ORDERS_RETURNED, overdue_order),
    "ops.services.error_groups.forget_old": (of_ops.ROWS_PURGED, old_error),
    "ops.services.queue.forget_old": (of_ops.ROWS_PURGED, old_task),
    "ops.services.events.forget_old": (of_ops.ROWS_PURGED, old_event),
    "ops.services.failed_rows.do_each": (of_ops.JOB_ROWS, rows_of_a_job),
    "ops.services.files.discard_expired": (of_ops.FILES_DISCARDED, expired_file),
    "ops.services.idempotency.forget_expired": (of_ops.ROWS_PURGED, old_key),
    "ops.services.processes.forget_old": (of_ops.ROWS_PURGED, old_process),
    "ops.services.purge.purge": (of_ops.ROWS_PURGED, something_to_purge),
    "ops.services.scheduler.run_by_hand": (
        of_ops.JOB_RUNS,
        lambda: partial(scheduler.run_by_hand, "old job runs"),
    ),
    "ops.services.seals.seal_ledgers": (of_ops.EVENTS, partial(seal, seals.seal_ledgers)),
    "reviews.services.process.claim": (
        of_reviews.READINGS,
        lambda: partial(process.claim, a_process().pk, reader=ScriptedReader(), now=timezone.now()),
    ),
    "reviews.services.process.complete": (
        of_reviews.READINGS,
        lambda: partial(process.complete, claimed(), reading(), duration=1, now=timezone.now()),
    ),
    "reviews.services.process.fail": (
        of_reviews.READINGS,
        lambda: partial(process.fail, claimed(), ProcessError.NOT_READ, now=timezone.now()),
    ),
    "reviews.services.process.give_back": (
        of_reviews.READINGS,
        lambda: partial(process.give_back, claimed(), now=timezone.now()),
    ),
    "reviews.services.process.process_receipt": (of_reviews.OCR_SECONDS, read_a_receipt),
    "reviews.services.process.sweep_processes": (of_reviews.READINGS, left_behind),
    # Parts that others are built of
    "accounts.services.points.change_points": (
        of_people.POINTS_ISSUED,
        lambda: partial(make_person, points=7),
    ),
    "accounts.services.avatars.store_picture": (
        of_ops.FILES_STORED,
        lambda: partial(avatars.store_picture, b"x", person_id=1),
    ),
    "ops.services.files.store": (of_ops.FILES_STORED, store),
}
# What changes something, and is counted by what it is a part of, or tells nobody anything new.
NOT_BY_ITSELF = {
    "ops.services.after_restore.run": "restore_backup",
    "accounts.services.avatars.change": "store_picture",
    "accounts.services.avatars.let_go": "store_picture, merge",
    "accounts.services.code_counts.count_wrong_code": "use_code, sign_in_by_wechat",
    "accounts.services.identities.person_at_wechat": "sign_in_by_wechat",
    "accounts.services.identities.person_by_phone": "sign_in_by_code",
    "accounts.services.console_devices.end_all": "change_status",
    "accounts.services.console_devices.is_live": "moves when somebody was last active",
    "accounts.services.console_codes.check_code": "use_code, what it refuses; else remember",
    "accounts.services.console_sign_in.check_password": "counts what it refuses; else remember",
    "accounts.services.console_sign_in.check_second_factor": "counts what it refuses; else use",
    "accounts.services.console_sign_in.confirm_by_api": "check_second_factor",
    "accounts.services.console_sign_in.confirm_password": "counts what it refuses",
    "accounts.services.console_sign_in.confirm_second_factor": "counts what it refuses; else use",
    "accounts.services.console_sign_in.forget_tries": "set_password",
    "accounts.services.live_sessions.note_activity": "the request that it notes",
    "accounts.services.points.write_entries": "change_points, draw, exchange",
    "accounts.services.staff.follow_access": "join, leave, change_status",
    "accounts.services.welcome.welcome": "the sign-ins, and the points it gives",
    "accounts.services.admissions.person_of": "the sign-in to the console, and person_by_phone",
    "catalog.services.members.enter": "join, accept",
    "catalog.services.orders.orders_for_prizes": "draw",
    "catalog.services.pictures.store_picture": "store",
    "catalog.services.stock.write_entries": "change_stock, add_codes, exchange",
    "catalog.services.virtual_codes.hand_out": "exchange, draw",
    "favorites.services.hand_over": "merge",
    "lottery.services.seeds.close": "merge",
    "lottery.services.seeds.lock_active": "draw, rotate",
    "lottery.services.seeds.pairs_of": "makes the first seeds of somebody, before any draw",
    "ops.services.files.discard": "discard_expired",
    "ops.services.files.make_permanent": "add_picture, an upload",
    "ops.services.freshness.forget_old": "as rows that were purged, on PostgreSQL alone",
    "ops.services.idempotency.run_once": "whatever it runs once, and the request",
    "ops.services.error_groups.write_waiting": "lines with a stack trace are counted",
    "ops.services.maintenance.keep_up": "what a process has in hand, every two seconds",
    "ops.services.queue.mark_lost_tasks": "the queue's own gauges",
    "ops.services.heads.set_right": "repair_integrity",
    "ops.services.repair.apply": "repair_integrity",
    "ops.services.repair.record": "repair_integrity",
    "ops.services.schedules.add_missing": "its jobs, once they run",
    "ops.services.schedules.adopt_timings": "its jobs, once they run",
    "ops.services.schedules.claim": "the run, once it ended",
    "ops.services.schedules.claim_now": "the run, once it ended",
    "ops.services.schedules.finish": "the run, by what works on it",
    "ops.services.schedules.forget_old": "as rows that were purged",
    "ops.services.schedules.give_up": "the run, by who gives it up",
    "ops.services.schedules.renew": "the run, once it ended",
    "ops.services.scheduler.give_up": "the run, as overdue",
    "ops.services.scheduler.work": "run_by_hand",
    "ops.services.pictures.store": "store",
    "ops.services.seal_files.set_aside": "set_newer_aside",
    "ops.services.seal_files.write": "seal_ledgers",
    "reviews.services.process.report": "how far a reading is; its end is counted",
}
COMMANDS: dict[str, Any] = {
    "after_restore": None,  # a part of restore_backup
    "audit": None,  # reads
    "backup": of_ops.BACKUP_MADE,
    "backups": None,  # reads
    "changepassword": of_ops.CHANGES,
    "reset_second_factor": of_ops.CHANGES,
    "check_integrity": of_ops.INTEGRITY_CHECKED,
    "createsuperuser": of_ops.CHANGES,
    "diagnose_db": of_ops.DATABASE_MENDED,
    "init_platform": of_ops.CHANGES,
    "jobs": of_ops.JOB_RUNS,
    "logs": None,  # reads
    "maintenance": of_ops.CHANGES,
    "prune_backups": of_ops.BACKUPS_REMOVED,
    "repair_integrity": of_ops.INTEGRITY_REPAIRED,
    "receive_wal": None,  # tells how far behind it is
    "restore_backup": of_ops.BACKUP_RESTORED,
    "rotate_keys": of_ops.KEYS_RENEWED,
    "safe_migrate": None,  # reads
    "seal_ledgers": of_ops.LEDGERS_SEALED,
    "seed_demo": of_ops.DEMO_LOADED,
    "serve": None,  # tells by its heartbeat and its metrics
    "set_password": of_ops.CHANGES,
    "settings": of_ops.CHANGES,
    "test_alert": None,  # says itself who took it
    "verify_backup": None,  # reads
    "worker": None,  # the same
}


# --- The list -------------------------------------------------------------------------------------
def test_whatever_changes_state_is_counted():
    changing = {*test_audit.AUDITED, *test_audit.OWN_AFFAIRS, *test_audit.JOBS, *test_audit.PARTS}
    told = {*test_audit.AUDITED, *COUNTED, *NOT_BY_ITSELF}
    assert sorted(changing - told) == [], "tell of it by a counter or an event"
    assert sorted(told - changing) == [], "of what is not there any more"
    assert sorted(COUNTED.keys() & NOT_BY_ITSELF.keys()) == []


def test_every_command_leaves_a_number_or_an_event():
    assert set(COMMANDS) == {*test_audit.AUDITED_COMMANDS, *test_audit.EXEMPT_COMMANDS}


# --- Each of them ---------------------------------------------------------------------------------
def total(measure):
    """All that a counter counted, or how many a histogram observed."""
    return sum(
        sum(value[:-1]) if isinstance(value, list) else value for value in measure.series().values()
    )


@contextmanager
def moves(measure, callbacks, *, by_any=True):
    before = total(measure)
    with callbacks(execute=True):
        yield
    assert (total(measure) > before) is by_any, measure


@pytest.fixture
def reader(monkeypatch):
    name = "reviews.tests.scripted_reader.ScriptedReader"
    monkeypatch.setattr(settings, "RECEIPT_READER", name)
    ScriptedReader.script.clear()


@pytest.mark.parametrize("name", COUNTED)
def test_it_counts_once_it_is_committed(name, reader, django_capture_on_commit_callbacks):
    measure, set_the_scene = COUNTED[name]
    with django_capture_on_commit_callbacks(execute=True):
        do = set_the_scene()
    with moves(measure, django_capture_on_commit_callbacks):
        do()


@pytest.mark.parametrize("set_the_scene", test_audit.AUDITED.values(), ids=list(test_audit.AUDITED))
def test_what_is_audited_is_counted_by_what_was_done(
    set_the_scene, django_capture_on_commit_callbacks
):
    staff = make_person(username="staff", is_staff=True, is_superuser=True)
    with django_capture_on_commit_callbacks(execute=True):
        deed = set_the_scene(staff)
    with moves(of_ops.CHANGES, django_capture_on_commit_callbacks), acting_as(staff):
        deed.do()


@pytest.mark.parametrize("name", ["check_integrity", "rotate_keys", "seal_ledgers", "seed_demo"])
def test_a_command_leaves_an_event(name):
    if name == "seal_ledgers":
        make_person(points=5)
    call_command(name, stdout=StringIO())
    assert COMMANDS[name].name in OperationalEvent.objects.values_list("kind", flat=True)


def test_a_draw_that_is_taken_back_counts_nothing(django_capture_on_commit_callbacks):
    measures = (of_lottery.DRAWS, of_lottery.PRIZES, of_people.POINTS_SPENT)
    before = [total(measure) for measure in measures]
    poor = make_person(points=0)
    wheel = make_wheel(cost_points=10)
    before[2] = total(of_people.POINTS_SPENT)
    with (
        django_capture_on_commit_callbacks(execute=True),
        pytest.raises(NotEnoughPointsToDraw),
    ):
        draws.draw(person_id=poor.pk, wheel_id=wheel.pk, count=1)
    assert [total(measure) for measure in measures] == before


def test_a_draw_counts_what_it_gave_and_took(django_capture_on_commit_callbacks):
    wheel = make_wheel(points_prize(value="50", probability=1), cost_points=10)
    person = make_person(points=1000)

    def seen():
        return (
            total(of_lottery.DRAWS),
            of_lottery.PRIZES.series().get(("points",), 0),
            of_people.POINTS_SPENT.series().get(("lottery",), 0),
            of_people.POINTS_ISSUED.series().get(("prize",), 0),
        )

    before = seen()
    with django_capture_on_commit_callbacks(execute=True):
        draws.draw(person_id=person.pk, wheel_id=wheel.pk, count=3)
    assert [now - then for now, then in zip(seen(), before, strict=True)] == [3, 3, 30, 150]


def test_refused_sign_ins_are_counted_by_why(django_capture_on_commit_callbacks):
    def refused(*labels):
        return of_people.SIGN_INS_REFUSED.series().get(labels, 0)

    before = refused("code", "wrong"), refused("code", "closed"), refused("console", "wrong")
    banned = make_person(status=UserStatus.BANNED)
    for phone, code, refusal in (
        (str(make_person().phone), "000000", WrongCode),
        (str(banned.phone), settings.SMS_FIXED_CODE, AccountClosed),
    ):
        with pytest.raises(refusal):
            sign_in.sign_in_by_code(phone=phone, code=code, device=here())
    with pytest.raises(WrongPassword):
        console_sign_in.check_password(account="nobody", password="x", address="203.0.113.9")
    after = refused("code", "wrong"), refused("code", "closed"), refused("console", "wrong")
    assert after == tuple(count + 1 for count in before)


def test_a_person_is_new_once(django_capture_on_commit_callbacks):
    for is_new in (True, False):
        with moves(of_people.NEW_PEOPLE, django_capture_on_commit_callbacks, by_any=is_new):
            sign_in.sign_in_by_code(
                phone="13800138009", code=settings.SMS_FIXED_CODE, device=here()
            )
