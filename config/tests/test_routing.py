"""A wish for a socket at an address that is none."""

import json

import pytest
from channels.testing import WebsocketCommunicator

from config.routing import application


def ask(path, **scope):
    headers = [(b"host", b"localhost"), (b"x-request-id", b"abcdef-1"), (b"accept-language", b"en")]
    communicator = WebsocketCommunicator(application, path, headers=headers)
    communicator.scope.update(scope)
    return communicator


@pytest.mark.parametrize("path", ["/api/shops", "/api/nothing", "/", "/ws/x"])
async def test_it_is_refused_in_the_envelope_where_the_server_can(path):
    asked = ask(path, extensions={"websocket.http.response": {}})
    await asked.send_input({"type": "websocket.connect"})
    start, body = await asked.receive_output(30), await asked.receive_output(30)
    headers = dict(start["headers"])
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 404
    assert headers[b"x-request-id"] == b"abcdef-1"
    assert body["type"] == "websocket.http.response.body"
    expected = {"code": 1010, "msg": "There is nothing here.", "data": None}
    assert json.loads(body["body"]) == expected
    await asked.wait(30)


@pytest.mark.parametrize("scope", [{}, {"extensions": None}, {"extensions": {"tls": {}}}])
async def test_and_else_as_the_server_likes(scope):
    asked = ask("/api/nothing", **scope)
    await asked.send_input({"type": "websocket.connect"})
    assert (await asked.receive_output(30))["type"] == "websocket.close"
    await asked.wait(30)


async def test_a_socket_is_found_below_the_path_under_which_all_is_served():
    asked = ask("/shop/ws/", root_path="/shop")
    await asked.send_input({"type": "websocket.connect"})
    assert (await asked.receive_output(30))["type"] == "websocket.accept"
    assert (await asked.receive_output(30))["code"] == 4401
    await asked.send_input({"type": "websocket.disconnect", "code": 4401})
    await asked.wait(30)


async def test_a_server_that_asks_about_its_own_beginning_is_told_that_nobody_minds():
    with pytest.raises(ValueError, match="lifespan"):
        await application({"type": "lifespan"}, None, None)
