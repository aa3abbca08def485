"""Every column that names a person has an answer to what a merge does with it, in docs and code."""

import re
from pathlib import Path

from django.apps import apps
from django.conf import settings

from accounts.models import User
from accounts.services.merging import parts

# What `ops` calls a person, which knows none: bare ids.
BARE = {"actor_id", "author_id", "owner_id", "person_id", "reviewer_id", "user_id"}
DOCUMENT = Path(settings.BASE_DIR) / "docs" / "merging.md"
ROW = re.compile(r"^\| `(?P<column>[\w.]+)` \| (?P<fate>\w+) \|", re.MULTILINE)


def columns_of_people():
    """Every column of every table that names a person, of whatever app."""
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            names_one = field.related_model is User if field.is_relation else field.name in BARE
            if names_one:
                yield f"{model._meta.label}.{field.name}"


def fates():
    return {column: fate for part in parts.values() for column, fate in part.fates.items()}


def test_every_column_that_names_a_person_has_a_fate():
    """A new one fails here until its app says what becomes of it (`merging.py` of the app)."""
    assert sorted(fates()) == sorted(columns_of_people())


def test_each_has_its_fate_from_its_own_app():
    for app, part in parts.items():
        others = {column.partition(".")[0] for column in part.fates} - {app}
        # What stands below accounts, which knows no people.
        assert others <= ({"admin", "ops"} if app == "accounts" else set())


def test_the_document_says_the_same():
    told = [(row["column"], row["fate"]) for row in ROW.finditer(DOCUMENT.read_text())]
    assert len(told) == len(dict(told))
    assert dict(told) == {column: fate.value for column, fate in fates().items()}


def test_the_keys_of_requests_are_taken_over_before_anything_else_is_held():
    """As every request does it: the record of its key first, then the seed pair (locking.md)."""
    assert list(dict(parts.items())).index("accounts") < list(dict(parts.items())).index("lottery")
