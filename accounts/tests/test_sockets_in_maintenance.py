"""Sockets while the platform is being maintained: told when it begins and ends; new ones go."""

import pytest

from accounts.tests.factories import make_sign_in
from accounts.tests.sockets import Client, in_database, opened
from ops.models import Maintenance
from ops.realtime import hub
from ops.services import maintenance
from ops.tests.layers import IN_MEMORY
from ops.tests.sockets import end_of_the_process

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
async def me(settings):
    settings.CHANNEL_LAYERS = IN_MEMORY
    hub.current()
    yield await in_database(make_sign_in)
    await end_of_the_process()


def turn(is_on, message=""):
    """Another process does it; this one hears of it by its beat."""
    Maintenance.objects.update_or_create(pk=1, defaults={"is_on": is_on, "message": message})
    maintenance.keep_up()


async def test_an_open_socket_is_told_when_it_begins_and_ends(me):
    client, _hello = await opened(me.pair.access_token)
    await in_database(turn, True)
    begins = await client.next()
    assert begins["type"] == "maintenance"
    assert begins["data"]["is_on"] is True
    assert begins["data"]["retry_after"] == 60
    assert set(begins["data"]["message"]) == {"zh-hans", "en"}
    assert begins["data"]["message"]["en"].startswith("The platform is being maintained.")

    await in_database(maintenance.keep_up)
    assert await client.heard_before_a_pong() == [], "once, and not with every beat"

    await in_database(turn, False)
    ends = await client.next()
    assert ends == {
        "type": "maintenance",
        "data": {"is_on": False, "message": {"zh-hans": "", "en": ""}, "retry_after": None},
    }
    await client.leave()


async def test_a_new_socket_is_told_and_closed_to_come_back(me):
    await in_database(turn, True, "Back at two.")
    client = Client(me.pair.access_token)
    accepted, _subprotocol = await client.open()
    assert accepted
    told = await client.next()
    assert told["type"] == "maintenance"
    assert told["data"]["message"] == {"zh-hans": "Back at two.", "en": "Back at two."}
    assert await client.close_code() == 1013
    assert hub.current().sockets == []

    await in_database(turn, False)
    client, _hello = await opened(me.pair.access_token)
    await client.leave()
