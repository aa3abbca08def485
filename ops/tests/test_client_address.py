"""Where a request comes from, and what it is told of a proxy that nobody counted."""

import logging

import pytest

from ops import client_address as module
from ops.client_address import client_address, counted_as, is_loopback


@pytest.fixture
def warnings(caplog):
    """What was said of proxies since the process began, which is now."""
    module._warn_of_a_proxy.cache_clear()
    caplog.set_level(logging.WARNING, "ops.client_address")
    yield lambda: [record.getMessage() for record in caplog.records]
    module._warn_of_a_proxy.cache_clear()


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"])
def test_a_header_of_a_proxy_that_nobody_counted_warns_once(rf, warnings, name):
    for _ in range(3):
        assert (
            client_address(rf.get("/", REMOTE_ADDR="10.0.0.2", headers={name: "x"})) == "10.0.0.2"
        )
    (warning,) = warnings()
    assert warning.startswith(f"A request carries {name}, and TRUSTED_PROXIES is 0.")


def test_what_is_expected_warns_nobody(rf, settings, warnings):
    client_address(rf.get("/"))
    settings.TRUSTED_PROXIES = 1
    client_address(rf.get("/", headers={"X-Forwarded-For": "203.0.113.9"}))
    assert warnings() == []


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::1", "2001:db8:0:2::/64"),
        ("", ""),
    ],
)
def test_limits_count_what_one_customer_has(address, network):
    assert counted_as(address) == network


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_the_machine_itself_is_counted_by_a_setting_alone(settings, address):
    assert is_loopback(address)
    settings.LIMIT_LOOPBACK_ADDRESSES = False
    assert counted_as(address) is None
    settings.LIMIT_LOOPBACK_ADDRESSES = True
    assert counted_as(address) is not None


@pytest.mark.parametrize("address", ["", "198.51.100.7", "10.0.0.1", "2001:db8::1"])
def test_nobody_else_is_the_machine_itself(address):
    assert not is_loopback(address)
