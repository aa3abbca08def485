"""Whether the tables still are what the migrations made: constraints, and what rows point to.

The other checks lean on it. A row that points to nothing drops out of every join, and a unique
constraint that is gone lets a proof be used twice.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import ForeignKey, Model
from django.utils.translation import gettext as _

from ops.services.integrity import Finding


def check_tables() -> Iterator[Finding]:
    """Compare constraints by name and kind, and every foreign key with the rows it names."""
    with connection.cursor() as cursor:
        for model in _models():
            yield from _missing_constraints(cursor, model)
    for model in _models():
        for field in model._meta.concrete_fields:
            if isinstance(field, ForeignKey):
                yield from _pointing_nowhere(model, field)


def _models() -> list[type[Model]]:
    return sorted(
        (model for model in apps.get_models() if model._meta.managed),
        key=lambda model: model._meta.db_table,
    )


def _missing_constraints(cursor: Any, model: type[Model]) -> Iterator[Finding]:
    table = model._meta.db_table
    found = connection.introspection.get_constraints(cursor, table)
    unique = {
        tuple(one["columns"]) for one in found.values() if one["unique"] or one["primary_key"]
    }
    gone = [one.name for one in model._meta.constraints if one.name not in found]
    gone += [
        f"UNIQUE ({field.column})"
        for field in model._meta.concrete_fields
        if field.unique and (field.column,) not in unique
    ]
    described = connection.introspection.get_table_description(cursor, table)
    nullable = {column.name for column in described if column.null_ok}
    gone += [
        f"NOT NULL ({field.column})"
        for field in model._meta.concrete_fields
        if field.column in nullable and not (field.null or field.primary_key or field.generated)
    ]
    for name in gone:
        problem = _("the constraint %(name)s is missing: rows could be wrong") % {"name": name}
        yield Finding("constraint", table, problem)


def _pointing_nowhere(model: type[Model], field: ForeignKey[Any, Any]) -> Iterator[Finding]:
    target_model: type[Model] = field.related_model
    pointing = model._base_manager.filter(**{f"{field.name}__isnull": False})
    there = target_model._base_manager.order_by().values_list(field.target_field.attname)
    # EXCEPT sorts or hashes either side once, whatever the planner believes of the tables; an
    # anti-join of tables without statistics asks for each row anew.
    gone = pointing.order_by().values_list(field.attname).distinct().difference(there).order_by()
    missing = [target for (target,) in gone]
    nowhere = pointing.filter(**{f"{field.attname}__in": missing}) if missing else pointing.none()
    for pk, target in nowhere.order_by("pk").values_list("pk", field.attname):
        problem = _("points to the %(name)s %(target)s, which is not there") % {
            "name": target_model._meta.model_name,
            "target": target,
        }
        yield Finding("reference", f"{model._meta.model_name} {pk}", problem)
