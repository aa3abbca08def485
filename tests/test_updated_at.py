"""When a row was last written, of every model: by whatever way Django has of writing it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from catalog.models import ProductTemplate, Selection
from lottery.models import Wheel
from ops.append_only import AppendOnly
from ops.updated_at import Mutable
from tests.world import make_world

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
OURS = [
    model
    for config in apps.get_app_configs()
    if Path(config.path).parent == settings.BASE_DIR
    for model in config.get_models()
]
MUTABLE = [model for model in OURS if issubclass(model, Mutable)]


def kept_append_only():
    """The models that a trigger guards, as the migrations say."""
    return {
        apps.get_model(app, operation.model_name)
        for (app, _name), migration in MigrationLoader(None).disk_migrations.items()
        for operation in migration.operations
        if isinstance(operation, AppendOnly)
    }


def test_what_is_not_kept_append_only_says_when_it_was_written():
    assert OURS
    assert set(OURS) - set(MUTABLE) == kept_append_only()


# --- By every way ---------------------------------------------------------------------------------
def a_column_of(row):
    """A column that says nothing of other rows."""
    return next(
        field.name
        for field in row._meta.concrete_fields
        if not (field.primary_key or field.is_relation or field.generated)
        and field.name != "updated_at"
    )


def update(row, column):
    type(row).objects.filter(pk=row.pk).update(**{column: F(column)})


def update_many(row, column):
    type(row).objects.bulk_update([row], [column])


def update_by_the_base_manager(row, column):
    type(row)._base_manager.filter(pk=row.pk).update(**{column: F(column)})


def update_or_create(row, column):
    type(row).objects.update_or_create(pk=row.pk, defaults={column: getattr(row, column)})


def save(row, _column):
    row.save()


def save_a_field(row, column):
    row.save(update_fields=[column])


def save_what_was_loaded(row, _column):
    type(row).objects.defer("updated_at").get(pk=row.pk).save()


WAYS = [
    update, update_many, update_by_the_base_manager, update_or_create,
    save, save_a_field, save_what_was_loaded,
]  # fmt: skip


def moved(row):
    """Whether a row says that it was written just now."""
    (stored,) = type(row).objects.filter(pk=row.pk).values_list("updated_at", flat=True)
    return timezone.now() - stored < timedelta(minutes=1)


def test_every_update_of_every_model_moves_it():
    make_world()
    unmoved = []
    for model in MUTABLE:
        # The newest: the first ones of some models are as old as the database.
        row = model._default_manager.order_by("pk").last()
        assert row is not None, f"no row of {model._meta.label}: add one to `make_world`"
        assert moved(row), f"{model._meta.label} when it was made"
        for way in WAYS:
            model.objects.update(updated_at=LONG_AGO)
            row.refresh_from_db()
            assert row.updated_at == LONG_AGO
            with CaptureQueriesContext(connection) as queries:
                way(row, a_column_of(row))
            if not moved(row):
                unmoved.append((model._meta.label, way.__name__))
            updates = [query for query in queries if query["sql"].startswith("UPDATE")]
            assert len(updates) == 1, (model._meta.label, way.__name__)
    assert unmoved == []


def test_a_row_that_was_saved_knows_when():
    template = ProductTemplate.objects.create(
        title="T", name="T", kind="physical", points_price=1, market_price=1
    )
    assert isinstance(template.updated_at, datetime)
    ProductTemplate.objects.update(updated_at=LONG_AGO)
    template.save()
    assert template.updated_at > LONG_AGO


def test_saving_no_field_is_no_update():
    make_world()
    Wheel.objects.update(updated_at=LONG_AGO)
    wheel = Wheel.objects.get()
    wheel.save(update_fields=[])
    assert not moved(wheel)


def test_the_deletion_of_a_row_that_it_pointed_to_moves_it():
    make_world()
    selection, template = Selection.objects.get(), ProductTemplate.objects.get()
    Selection.objects.update(template=template, updated_at=LONG_AGO)
    template.delete()
    selection.refresh_from_db()
    assert selection.template is None
    assert moved(selection)


def test_rows_that_are_handed_to_another_say_when():
    make_world()
    wheel = Wheel.objects.get()
    other = Wheel.objects.create(name="Other", cost_points=1)
    prize = wheel.prizes.order_by("pk")[0]
    wheel.prizes.update(updated_at=LONG_AGO)
    other.prizes.add(prize)
    assert moved(prize)
