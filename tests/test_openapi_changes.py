"""Additions to the API pass, and whatever a client in the field could trip over is named."""

import subprocess
from copy import deepcopy

import pytest
import yaml

from config.api_documents import documents
from tests.openapi_changes import FILE, changes, main

SHAPES = "components", "schemas"


def changed(way, change):
    """The documents, changed at one place: `change` gets what is there."""
    new = deepcopy(documents())
    found = new
    for word in way:
        found = found[word]
    change(found)
    return new


def drop(*names):
    def change(found):
        for name in names:
            found.pop(name) if isinstance(found, dict) else found.remove(name)

    return change


def put(**members):
    return lambda found: found.update(members)


DRAW = "paths", "/api/lottery/draw", "post"
CONFIG = "paths", "/api/lottery/config", "get"
PRODUCTS = "paths", "/api/exchange/products", "get"
DRAW_INPUT = *SHAPES, "DrawInputRequest"
SHORTAGE = *SHAPES, "Refusal4005", "properties", "data"
ORDER = *SHAPES, "OrderOutput"
LOGIN = *SHAPES, "LoginInputRequest"


def parameter(operation, name):
    found = documents()
    for word in operation:
        found = found[word]
    (at,) = (n for n, one in enumerate(found["parameters"]) if one.get("name") == name)
    return *operation, "parameters", at


@pytest.mark.parametrize(
    ("way", "change"),
    [
        (("paths",), put(**{"/api/new": {"get": {"operationId": "get_new"}}})),
        (DRAW, put(description="Other words.")),
        ((*DRAW, "responses"), put(**{"418": {"content": {}}})),
        ((*ORDER, "properties"), put(tip={"type": "string"})),
        ((*DRAW_INPUT, "properties"), put(wish={"type": "string"})),
        ((*DRAW_INPUT, "properties", "count"), put(maximum=20)),
        ((*SHAPES, "OrderStatusEnum", "enum"), lambda values: values.append("lost")),
        ((*LOGIN, "required"), drop("code")),
        ((*PRODUCTS, "parameters"), lambda found: found.append(
            {"in": "query", "name": "colour", "schema": {"type": "string"}})),
        ((*DRAW, "responses", "409", "content", "application/json", "schema", "oneOf"),
         lambda found: found.append({"$ref": "#/components/schemas/Refusal4005"})),
    ],
)  # fmt: skip
def test_an_addition_is_no_change(way, change):
    assert changes(documents(), changed(way, change)) == []


@pytest.mark.parametrize(
    ("way", "change", "named"),
    [
        (("paths",), drop("/api/shops"), "GET /api/shops: is gone"),
        (DRAW, put(operationId="draw"), "is called draw"),
        (CONFIG, put(security=[{"bearer": []}]), "another way to sign in"),
        ((*SHAPES, "OrderOutput", "properties"), drop("quantity"), "has lost quantity"),
        ((*ORDER, "properties", "quantity"), put(type="string"), ".quantity is ['string']"),
        ((*ORDER, "properties", "quantity"), put(type=["integer", "null"]), ".quantity is"),
        ((*ORDER, "properties", "created_at"), drop("format"), ".created_at has the format None"),
        ((*ORDER, "required"), drop("quantity"), "may be without quantity"),
        ((*SHAPES, "OrderStatusEnum", "enum"), drop("expired"), "has lost expired"),
        ((*SHAPES, "ActionEnum", "enum"), drop("reject"), "has lost reject"),
        ((*SHAPES, "ConfigOutput", "properties", "pity"), drop("oneOf"), "no more one of"),
        ((*DRAW_INPUT,), put(required=["wheel_id"]), "has to hold wheel_id"),
        ((*DRAW_INPUT, "properties", "count"), put(maximum=5), "has the maximum 5, had 10"),
        ((*DRAW_INPUT, "properties", "count"), put(minimum=2), "has the minimum 2, had 1"),
        ((*LOGIN, "properties", "phone"), put(pattern="^1$"), ".phone has the pattern ^1$"),
        ((*DRAW, "responses"), drop("409"), "answer 409 is gone"),
        ((*DRAW, "responses", "200", "headers"), drop("Idempotent-Replay"), "Idempotent-Replay"),
        ((*DRAW, "responses", "409", "content", "application/json", "schema"),
         lambda found: found.update(oneOf=found["oneOf"][1:]), "no more one of"),
        ((*SHORTAGE, "properties"), drop("shortage"), "has lost shortage"),
        (parameter(PRODUCTS, "search"), put(required=True), "search has to be sent"),
        (parameter(PRODUCTS, "search"), put(name="words"), "search is gone"),
        (parameter(PRODUCTS, "search"), put(schema={"type": "integer"}), "search is ['integer']"),
        ((*DRAW, "requestBody"), put(content={"text/plain": {}}), "is application/json no more"),
        (DRAW, drop("requestBody"), "is taken no more"),
    ],
)  # fmt: skip
def test_any_other_change_is_named(way, change, named):
    assert any(named in said for said in changes(documents(), changed(way, change)))


def test_nothing_changed():
    assert changes(documents(), documents()) == []


# --- Of several commits ---------------------------------------------------------------------------
def commit(root, schema):
    (root / "docs").mkdir(exist_ok=True)
    (root / FILE).write_text(yaml.safe_dump(schema), encoding="utf-8")
    git = ["git", "-C", str(root), "-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "One"], check=True)


@pytest.fixture
def history(tmp_path):
    """A repository with one version of the documents."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    commit(tmp_path, documents())
    return tmp_path


def test_a_break_some_commits_ago_is_found(history):
    broken = changed(CONFIG, drop("responses"))
    broken["paths"]["/api/lottery/config"]["get"]["responses"] = {}
    commit(history, broken)
    commit(history, {**broken, "info": {**broken["info"], "description": "Other words."}})
    with pytest.raises(SystemExit, match="GET /api/lottery/config"):
        main(history)


def test_additions_of_many_commits_pass(history):
    for words in ("One.", "Two."):
        schema = deepcopy(documents())
        commit(history, {**schema, "info": {**schema["info"], "description": words}})
    main(history)
