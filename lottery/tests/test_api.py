"""Config, seeds, proofs and rules as clients see them."""

import pytest

from lottery.models import SeedPair, Wheel
from lottery.services import publishing, seeds
from lottery.services.draws import draw
from lottery.tests.factories import draw_once, make_draft, make_wheel
from lottery.tests.keys import PRIZE_KEYS
from tests.api import client_of, data_of, refusal_of
from tests.people import give

pytestmark = pytest.mark.django_db


# --- Config -----------------------------------------------------------------------------------
def test_a_stranger_sees_the_wheel_and_gets_no_seeds(wheel):
    config = data_of(client_of().get("/api/lottery/config"))

    assert set(config) == {
        "wheel_id",
        "name",
        "version",
        "cost_points",
        "max_count",
        "prizes",
        "fallback_prize_id",
        "pity",
        "daily_limit",
        "remaining_today",
        "fairness",
    }
    assert (config["wheel_id"], config["version"], config["cost_points"]) == (wheel.pk, 1, 100)
    assert (config["max_count"], config["daily_limit"]) == (10, 100)
    assert config["fallback_prize_id"] == wheel.fallback_prize_id
    assert config["pity"] == {"threshold": 10, "current": None}
    assert (config["remaining_today"], config["fairness"]) == (None, None)
    assert [prize["angle"] for prize in config["prizes"]] == list(range(0, 360, 45))
    first = config["prizes"][0]
    assert set(first) == PRIZE_KEYS
    assert (first["prize_type"], first["prize_value"]) == ("points", "50.00")
    assert (first["probability"], first["color"]) == ("0.2500", "#c8261b")
    assert not SeedPair.objects.exists()


def test_a_person_sees_their_pity_their_draws_left_and_their_seeds(wheel, person):
    client = client_of(person)
    before = data_of(client.get("/api/lottery/config"))
    assert before["pity"] == {"threshold": 10, "current": 0}
    assert before["remaining_today"] == 100
    assert set(before["fairness"]) == {
        "server_seed_hash",
        "client_seed",
        "client_seed_by",
        "nonce",
        "next_server_seed_hash",
    }
    drawn = data_of(client.post("/api/lottery/draw", {"count": 3}))

    after = data_of(client.get("/api/lottery/config"))

    assert after["remaining_today"] == drawn["remaining_today"] == 97
    assert after["pity"] == drawn["pity"]
    assert after["fairness"] == {**before["fairness"], "nonce": 3}


def test_a_wheel_without_pity_and_limit_shows_neither(person):
    wheel = make_wheel()
    for client in (client_of(), client_of(person)):
        config = data_of(client.get("/api/lottery/config", {"wheel_id": wheel.pk}))
        assert (config["pity"], config["daily_limit"], config["remaining_today"]) == (None,) * 3


def test_nothing_remains_when_the_limit_was_lowered_today(wheel, person):
    draw(person_id=person.pk, wheel_id=wheel.pk, count=3)
    Wheel.objects.filter(pk=wheel.pk).update(daily_limit=2)
    publishing.publish(wheel_id=wheel.pk)
    assert data_of(client_of(person).get("/api/lottery/config"))["remaining_today"] == 0


@pytest.mark.parametrize("path", ["config", "rules", "records"])
def test_a_wheel_is_named_by_its_id_or_is_the_default(path, wheel, person):
    client, address = client_of(person), f"/api/lottery/{path}"
    data_of(client.get(address))
    data_of(client.get(address, {"wheel_id": wheel.pk}))
    data_of(client.get(address, {"wheel_id": make_wheel().pk, "unknown": "x"}))
    for unreadable in ("", "abc", "1.5", "1e3", "x1", "true", "-1", "１", " 1"):
        status, code, fields = refusal_of(client.get(address, {"wheel_id": unreadable}))
        assert (status, code, list(fields)) == (400, 1011, ["wheel_id"]), unreadable
    for missing in (make_draft().pk, 0, 10**8, 2**63, 10**30):
        assert refusal_of(client.get(address, {"wheel_id": missing})) == (404, 1010, None)
    Wheel.objects.update(is_default=False)
    assert refusal_of(client.get(address)) == (404, 1010, None)


def test_a_look_at_a_wheel_takes_few_queries(wheel, person, django_assert_num_queries):
    client = client_of(person)
    client.get("/api/lottery/config")
    with django_assert_num_queries(1):
        client_of().get("/api/lottery/config")
    with django_assert_num_queries(3):  # version, pity and today's draws, seeds
        client.get("/api/lottery/config")


# --- Seeds and proofs -------------------------------------------------------------------------
def test_a_change_of_seeds_reveals_the_pair_in_use_and_takes_the_one_shown(wheel, person):
    client = client_of(person)
    data_of(client.post("/api/lottery/draw", {"count": 3}))
    shown = data_of(client.get("/api/lottery/config"))["fairness"]

    changed = data_of(client.post("/api/lottery/seed", {"client_seed": "我的运气"}))

    assert set(changed) == {"revealed", "next"}
    assert set(changed["revealed"]) == {
        "server_seed",
        "server_seed_hash",
        "client_seed",
        "client_seed_by",
        "nonces",
    }
    assert changed["revealed"]["server_seed_hash"] == shown["server_seed_hash"]
    assert changed["revealed"]["client_seed"] == shown["client_seed"]
    assert changed["revealed"]["client_seed_by"] == shown["client_seed_by"] == "server"
    assert changed["revealed"]["nonces"] == 3
    assert changed["next"]["server_seed_hash"] == shown["next_server_seed_hash"]
    assert (changed["next"]["client_seed"], changed["next"]["nonce"]) == ("我的运气", 0)
    assert changed["next"]["client_seed_by"] == "client"
    assert data_of(client.get("/api/lottery/config"))["fairness"] == changed["next"]


def test_a_change_of_seeds_that_is_repeated_with_its_key_happens_once(wheel, person):
    """A second one would let the client's seed meet a server seed made when it was known."""
    client = client_of(person, headers={"Idempotency-Key": "one"})
    first = client.post("/api/lottery/seed", {"client_seed": "mine"})
    again = client.post("/api/lottery/seed", {"client_seed": "mine"})
    assert data_of(again) == data_of(first)
    assert ("Idempotent-Replay" in first, again["Idempotent-Replay"]) == (False, "true")
    other = client.post("/api/lottery/seed", {"client_seed": "another"})
    assert refusal_of(other)[:2] == (422, 1014)
    assert data_of(client.get("/api/lottery/config"))["fairness"] == data_of(first)["next"]
    assert SeedPair.objects.count() == 3


def test_no_deployment_demands_a_key_for_a_change_of_seeds(wheel, person, settings):
    """The contract demands it where something is spent or awarded, and here clients send none."""
    settings.REQUIRE_IDEMPOTENCY_KEY = True
    data_of(client_of(person).post("/api/lottery/seed", {}))
    assert SeedPair.objects.count() == 3


@pytest.mark.parametrize("client_seed", ["x", " ", "字" * 64, "🎡" * 64, "e\u0301", "a:b", '"\n'])
def test_client_seeds_are_taken_as_they_are(client_seed, person):
    response = client_of(person).post("/api/lottery/seed", {"client_seed": client_seed})
    following = data_of(response)["next"]
    assert (following["client_seed"], following["client_seed_by"]) == (client_seed, "client")


@pytest.mark.parametrize("client_seed", ["", "x" * 65, "🎡" * 65, 1, None, True, [], {}, "\x00"])
def test_client_seeds_that_cannot_be_are_refused(client_seed, person):
    response = client_of(person).post("/api/lottery/seed", {"client_seed": client_seed})
    status, code, fields = refusal_of(response)
    assert (status, code, list(fields)) == (400, 1011, ["client_seed"])
    assert not SeedPair.objects.exists()


def test_half_a_character_is_no_client_seed(person):
    body = b'{"client_seed": "\\ud800"}'
    response = client_of(person).post("/api/lottery/seed", body, content_type="application/json")
    status, code, fields = refusal_of(response)
    assert (status, code, list(fields)) == (400, 1011, ["client_seed"])


@pytest.mark.parametrize("refused", ["", None, "x" * 65])
def test_a_client_seed_that_is_refused_replaces_none(refused, wheel, person):
    client = client_of(person)
    before = data_of(client.post("/api/lottery/seed", {"client_seed": "mine"}))["next"]
    client.post("/api/lottery/seed", {"client_seed": refused})
    assert data_of(client.get("/api/lottery/config"))["fairness"] == before


def test_a_client_seed_left_out_is_the_one_in_use(wheel, person):
    client = client_of(person)
    shown = data_of(client.get("/api/lottery/config"))["fairness"]
    for sent in ({}, {"client_seed": "mine"}, {}):
        changed = data_of(client.post("/api/lottery/seed", sent))
        own = "client_seed" in sent or shown["client_seed_by"] == "client"
        following = changed["next"]
        assert following["client_seed"] == ("mine" if own else shown["client_seed"])
        assert following["client_seed_by"] == ("client" if own else "server")
        assert changed["revealed"]["client_seed"] == shown["client_seed"]
        assert changed["revealed"]["client_seed_by"] == shown["client_seed_by"]
        shown = following


def test_a_proof_tells_everything_once_its_seeds_are_revealed(wheel, person):
    client = client_of(person)
    drawn = data_of(client.post("/api/lottery/draw", {"count": 2}))["draws"]
    address = f"/api/lottery/draws/{drawn[1]['draw_id']}/proof"
    assert refusal_of(client.get(address)) == (409, 3005, None)
    revealed = data_of(client.post("/api/lottery/seed"))["revealed"]

    proof = data_of(client.get(address))

    assert list(proof) == [
        "draw_id",
        "wheel_id",
        "version",
        "server_seed",
        "server_seed_hash",
        "client_seed",
        "client_seed_by",
        "nonce",
        "ticket",
        "prizes",
        "threshold",
        "pity_before",
        "is_pity",
        "fallback_prize_id",
        "stock_out",
        "outcome",
    ]
    assert proof["server_seed"] == revealed["server_seed"]
    assert proof["server_seed_hash"] == revealed["server_seed_hash"]
    assert (proof["client_seed"], proof["nonce"]) == (revealed["client_seed"], 1)
    assert proof["client_seed_by"] == "server"
    assert (proof["ticket"], proof["threshold"]) == (drawn[1]["ticket"], 10)
    assert proof["outcome"] == drawn[1]["prize"]["prize_id"]
    assert set(proof["prizes"][0]) == PRIZE_KEYS | {"weight", "quantity", "daily_cap"}
    assert sum(prize["weight"] for prize in proof["prizes"]) == 10_000


def test_a_proof_is_for_who_drew_and_for_staff(cast, wheel):
    give(cast.customer, 100)
    one = draw_once(cast.customer, wheel)
    seeds.rotate(person_id=cast.customer.pk)
    address = f"/api/lottery/draws/{one.pk}/proof"
    for viewer in (cast.customer, cast.staff, cast.auditor):
        assert data_of(client_of(viewer).get(address))["draw_id"] == str(one.pk)
    nothing = (404, 1010, None)
    for viewer in (cast.other_customer, cast.cashier, cast.owner):
        assert refusal_of(client_of(viewer).get(address)) == nothing
    client = client_of(cast.customer)
    for unknown in ("1", "x", "00000000-0000-7000-8000-000000000000", "%20", "é"):
        assert refusal_of(client.get(f"/api/lottery/draws/{unknown}/proof")) == nothing


# --- Rules ------------------------------------------------------------------------------------
def test_rules_are_the_sheet_in_force_and_the_earlier_ones(wheel):
    Wheel.objects.filter(pk=wheel.pk).update(pity_threshold=None, cost_points=80)
    publishing.publish(wheel_id=wheel.pk)
    publishing.publish(wheel_id=wheel.pk)
    stranger = client_of()

    rules = data_of(stranger.get("/api/lottery/rules"))

    assert set(rules) == {"wheel_id", "name", "client_seed_by", "items", "next"}
    assert [sheet["version"] for sheet in rules["items"]] == [3, 2, 1]
    newest, middle, oldest = rules["items"]
    assert set(newest) == {
        "from",
        "version",
        "to",
        "name",
        "organiser",
        "cost_points",
        "daily_limit",
        "prizes",
        "fallback_prize_id",
        "pity",
    }
    assert newest["to"] is None
    assert (middle["to"], oldest["to"]) == (newest["from"], middle["from"])
    assert (newest["pity"], newest["cost_points"], newest["organiser"]) == (None, 80, "老王")
    assert oldest["pity"] == {"threshold": 10, "prizes": [oldest["prizes"][2]["prize_id"]]}
    assert set(oldest["prizes"][0]) == PRIZE_KEYS | {"weight", "quantity", "daily_cap"}

    first = data_of(stranger.get("/api/lottery/rules", {"page_size": 1}))
    second = data_of(stranger.get("/api/lottery/rules", {"page_size": 1, "cursor": first["next"]}))
    assert first["items"] + second["items"] == rules["items"][:2]
    status, code, fields = refusal_of(stranger.get("/api/lottery/rules", {"page_size": "many"}))
    assert (status, code, list(fields)) == (400, 1011, ["page_size"])


def test_rules_say_what_follows_from_who_made_the_client_seed(wheel):
    address = "/api/lottery/rules"
    chinese = data_of(client_of().get(address))["client_seed_by"]
    english = data_of(client_of(headers={"Accept-Language": "en"}).get(address))["client_seed_by"]
    assert set(chinese) == set(english) == {"client", "server"}
    assert "公平" in chinese["client"]
    assert "请在抽奖前" in chinese["server"]
    assert "not that the server did not choose" in english["server"]
    assert english["client"].endswith("made its next seed.")


def test_the_schema_leads_every_client_to_send_its_own_seed():
    schema = client_of().get("/api/schema", {"format": "json"}).json()
    change = schema["paths"]["/api/lottery/seed"]["post"]["description"]
    assert "Do this before the first draw, with a new random `client_seed`" in change
    shapes = schema["components"]["schemas"]
    assert "Send your own" in shapes["SeedInputRequest"]["properties"]["client_seed"]["description"]
    for shape in ("NextSeedsOutput", "RevealedSeedsOutput", "ProofOutput"):
        shown = shapes[shape]["properties"]
        assert "POST /api/lottery/seed" in shown["client_seed"]["description"]
        assert "consistency alone. Send your own" in shown["client_seed_by"]["description"]


def test_the_schema_tells_the_paths():
    schema = client_of().get("/api/schema", {"format": "json"}).content.decode()
    for path in ("config", "draw", "records", "seed", "draws/{draw_id}/proof", "rules"):
        assert f"/api/lottery/{path}" in schema
