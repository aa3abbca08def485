"""A key dropped too early refuses the start, with the count of rows that need it."""

import ast
import logging
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings as configured
from django.core.checks import Tags, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import translation

from accounts.models import DeviceSession, RegistrationMark, User
from accounts.tests.factories import make_sign_in
from catalog.models import VirtualCode
from catalog.tests.factories import make_product
from lottery.services import seeds
from ops.models import Backup, IdempotencyRecord
from ops.services import key_ring, key_uses
from ops.services.missing_keys import missing_keys, refuse_missing_keys
from ops.tests.databases import on_sqlite, other_parameters
from tests.keys import NEW, OLD, encrypt_as_before
from tests.people import make_person


@pytest.fixture(autouse=True)
def in_english():
    with translation.override("en"):
        yield


@pytest.fixture
def only_old_keys(settings):
    for name in key_ring.SETTINGS.values():
        setattr(settings, name, [OLD])


# --- Nothing is forgotten ---------------------------------------------------------------------
def test_every_encrypted_column_is_registered():
    named = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.name.endswith("_encrypted")
    }
    assert named
    assert named <= set(key_uses.columns.names())


def test_every_column_with_a_key_id_is_registered():
    named = {
        f"{model._meta.label}.key_id"
        for model in apps.get_models()
        if any(field.name == "key_id" for field in model._meta.concrete_fields)
    }
    ending = {f"{model._meta.label}.key_id" for model in (DeviceSession, Backup)}
    assert named - ending == {name for name in key_uses.columns.names() if name.endswith(".key_id")}


def test_who_encrypts_is_known():
    """A column of another name would be forgotten: whoever encrypts stands here with theirs."""
    columns = {
        "accounts/services/second_factors.py": "accounts.SecondFactor.secret_encrypted",
        "catalog/services/virtual_codes.py": "catalog.VirtualCode.code_encrypted",
        "lottery/services/seeds.py": "lottery.SeedPair.server_seed_encrypted",
        "ops/monitoring/channels.py": "ops.AlertChannel.address_encrypted",
        "ops/services/idempotency.py": "ops.IdempotencyRecord.answer",
    }
    root = Path(configured.BASE_DIR)
    encrypting = {
        str(path.relative_to(root))
        for app in apps.get_app_configs()
        if Path(app.path).parent == root
        for path in Path(app.path).rglob("*.py")
        if "tests" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "encrypt"
    }
    # A session keeps a secret while it is scanned; of one that nobody can read another is made. A
    # letter waits in the queue with its address for as long as it takes to be sent.
    for_a_moment = {"accounts/services/emails.py", "config/console_second_factor.py"}
    assert encrypting - {"ops/services/key_uses.py"} - for_a_moment == set(columns)
    assert set(columns.values()) <= set(key_uses.columns.names())


# --- The start ----------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_key_dropped_too_early_is_refused_with_the_rows_that_need_it(only_old_keys, settings):
    make_product(codes=["A-1", "A-2"])
    seeds.pairs_of(make_person().pk)
    RegistrationMark.objects.create(key_hash="a", key_id=key_ring.newest("hash").id)
    field, hashing = key_ring.newest("field").id, key_ring.newest("hash").id
    refuse_missing_keys()
    settings.FIELD_ENCRYPTION_KEYS = settings.HASH_KEYS = [NEW]

    with pytest.raises(ImproperlyConfigured) as refused:
        refuse_missing_keys()

    about = {line.partition(", and rows")[0]: line for line in str(refused.value).splitlines()}
    assert set(about) == {
        f"FIELD_ENCRYPTION_KEYS lacks the key {field}",
        f"HASH_KEYS lacks the key {hashing}",
    }
    encrypted, hashed = about.values() if "FIELD" in next(iter(about)) else [*about.values()][::-1]
    assert "catalog.VirtualCode.code_encrypted (2)" in encrypted
    assert "lottery.SeedPair.server_seed_encrypted (2)" in encrypted
    assert "accounts.RegistrationMark.key_id (1)" in hashed
    assert "catalog.VirtualCode.key_id (2)" in hashed
    assert f"LOST_KEYS={hashing}" in hashed
    assert OLD not in str(refused.value)
    settings.FIELD_ENCRYPTION_KEYS, settings.HASH_KEYS = [NEW, OLD], [NEW, OLD]
    refuse_missing_keys()


@pytest.mark.django_db
def test_rows_from_before_there_was_a_ring_are_tried_and_counted(settings):
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    make_product(codes=["A-1", "A-2", "A-3"])
    VirtualCode.objects.update(code_encrypted=encrypt_as_before("x"))
    VirtualCode.objects.filter(pk=VirtualCode.objects.latest("pk").pk).update(
        code_encrypted=encrypt_as_before("x", NEW)
    )
    assert missing_keys() == []
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    (missing,) = missing_keys()
    assert missing.rows == {"catalog.VirtualCode.code_encrypted": 2}
    assert "LOST_KEYS=unnamed" in missing.sentence()


@pytest.mark.django_db
def test_a_key_that_is_lost_for_good_is_given_up_by_its_name_alone(only_old_keys, settings, caplog):
    make_product(codes=["A-1"])
    lost = key_ring.newest("field").id
    settings.FIELD_ENCRYPTION_KEYS, settings.HASH_KEYS = [NEW], [NEW, OLD]
    settings.LOST_KEYS = ["another"]
    with pytest.raises(ImproperlyConfigured):
        refuse_missing_keys()
    settings.LOST_KEYS = ["another", lost]

    refuse_missing_keys()

    assert f"Given up with the key {lost}" in caplog.text
    assert run_checks(tags=[Tags.database], databases=["default"]) == []


@pytest.mark.django_db
def test_a_token_key_may_go_at_once(only_old_keys, settings):
    """One that leaked has to; its people sign in again, and no row is lost."""
    make_sign_in()
    settings.TOKEN_KEYS = [NEW]
    assert missing_keys() == []


@pytest.mark.django_db
def test_a_mark_of_an_unknown_key_is_seen(settings):
    RegistrationMark.objects.create(key_hash="a", key_id="000000000000")
    (missing,) = missing_keys()
    assert (missing.name, missing.rows) == ("000000000000", {"accounts.RegistrationMark.key_id": 1})


@pytest.mark.django_db
def test_it_asks_once_for_each_column(django_assert_num_queries, only_old_keys):
    make_product(codes=["A-1"])
    with connection.execute_wrapper(count_selects := Selects()):
        missing_keys()
    assert len(count_selects.of_rows) == len(key_uses.columns.names())


class Selects:
    """The statements that count rows, without those that ask for tables and columns."""

    def __init__(self):
        self.of_rows = []

    def __call__(self, execute, sql, params, many, context):
        if "needed_key" in sql:
            self.of_rows.append(sql)
        return execute(sql, params, many, context)


@pytest.mark.django_db
def test_a_database_without_tables_or_of_an_older_version_starts():
    with on_sqlite() as empty:
        assert missing_keys() == []
        with empty.cursor() as cursor:
            cursor.execute("CREATE TABLE accounts_registrationmark (id integer, key_hash text)")
            cursor.execute("INSERT INTO accounts_registrationmark VALUES (1, 'a')")
        assert missing_keys() == []
    with on_sqlite(IdempotencyRecord, User, RegistrationMark):
        RegistrationMark.objects.create(key_hash="a", key_id="000000000000")
        assert len(missing_keys()) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_does_not_refuse_the_start(caplog):
    with other_parameters(port="1", timeout=0.5), caplog.at_level(logging.WARNING):
        refuse_missing_keys()
        (said,) = run_checks(tags=[Tags.database], databases=["default"])
    assert "could not be compared" in caplog.text
    assert said.id == "config.W001"


@pytest.mark.django_db
def test_the_system_check_says_the_same_where_the_database_is_asked(only_old_keys, settings):
    make_product(codes=["A-1"])
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    settings.HASH_KEYS = [NEW, OLD]
    (error,) = run_checks(tags=[Tags.database], databases=["default"])
    assert (error.id, error.msg) == ("config.E002", missing_keys()[0].sentence())
    assert error not in run_checks()
