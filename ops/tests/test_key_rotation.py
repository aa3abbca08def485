"""Replacing keys: rows are made anew in batches, and nothing of the meantime is lost."""

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone, translation

from accounts.models import RegistrationMark, SignInCode
from accounts.tests.factories import make_sign_in
from catalog.models import VirtualCode
from catalog.services.virtual_codes import add_codes
from catalog.tests.factories import make_product
from lottery.models import SeedPair
from lottery.services import seeds
from ops.management.commands.rotate_keys import Command
from ops.models import Backup, IdempotencyRecord, RunStatus
from ops.services import key_ring, key_rotation, key_uses
from ops.services.encryption import decrypt, encrypt
from ops.services.missing_keys import missing_keys
from ops.tests.databases import elsewhere, wait_until, waiting_for_a_lock
from tests.keys import NEW, OLD, OTHER, encrypt_as_before, hash_as_before
from tests.people import make_person

pytestmark = pytest.mark.django_db

SEEDS = "lottery.SeedPair.server_seed_encrypted"
ANSWERS = "ops.IdempotencyRecord.answer"
CODES = "catalog.VirtualCode.code_encrypted"
CODE_HASHES = "catalog.VirtualCode.key_id"
MARKS = "accounts.RegistrationMark.key_id"


@pytest.fixture
def old_keys(settings):
    """Everything is made under an old key until `replace` is called."""
    for name in key_ring.SETTINGS.values():
        setattr(settings, name, [OLD])

    def replace(*keys):
        for name in key_ring.SETTINGS.values():
            setattr(settings, name, [*keys])

    return replace


def make_answers(number):
    person = make_person()
    return [
        IdempotencyRecord.objects.create(
            owner_id=person.pk, path="/", key=str(each), fingerprint="x", answer=encrypt(str(each))
        )
        for each in range(number)
    ]


def answers():
    return list(IdempotencyRecord.objects.order_by("pk").values_list("answer", flat=True))


def plain_answers():
    return [decrypt(answer) for answer in answers()]


def renew(name, **options):
    return list(key_rotation.renew(key_uses.columns[name], **options))


def run(*arguments):
    """What the command says, in English, and whether it is content."""
    output = io.StringIO()
    with translation.override("en"):
        try:
            call_command("rotate_keys", *arguments, stdout=output)
        except CommandError:
            return output.getvalue().splitlines(), False
    return output.getvalue().splitlines(), True


# --- Rows -------------------------------------------------------------------------------------
def test_everything_is_made_anew_and_says_the_same(old_keys):
    product = make_product(codes=["A-1", "A-2"])
    pair, _next = seeds.pairs_of(make_person().pk)
    server_seed = seeds.reveal(pair)
    make_answers(2)
    old_keys(NEW, OLD)

    run()
    old_keys(NEW)

    assert plain_answers() == ["0", "1"]
    assert seeds.reveal(SeedPair.objects.get(pk=pair.pk)) == server_seed
    codes = [decrypt(code.code_encrypted) for code in VirtualCode.objects.order_by("pk")]
    assert codes == ["A-1", "A-2"]
    assert add_codes(product_id=product.pk, codes=["A-1", "A-2", "A-3"]) == 1


def test_what_was_made_before_there_was_a_ring_is_made_anew(old_keys, settings):
    (record,) = make_answers(1)
    product = make_product(codes=["A-1"])
    IdempotencyRecord.objects.update(answer=encrypt_as_before("0"))
    VirtualCode.objects.update(
        code_encrypted=encrypt_as_before("A-1"),
        code_hash=hash_as_before("virtual code", "A-1"),
        key_id="",
    )
    settings.FIELD_ENCRYPTION_KEYS, settings.HASH_KEYS = [NEW, OLD], [NEW]

    run()
    old_keys(NEW)

    record.refresh_from_db()
    assert decrypt(record.answer) == "0"
    assert add_codes(product_id=product.pk, codes=["A-1"]) == 0


def test_it_stops_after_any_batch_and_goes_on_from_there(old_keys):
    make_answers(5)
    old_keys(NEW, OLD)
    newest = key_ring.newest("field").id
    use = key_uses.columns[ANSWERS]

    interrupted = key_rotation.renew(use, batch_size=2)
    assert next(interrupted).renewed == 2
    interrupted.close()

    assert [answer.startswith(newest) for answer in answers()] == [True, True, *[False] * 3]
    assert use.count_by_key() == {newest: 2, key_ring.keys("field")[1].id: 3}
    assert [batch.renewed for batch in renew(ANSWERS, batch_size=2)] == [2, 1]
    before = answers()
    assert renew(ANSWERS) == []
    assert answers() == before
    assert plain_answers() == list("01234")


def test_a_row_that_holds_no_ciphertext_needs_no_key(old_keys):
    make_answers(1)
    IdempotencyRecord.objects.update(answer="")
    assert key_uses.columns[ANSWERS].count_by_key() == {}
    assert renew(ANSWERS) == []


def test_a_row_that_no_key_opens_stops_none_of_the_others(old_keys):
    records = make_answers(13)
    broken = [record.pk for record in records[:12]]
    IdempotencyRecord.objects.filter(pk__in=broken).update(answer="broken")
    IdempotencyRecord.objects.filter(pk=broken[0]).update(answer="0" * 12 + ":broken")
    old_keys(NEW, OLD)

    said, is_content = run("--batch-size", "4")

    assert not is_content
    ids = ", ".join(map(str, broken[:10]))
    at = said.index(f"{ANSWERS}: 1 made anew")
    assert said[at + 1] == f"  no key of the ring opens 12: {ids} …"
    assert decrypt(answers()[-1]) == "12"
    assert answers()[1] == "broken"


def test_a_code_that_was_loaded_twice_stops_none_of_the_others(old_keys):
    """Two processes with other rings can do that; its hash stays, and people are told."""
    make_product(codes=["A-1", "A-2"])
    first, second = VirtualCode.objects.order_by("pk")
    old_keys(NEW, OLD)
    VirtualCode.objects.filter(pk=second.pk).update(code_encrypted=encrypt("A-1"))

    said, is_content = run()

    assert not is_content
    assert f"{CODE_HASHES}: 1 made anew" in said
    assert f"  1 would be there twice: {second.pk}" in said
    older = key_ring.keys("hash")[1].id
    assert f"HASH_KEYS {older}: has to stay for {CODE_HASHES} (1)" in said
    first.refresh_from_db()
    assert first.key_id == key_ring.newest("hash").id


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_conditional", [True, False])
def test_a_row_that_changes_meanwhile_is_left_as_it_is(old_keys, monkeypatch, is_conditional):
    """Its twin writes without the condition: what was answered meanwhile is gone."""
    (record,) = make_answers(1)
    old_keys(NEW, OLD)
    meanwhile = encrypt("meanwhile")
    if not is_conditional:
        monkeypatch.setattr(key_rotation, "_write", write_by_id)

    def rotate():
        with closing(connection):
            return renew(ANSWERS)

    with elsewhere(autocommit=False) as other, ThreadPoolExecutor(1) as pool:
        with other.cursor() as cursor:
            cursor.execute(
                "UPDATE ops_idempotencyrecord SET answer = %s WHERE id = %s", [meanwhile, record.pk]
            )
        rotating = pool.submit(rotate)
        wait_until(waiting_for_a_lock)
        other.commit()
        (batch,) = rotating.result(10)

    assert batch.renewed == (0 if is_conditional else 1)
    assert plain_answers() == (["meanwhile"] if is_conditional else ["0"])


def write_by_id(model, anew):
    return sum(model.objects.filter(pk=row.pk).update(**values) for row, values in anew)


# --- Keys -------------------------------------------------------------------------------------
def test_an_older_key_may_go_once_nothing_hangs_on_it(old_keys):
    make_answers(1)
    make_product(codes=["A-1"])
    old_keys(NEW, OLD)
    names = {
        purpose: [f"{setting} {key.id}" for key in key_ring.keys(purpose)]
        for purpose, setting in key_ring.SETTINGS.items()
    }

    said, is_content = run()

    assert is_content
    assert said[6:] == [
        f"{name}: {'may go' if number else 'the newest, in use'}"
        for both in names.values()
        for number, name in enumerate(both)
    ]


def test_marks_keep_their_key_for_ever_and_may_move_to_another_setting(settings):
    settings.FIELD_ENCRYPTION_KEYS, settings.HASH_KEYS = [NEW, OLD], [OTHER]
    hashed = key_ring.first_hash_key().id
    RegistrationMark.objects.create(key_hash="a", key_id=hashed)
    RegistrationMark.objects.create(key_hash="b")
    older = key_ring.keys("field")[1].id
    kept = f"FIELD_ENCRYPTION_KEYS {older}: has to stay, or be put at the end of HASH_KEYS, "

    assert renew(MARKS) == []
    said, is_content = run()
    assert is_content
    assert f"{kept}for {MARKS} (2, for ever)" in said
    assert not any(hashed in line for line in said)

    settings.HASH_KEYS = [OTHER, OLD]
    said, _is_content = run()
    assert f"FIELD_ENCRYPTION_KEYS {older}: may go" in said
    assert f"HASH_KEYS {hashed}: has to stay for {MARKS} (2, for ever)" in said


def test_what_ends_by_itself_says_until_when(old_keys):
    signed_in = make_sign_in()
    now = timezone.now()
    code = SignInCode.objects.create(
        phone="1", day=now.date(), number=1, code_hash="x", expires_at=now + timedelta(minutes=5)
    )
    old_keys(NEW, OLD)
    token, hashing = key_ring.keys("token")[1].id, key_ring.keys("hash")[1].id

    said, is_content = run()

    assert is_content
    until = f"{timezone.localtime(signed_in.session.expires_at):%Y-%m-%d %H:%M:%S}"
    needed = f"accounts.DeviceSession (1, until {until})"
    assert f"TOKEN_KEYS {token}: has to stay for {needed}" in said
    until = f"{timezone.localtime(code.expires_at):%Y-%m-%d %H:%M:%S}"
    needed = f"accounts.SignInCode (1, until {until})"
    assert f"HASH_KEYS {hashing}: has to stay for {needed}" in said


def test_a_backup_keeps_its_key_and_stops_no_start(old_keys):
    made_under = key_ring.newest("field").id
    made = Backup.objects.create(status=RunStatus.SUCCEEDED, key_id=made_under)
    Backup.objects.create(status=RunStatus.FAILED)  # it got no key
    old_keys(NEW, OLD)
    said, is_content = run()
    assert is_content
    needed = "ops.Backup (1, until they are removed)"
    assert f"FIELD_ENCRYPTION_KEYS {made_under}: has to stay for {needed}" in said

    old_keys(NEW)
    assert missing_keys() == []
    old_keys(NEW, OLD)
    made.delete()
    said, _is_content = run()
    assert f"FIELD_ENCRYPTION_KEYS {made_under}: may go" in said


def test_a_missing_key_is_told_with_its_rows(old_keys):
    make_answers(3)
    gone = key_ring.newest("field").id
    old_keys(NEW)

    said, is_content = run()

    assert not is_content
    assert said[-1].startswith(f"FIELD_ENCRYPTION_KEYS lacks the key {gone}")
    assert f"{ANSWERS} (3)" in said[-1]


def test_a_batch_has_a_row():
    with pytest.raises(CommandError, match="A batch"), translation.override("en"):
        call_command("rotate_keys", "--batch-size", "0")


def test_the_command_and_its_help_speak_both_languages():
    said = []
    for language in ("zh-hans", "en"):
        output = io.StringIO()
        with translation.override(language):
            call_command("rotate_keys", stdout=output)
            said.append(Command().create_parser("manage.py", "rotate_keys").format_help())
        said.append(output.getvalue())
    assert "密钥" in said[0]
    assert "最新" in said[1]
    assert "Encrypt and hash anew" in said[2]
    assert "the newest, in use" in said[3]
