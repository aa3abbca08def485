"""Data migrations, run as they stand on rows as they were."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lottery.models import SeedPair, SeedState
from lottery.services import seeds
from tests.people import make_person

pytestmark = pytest.mark.django_db

SERVERS = "0123456789abcdef" * 2
client_seeds = import_module("lottery.migrations.0007_client_seeds_of_clients")


@pytest.mark.parametrize(
    ("client_seed", "maker"),
    [
        (SERVERS, "server"),
        (SERVERS.upper(), "client"),
        (SERVERS[1:], "client"),
        (SERVERS + "0", "client"),
        (SERVERS + "\n", "client"),
        ("\n" + SERVERS, "client"),
        ("g" + SERVERS[1:], "client"),
        ("我的运气", "client"),
        (" ", "client"),
    ],
)
def test_an_old_client_seed_is_the_clients_where_the_server_makes_none_like_it(client_seed, maker):
    active, following = seeds.pairs_of(make_person().pk)
    SeedPair.objects.filter(pk=active.pk).update(client_seed=client_seed)

    client_seeds.name_clients(apps, connection.schema_editor())

    active.refresh_from_db()
    following.refresh_from_db()
    assert (active.client_seed_by, following.client_seed_by) == (maker, "server")


def test_old_client_seeds_are_looked_at_some_at_a_time_each_batch_committed(monkeypatch):
    monkeypatch.setattr(client_seeds, "BATCH_SIZE", 2)
    for _person in range(3):
        seeds.pairs_of(make_person().pk)
    in_use = SeedPair.objects.filter(state=SeedState.ACTIVE)
    in_use.update(client_seed="mine")

    with CaptureQueriesContext(connection) as queries:
        client_seeds.name_clients(apps, connection.schema_editor())

    assert [pair.client_seed_by for pair in in_use] == ["client"] * 3
    assert sum(query["sql"].startswith("UPDATE") for query in queries) == 3
    assert not client_seeds.Migration.atomic
