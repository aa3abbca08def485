"""A customer's app on the client that openapi-python-client makes of docs/openapi.yaml.

mypy --strict holds it, without a cast. `make check-clients` runs it: customer.py <address> <photo>
"""

import io
import sys
import uuid
from pathlib import Path

from points_client import AuthenticatedClient, Client
from points_client.api.auth import post_auth_login
from points_client.api.exchange import (
    get_exchange_orders,
    get_exchange_products,
    post_exchange_submit,
)
from points_client.api.lottery import (
    get_lottery_config,
    get_lottery_draws_draw_id_proof,
    post_lottery_draw,
    post_lottery_seed,
)
from points_client.api.photo import get_photo_uploads_upload_id, post_photo_upload
from points_client.models import (
    DrawInputRequest,
    ExchangeInputRequest,
    GetExchangeOrdersResponse200,
    GetExchangeOrdersStatus,
    GetExchangeProductsResponse200,
    GetExchangeProductsSort,
    GetLotteryConfigResponse200,
    GetLotteryDrawsDrawIdProofResponse200,
    GetPhotoUploadsUploadIdResponse200,
    LoginInputRequest,
    NextSeedsOutput,
    OrderStatusEnum,
    PostAuthLoginResponse200,
    PostExchangeSubmitResponse200,
    PostLotteryDrawResponse200,
    PostLotterySeedResponse200,
    PostPhotoUploadResponse200,
    ProductOutput,
    Refusal1001,
    Refusal4005,
    SeedInputRequest,
    UploadInputRequest,
)
from points_client.types import File


def sign_in(address: str) -> AuthenticatedClient:
    """Sign in as the demo's customer."""
    stranger = Client(base_url=address, headers={"Accept-Language": "en"})
    refused = post_auth_login.sync(
        client=stranger, body=LoginInputRequest(phone="12345", code="123456")
    )
    assert isinstance(refused, Refusal1001), refused
    signed_in = post_auth_login.sync(
        client=stranger, body=LoginInputRequest(phone="13800138001", code="123456")
    )
    assert isinstance(signed_in, PostAuthLoginResponse200), signed_in
    return AuthenticatedClient(
        base_url=address,
        token=signed_in.data.access_token,
        headers={"Accept-Language": "en"},
    )


def draw(client: AuthenticatedClient) -> int:
    """Draw twice with one key, change the seeds, read a proof; returns the points that are left."""
    config = get_lottery_config.sync(client=client)
    assert isinstance(config, GetLotteryConfigResponse200), config
    assert isinstance(config.data.fairness, NextSeedsOutput)
    key = uuid.uuid4().hex
    body = DrawInputRequest(wheel_id=config.data.wheel_id, count=2)
    first = post_lottery_draw.sync_detailed(client=client, body=body, idempotency_key=key)
    again = post_lottery_draw.sync_detailed(client=client, body=body, idempotency_key=key)
    assert isinstance(first.parsed, PostLotteryDrawResponse200), first.content
    assert again.parsed == first.parsed
    assert again.headers["Idempotent-Replay"] == "true"
    seeds = post_lottery_seed.sync(client=client, body=SeedInputRequest(client_seed="mine"))
    assert isinstance(seeds, PostLotterySeedResponse200), seeds
    assert seeds.data.revealed.server_seed_hash == config.data.fairness.server_seed_hash
    drawn = first.parsed.data.draws[0]
    proof = get_lottery_draws_draw_id_proof.sync(drawn.draw_id, client=client)
    assert isinstance(proof, GetLotteryDrawsDrawIdProofResponse200), proof
    assert proof.data.outcome == drawn.prize.prize_id
    return first.parsed.data.total_points


def products(client: AuthenticatedClient) -> list[ProductOutput]:
    """The mall, cheapest first, page by page."""
    found: list[ProductOutput] = []
    cursor: str | None = ""
    while cursor is not None:
        page = get_exchange_products.sync(
            client=client, sort=GetExchangeProductsSort.POINTS, page_size=3, cursor=cursor
        )
        assert isinstance(page, GetExchangeProductsResponse200), page
        found += page.data.items
        cursor = page.data.next_
    return found


def exchange(client: AuthenticatedClient, goods: list[ProductOutput]) -> None:
    """Buy what is cheapest, and be refused what is dearest."""
    bought = post_exchange_submit.sync(
        client=client,
        body=ExchangeInputRequest(product_id=goods[0].commodity_id),
        idempotency_key=uuid.uuid4().hex,
    )
    assert isinstance(bought, PostExchangeSubmitResponse200), bought
    assert bought.data.order.status is OrderStatusEnum.PENDING
    refused = post_exchange_submit.sync(
        client=client, body=ExchangeInputRequest(product_id=goods[-1].commodity_id)
    )
    assert isinstance(refused, Refusal4005), refused
    assert refused.data.shortage == refused.data.required - refused.data.current
    orders = get_exchange_orders.sync(client=client, status=GetExchangeOrdersStatus.PENDING)
    assert isinstance(orders, GetExchangeOrdersResponse200), orders
    assert bought.data.exchange_id in {order.exchange_id for order in orders.data.items}


def upload(client: AuthenticatedClient, photo: bytes) -> None:
    """Send a receipt and look at it."""
    sent = post_photo_upload.sync(
        client=client,
        body=UploadInputRequest(
            image=File(io.BytesIO(photo), "receipt.jpg", "image/jpeg"), amount="128.50"
        ),
        idempotency_key=uuid.uuid4().hex,
    )
    assert isinstance(sent, PostPhotoUploadResponse200), sent
    receipt = get_photo_uploads_upload_id.sync(sent.data.upload_id, client=client)
    assert isinstance(receipt, GetPhotoUploadsUploadIdResponse200), receipt
    assert receipt.data.input_amount == "128.50"
    assert receipt.data.task.progress >= 0


def main(address: str, photo: str) -> None:
    """Go through a customer's day."""
    client = sign_in(address)
    left = draw(client)
    goods = products(client)
    exchange(client, goods)
    upload(client, Path(photo).read_bytes())
    print(f"Python: {len(goods)} products, {left} points.")  # noqa: T201  the report


if __name__ == "__main__":
    main(*sys.argv[1:])
