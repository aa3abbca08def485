"""The whole product once around, by HTTP and WebSocket, against the server a person starts.

`make test` runs it twice: on PostgreSQL and Redis, and on SQLite and in memory.
"""

import asyncio
import json
import re
import signal
import subprocess
import sys
import uuid

import httpx
import pytest

from reviews.tests.slips import make_slip
from tests.live import ROOT, Listener, Platform, new_platform

pytestmark = pytest.mark.story

CUSTOMER, MERCHANT = "13800138001", "13900139001"


def test_the_platform_does_what_people_ask_of_it_and_keeps_it_over_a_restart(tmp_path):
    with new_platform(tmp_path) as running:
        asyncio.run(go_through_the_story(running))
        check_console(running)
        integrity = running.manage("check_integrity")
        assert integrity.returncode == 0, integrity.stdout + integrity.stderr
        assert running.stop(signal.SIGTERM) == 0, running.output()

        running.start()
        assert running.worked() < 15, "a second start takes seconds"
        assert not running.sign_in(CUSTOMER).signed_in["is_new_user"], "the data is still there"
        assert running.stop(signal.SIGINT) == 0, running.output()


async def go_through_the_story(running: Platform) -> None:
    customer = await asyncio.to_thread(running.sign_in, CUSTOMER)
    merchant = await asyncio.to_thread(running.sign_in, MERCHANT)
    assert merchant.signed_in["user_info"]["is_merchant"] is True
    assert customer.signed_in["user_info"]["is_merchant"] is False

    def balance() -> int:
        return customer.get("/api/user/profile")["total_points"]

    async with Listener(customer) as socket, Listener(merchant) as merchant_socket:
        welcome = balance()

        # A receipt, read in the background and approved.
        picture = make_slip(total="128.50", rotation=4)
        upload = await asyncio.to_thread(customer.upload, picture, "128.50")
        assert upload["review_status"] == "pending"
        assert httpx.get(upload["image_url"]).headers["content-type"] == "image/jpeg"
        assert httpx.get(upload["thumbnail_url"]).status_code == 200
        read = await socket.wait_for(
            "upload_progress", upload_id=upload["upload_id"], status="completed"
        )
        assert read["recognized_amount"] == "128.50"
        queue = await asyncio.to_thread(merchant.get, "/api/merchant/reviews")
        assert [item["upload_id"] for item in queue["items"]] == [upload["upload_id"]]
        review = await asyncio.to_thread(
            merchant.post,
            "/api/merchant/review",
            {"upload_id": upload["upload_id"], "action": "approve"},
        )
        assert review["points_awarded"] == upload["estimated_points"] == 1285
        assert review["user_new_balance"] == welcome + 1285
        await socket.wait_for("review_result", upload_id=upload["upload_id"], status="approved")
        await socket.wait_for("points_update", change_points=1285, total_points=welcome + 1285)

        # Ten draws, and the proof of each.
        wheel = await asyncio.to_thread(customer.get, "/api/lottery/config")
        assert len(wheel["prizes"]) == 8
        drawn = await asyncio.to_thread(customer.post, "/api/lottery/draw", {"count": 10})
        assert len(drawn["draws"]) == 10
        assert drawn["cost_points"] == 10 * wheel["cost_points"]
        assert drawn["total_points"] == balance()
        assert wheel["fairness"]["client_seed_by"] == "server"
        rotated = await asyncio.to_thread(customer.post, "/api/lottery/seed", {"client_seed": "我"})
        assert rotated["next"]["client_seed_by"] == "client"
        assert rotated["revealed"]["server_seed_hash"] == wheel["fairness"]["server_seed_hash"]
        proofs = [
            await asyncio.to_thread(customer.get, f"/api/lottery/draws/{draw['draw_id']}/proof")
            for draw in drawn["draws"]
        ]
        verified = subprocess.run(
            [sys.executable, "-I", str(ROOT / "docs" / "verify_draw.py")],
            input=json.dumps(proofs),
            capture_output=True,
            text=True,
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert "of server: this shows consistency, not fairness" in verified.stdout

        # The mall: one order cancelled, one redeemed at the counter, once.
        goods = await asyncio.to_thread(customer.get, "/api/exchange/products", sort="points")
        assert {item["kind"] for item in goods["items"]} == {"physical", "coupon", "virtual"}
        cheapest = next(item for item in goods["items"] if item["kind"] != "virtual")
        assert cheapest["exchange_points"] <= 100
        await top_up(customer, merchant, socket)
        before = balance()
        order = {"product_id": cheapest["commodity_id"], "quantity": 1}
        key = uuid.uuid4().hex
        first = await asyncio.to_thread(customer.post, "/api/exchange/submit", order, key=key)
        again = await asyncio.to_thread(customer.post, "/api/exchange/submit", order, key=key)
        assert again == first, "one key, one effect"
        assert balance() == before - cheapest["exchange_points"]
        await merchant_socket.wait_for(
            "stock_update", product_id=cheapest["commodity_id"], operation="purchase"
        )
        cancelled = await asyncio.to_thread(
            customer.post, f"/api/exchange/orders/{first['exchange_id']}/cancel"
        )
        assert (cancelled["status"], balance()) == ("cancelled", before)
        second = await asyncio.to_thread(customer.post, "/api/exchange/submit", order)
        redeemed = await asyncio.to_thread(
            merchant.post, "/api/merchant/redeem", {"exchange_code": second["exchange_code"]}
        )
        assert (redeemed["exchange_id"], redeemed["status"]) == (second["exchange_id"], "redeemed")
        assert (
            await asyncio.to_thread(
                merchant.refused,
                "POST",
                "/api/merchant/redeem",
                {"exchange_code": second["exchange_code"]},
            )
            == 4010
        )
        virtual = next(item for item in goods["items"] if item["kind"] == "virtual")
        delivered = await asyncio.to_thread(
            customer.post, "/api/exchange/submit", {"product_id": virtual["commodity_id"]}
        )
        assert delivered["order"]["status"] == "delivered"
        assert len(delivered["order"]["delivered"]) == 1

        # Favorites.
        await asyncio.to_thread(
            customer.post, "/api/favorites", {"product_id": cheapest["commodity_id"]}
        )
        favorites = await asyncio.to_thread(customer.get, "/api/favorites")
        assert [item["commodity_id"] for item in favorites["items"]] == [cheapest["commodity_id"]]
        await asyncio.to_thread(customer.delete, f"/api/favorites/{cheapest['commodity_id']}")
        assert (await asyncio.to_thread(customer.get, "/api/favorites"))["items"] == []

        # Every change of the balance was pushed, once and in order, and can be asked for again.
        profile = await asyncio.to_thread(customer.get, "/api/user/profile")
        await socket.wait_for("points_update", points_version=profile["points_version"])
        pushed = [data["points_version"] for data in socket.of("points_update")]
        hello = socket.of("hello")[0]
        assert pushed == list(range(hello["points_version"] + 1, profile["points_version"] + 1))
        await socket.send({"type": "resume", "data": {"points_version": pushed[-2]}})
        await socket.wait_for("points_update", points_version=pushed[-1], replayed=True)
        await socket.send({"type": "ping"})
        await socket.wait_for("pong")

        await asyncio.to_thread(customer.post, "/api/auth/logout")
        assert await socket.wait_for_close() == 4403
        assert await asyncio.to_thread(customer.refused, "GET", "/api/user/profile") == 1006


async def top_up(customer, merchant, socket) -> None:
    """One more receipt, so that the mall can be afforded whatever the draws gave."""
    picture = make_slip(total="600.00", number="20261122000777")
    upload = await asyncio.to_thread(customer.upload, picture, "600")
    await socket.wait_for("upload_progress", upload_id=upload["upload_id"], status="completed")
    await asyncio.to_thread(
        merchant.post,
        "/api/merchant/review",
        {"upload_id": upload["upload_id"], "action": "approve"},
    )


def check_console(running: Platform) -> None:
    """The administrator signs in with the printed password and opens what merchants work with."""
    with httpx.Client(base_url=running.base, follow_redirects=True, timeout=30) as browser:
        assert browser.get("/").status_code == 200
        assert browser.get("/api/docs").status_code == 200
        page = browser.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token
        home = browser.post(
            "/admin/login/?next=/admin/",
            data={
                "csrfmiddlewaretoken": token[1],
                "username": "admin",
                "password": running.console_password(),
            },
            headers={"Referer": f"{running.base}/admin/login/"},
        )
        assert home.url.path == "/admin/", home.text[:2000]
        for model in ("reviews/receipt", "catalog/product", "catalog/order", "lottery/wheel"):
            assert browser.get(f"/admin/{model}/").status_code == 200, model
