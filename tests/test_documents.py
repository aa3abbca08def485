"""The API documents as a generator reads them: complete, in English, true in every example."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.utils import translation

from accounts.errors import NotEnoughPoints
from catalog.errors import NotCancellable
from catalog.models import OrderStatus
from config.api_documents import EXAMPLES, documents
from ops.api.exception_handler import error_body
from ops.errors import DomainError
from reviews.errors import AlreadyReviewed
from reviews.models import ReceiptStatus
from tests.api import client_of
from tests.documents import check, operations, resolve

ROOT = Path(__file__).resolve().parent.parent
OPERATIONS = operations()
EACH = pytest.mark.parametrize("name", sorted(OPERATIONS))
IS_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def refusals(base=DomainError):
    """Every refusal of the platform; those of tests are not it."""
    for one in base.__subclasses__():
        yield from refusals(one)
        if "tests" not in one.__module__:
            yield one


@pytest.fixture(scope="module")
def examples():
    return yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))


def test_each_operation_has_an_example_and_no_other_has(examples):
    assert set(examples) == set(OPERATIONS)


@EACH
def test_an_operation_says_what_it_is(name):
    said = OPERATIONS[name].said
    assert 3 < len(said["summary"]) < 90
    assert not said["summary"].endswith(".")
    assert said["description"]
    (tag,) = said["tags"]
    assert tag in {one["name"] for one in documents()["tags"]}
    assert said["security"] in ([], [{"bearer": []}], [{"bearer": []}, {}])


def test_no_two_operations_are_called_the_same():
    summaries = [one.said["summary"] for one in OPERATIONS.values()]
    assert len(set(summaries)) == len(summaries)


def test_who_may_ask_is_said():
    said = {name: one.said["security"] for name, one in OPERATIONS.items()}
    by_anyone = {name for name, security in said.items() if security == []}
    also_by_strangers = {name for name, security in said.items() if {} in security}
    assert by_anyone == {
        "post_auth_code", "post_auth_login", "post_auth_refresh", "post_auth_wechat",
        "get_health", "get_ready", "get_schema",
    }  # fmt: skip
    assert also_by_strangers == {
        "get_config", "get_shops", "get_exchange_categories", "get_exchange_products",
        "get_exchange_products_product_id", "get_lottery_config", "get_lottery_rules",
    }  # fmt: skip


@EACH
def test_an_example_is_what_its_schema_says(name):
    said = OPERATIONS[name].said
    for parameter in map(resolve, said["parameters"]):
        if "example" in parameter:
            check(parameter["example"], parameter["schema"])
    for content in said.get("requestBody", {"content": {}})["content"].values():
        check(content["example"], content["schema"])
    content = said["responses"]["200"]["content"]["application/json"]
    check(content["example"], content["schema"])


@EACH
def test_every_refusal_is_shown_as_its_schema_says(name):
    for status, response in OPERATIONS[name].said["responses"].items():
        if status == "304":
            assert "content" not in response
            continue
        content = response["content"]["application/json"]
        for example in content.get("examples", {}).values():
            check(example["value"], content["schema"])
            assert str(example["value"]["code"]) in response["description"]
        assert "X-Request-ID" in response["headers"]
        assert ("Retry-After" in response["headers"]) == (status in {"429", "503"})


@EACH
def test_links_lead_to_operations(name, examples):
    for link in examples[name].get("links", {}).values():
        target = OPERATIONS[link["operationId"]]
        names = {one.get("name") for one in target.said["parameters"]}
        assert set(link.get("parameters", {})) <= names


def test_the_proof_of_the_example_can_be_recomputed(examples, tmp_path):
    proof = tmp_path / "proof.json"
    proof.write_text(json.dumps(examples["get_lottery_draws_draw_id_proof"]["answer"]))
    verified = subprocess.run(
        [sys.executable, ROOT / "docs" / "verify_draw.py", proof],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("refusal", sorted(set(refusals()), key=str))
def test_what_a_refusal_shows_is_all_that_it_reveals(refusal):
    body = error_body(refusal(**refusal.example))
    assert "%(" not in body["msg"]
    if refusal.reveals and refusal.reveals_to_all:
        assert set(body["data"]) == set(refusal.reveals)


def test_the_states_that_refusals_tell_are_those_of_the_rows():
    def states(refusal):
        (hint,) = refusal.reveals.values()
        return set(hint.__args__)

    assert states(NotCancellable) == set(OrderStatus.values)
    assert states(AlreadyReviewed) == set(ReceiptStatus.values)


def test_a_code_has_one_shape_and_one_status():
    by_code: dict[int, object] = {}
    for refusal in set(refusals()):
        shape = (refusal.status, tuple(refusal.reveals.items()))
        assert by_code.setdefault(refusal.code, shape) == shape or refusal.code in {1008, 8005}, (
            refusal
        )


def test_a_typed_refusal_names_its_data():
    shape = documents()["components"]["schemas"]["Refusal4005"]
    assert shape["properties"]["code"] == {"type": "integer", "const": NotEnoughPoints.code}
    facts = shape["properties"]["data"]
    assert set(facts["required"]) == {"required", "current", "shortage"}
    assert all(fact == {"type": "integer"} for fact in facts["properties"].values())


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_the_documents_are_in_english_whatever_is_asked_for(language):
    def asked(**headers):
        return client_of(headers={"Accept": "application/json", **headers}).get("/api/schema")

    with translation.override("zh-hans"):
        answer = asked(**{"Accept-Language": language})
    assert answer.content == asked().content
    assert answer["Content-Language"] == "en"
    assert not IS_CHINESE.search(said_of(answer.json()))


def said_of(part):
    """All that is said in words; examples are of a restaurant in Chengdu."""
    if isinstance(part, dict):
        kept = (value for name, value in part.items() if name not in {"example", "examples"})
        return " ".join(map(said_of, kept))
    if isinstance(part, list):
        return " ".join(map(said_of, part))
    return str(part)


def untyped(schema, where=""):
    """Where a schema says nothing of what is there."""
    if not isinstance(schema, dict):
        return
    if not set(schema) & {"type", "$ref", "oneOf", "allOf", "anyOf", "const", "enum"}:
        yield where
    for name, part in schema.get("properties", {}).items():
        yield from untyped(part, f"{where}.{name}")
    if "array" in schema.get("type", ""):
        yield from untyped(schema.get("items", {}), f"{where}[]")
    for part in (*schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from untyped(part, where)


def test_nothing_is_without_a_type():
    for name, shape in documents()["components"]["schemas"].items():
        assert not list(untyped(shape, name))
    for operation in OPERATIONS.values():
        for response in operation.said["responses"].values():
            for content in response.get("content", {}).values():
                assert not list(untyped(content["schema"], operation.name))
