"""Three processes, each with a memory of its own, on one database: none shows what is no more."""

import json

import httpx
import psycopg
import pytest

from tests import live
from tests.api import data_of
from tests.live import ANSWER_SECONDS

CUSTOMER = "13800138001"
PRODUCTS = "/api/exchange/products?sort=points"
CONFIG = "/api/lottery/config"
SHOPS = "/api/shops"


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Three servers that know nothing of each other; no picture has an address of its server."""
    folder = tmp_path_factory.mktemp("processes")
    with live.processes(folder) as running:
        in_a_shell(
            running[0],
            "from catalog.models import ProductImage",
            "ProductImage.objects.all().delete()",
        )
        yield running


def ask(process, path, **headers):
    said = {"Accept-Language": "en", **headers}
    return httpx.get(f"{process.base}{path}", headers=said, timeout=ANSWER_SECONDS)


def seen_by_all(processes, path):
    """The data that all of them show; they are asked twice, so that each has it in its memory."""
    (text,) = {
        json.dumps(data_of(ask(process, path))) for _time in range(2) for process in processes
    }
    return json.loads(text)


def in_a_shell(process, *statements):
    done = process.manage("shell", "--no-imports", "-c", "; ".join(statements))
    assert done.returncode == 0, done.stderr


def test_an_exchange_at_one_is_seen_by_the_first_request_at_each(processes):
    customer = processes[0].sign_in(CUSTOMER)
    for _time in range(3):
        item = seen_by_all(processes, PRODUCTS)["items"][0]
        customer.post("/api/exchange/submit", {"product_id": item["commodity_id"]})
        for process in processes:
            (now,) = [
                one
                for one in data_of(ask(process, PRODUCTS))["items"]
                if one["commodity_id"] == item["commodity_id"]
            ]
            assert now["stock"] == item["stock"] - 1
            assert now["sales_count"] == item["sales_count"] + 1


def test_a_wheel_that_a_command_publishes_is_seen_by_the_first_request_at_each(processes):
    before = seen_by_all(processes, CONFIG)
    (etag,) = {ask(process, CONFIG).headers["ETag"] for process in processes}
    for process in processes:
        assert ask(process, CONFIG, **{"If-None-Match": etag}).status_code == 304
    in_a_shell(
        processes[0],
        "from lottery.models import Wheel",
        "from lottery.services import publishing",
        f"Wheel.objects.filter(pk={before['wheel_id']}).update(cost_points=77)",
        f"publishing.publish(wheel_id={before['wheel_id']})",
    )
    for process in processes:
        answer = ask(process, CONFIG, **{"If-None-Match": etag})
        assert data_of(answer)["version"] == before["version"] + 1
        assert data_of(answer)["cost_points"] == 77


def test_each_person_reads_their_own_at_each_process(processes):
    product = seen_by_all(processes, PRODUCTS)["items"][0]["commodity_id"]
    one = processes[0].sign_in(CUSTOMER)
    one.post("/api/favorites", {"product_id": product})
    other = processes[0].sign_in("13800138007")
    for process in processes:
        for client, expected in ((one, True), (other, False), (None, None)):
            headers = {} if client is None else {"Authorization": f"Bearer {client.token}"}
            item = data_of(ask(process, f"/api/exchange/products/{product}", **headers))
            assert item["is_favorite"] is expected


@pytest.mark.postgresql
def test_what_began_early_and_commits_last_is_seen_by_the_first_request_at_each(processes):
    with psycopg.connect(processes[0].environment["DATABASE_URL"]) as early:
        early.execute("UPDATE catalog_shop SET name = 'Late'")
        in_a_shell(
            processes[0],
            "from catalog.models import Category",
            "Category.objects.create(name='Between')",
        )
        assert seen_by_all(processes, SHOPS)["items"][0]["name"] != "Late"
        names = {one["name"] for one in seen_by_all(processes, "/api/exchange/categories")["items"]}
        assert "Between" in names
        early.commit()
        for process in processes:
            assert data_of(ask(process, SHOPS))["items"][0]["name"] == "Late"
