"""The messages of a socket, which no schema has, are those that docs/api.md names."""

import re
from pathlib import Path

import pytest

from accounts.tests.factories import make_sign_in
from accounts.tests.sockets import in_database, opened
from catalog.models import StockOperation
from catalog.services.stock import change_stock
from catalog.tests.factories import make_product
from ops.realtime import push
from ops.services import maintenance
from ops.tests.layers import IN_MEMORY
from ops.tests.sockets import end_of_the_process
from reviews.events import progress_changed, review_event
from reviews.tests.factories import make_decided
from tests.people import give

DOCS = Path(__file__).resolve().parent.parent / "docs"
MESSAGE = re.compile(r'^    server → \{"type": "(\w+)", "data": \{(.*)\}\}$', re.MULTILINE)


def guide(name):
    """The members of each message from the server, by its type, as this guide says."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return {kind: set(re.findall(r'"(\w+)"', members)) for kind, members in MESSAGE.findall(text)}


def bring_about_every_push(person):
    give(person, 100)
    product = make_product(stock=5)
    change_stock(
        product_id=product.pk, quantity=1, operation=StockOperation.RESTOCK, reason="delivered"
    )
    receipt = make_decided(person=person)
    progress_changed(receipt.process_records.get())
    push.publish(review_event(receipt, owner_id=receipt.person_id))
    maintenance.turn_on(author_id=person.pk)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
async def test_each_message_has_the_members_that_the_guide_names(settings):
    settings.CHANNEL_LAYERS = IN_MEMORY
    me = await in_database(make_sign_in)
    client, hello = await opened(me.pair.access_token)
    await in_database(bring_about_every_push, me.person)
    await client.say("nothing")
    await client.say("ping")
    heard = {"hello": set(hello)}
    while len(heard) < len(guide("api.md")):
        message = await client.next()
        heard[message["type"]] = set(message["data"])
    await client.leave()
    await end_of_the_process()
    assert heard == guide("api.md")


def test_both_languages_name_the_same():
    assert guide("api.md") == guide("api.zh-hans.md")
