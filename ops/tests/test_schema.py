"""The API documents say of every view that answers once what its class says."""

import re

import pytest
from django.urls import URLPattern, get_resolver

from ops.api.views import AnswerOnceView
from ops.models.idempotency import LONGEST_KEY
from tests.api import client_of

KEY = {"name": "Idempotency-Key", "in": "header"}
KNOWN = {
    "/api/exchange/orders/{exchange_id}/cancel",
    "/api/exchange/submit",
    "/api/lottery/draw",
    "/api/lottery/seed",
    "/api/merchant/redeem",
    "/api/merchant/review",
    "/api/merchant/reviews/batch",
}


def addresses(patterns, prefix=""):
    """Every address below these patterns, with the view that answers there."""
    for pattern in patterns:
        address = prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield f"/{address}", getattr(pattern.callback, "view_class", None)
        else:
            yield from addresses(pattern.url_patterns, address)


ANSWER_ONCE = {
    address: view
    for address, view in addresses(get_resolver().url_patterns)
    if view is not None and issubclass(view, AnswerOnceView)
}
EACH = pytest.mark.parametrize("address", sorted(ANSWER_ONCE))


def read_schema():
    """The documents as any stranger gets them."""
    response = client_of().get("/api/schema", headers={"Accept": "application/json"})
    assert response.status_code == 200
    assert response["Content-Type"].startswith("application/json")
    return response.json()


@pytest.fixture(scope="module")
def schema():
    return read_schema()


def key_header(schema, address):
    """What is said of the Idempotency-Key at this address; None if nothing is."""
    parameters = schema["paths"][address]["post"].get("parameters", [])
    found = [one for one in parameters if one.get("name") == "Idempotency-Key"]
    assert len(found) <= 1
    return found[0] if found else None


def name_of(referring):
    return referring["$ref"].removeprefix("#/components/schemas/")


def body_component(schema, address):
    """The component that the body is, whichever media type it comes in."""
    content = schema["paths"][address]["post"]["requestBody"]["content"]
    (name,) = {name_of(said["schema"]) for said in content.values()}
    return name


def data_component(schema, address):
    """The component that stands in the envelope of a success."""
    (said,) = schema["paths"][address]["post"]["responses"]["200"]["content"].values()
    envelope = said["schema"]
    assert set(envelope["required"]) == set(envelope["properties"]) == {"code", "msg", "data"}
    return name_of(envelope["properties"]["data"])


def test_the_views_that_answer_once_are_found():
    assert set(ANSWER_ONCE) >= KNOWN


@EACH
def test_the_key_is_documented_where_a_view_answers_once(schema, address):
    said = key_header(schema, address)
    assert {name: said[name] for name in KEY} == KEY
    assert (said["schema"]["minLength"], said["schema"]["maxLength"]) == (1, LONGEST_KEY)
    assert not said.get("required")
    assert "24 hours" in said["description"]


@EACH
def test_the_body_is_the_shape_of_the_view(schema, address):
    shape = ANSWER_ONCE[address].shape
    if shape is None:
        assert "requestBody" not in schema["paths"][address]["post"]
        return
    name = body_component(schema, address)
    assert name == f"{shape.__name__}Request"
    properties = schema["components"]["schemas"][name]["properties"]
    assert set(properties) == {
        field for field, kind in shape().fields.items() if not kind.read_only
    }


@EACH
def test_data_is_the_answer_of_the_view(schema, address):
    answer = ANSWER_ONCE[address].answer
    name = data_component(schema, address)
    assert name == answer.__name__
    properties = schema["components"]["schemas"][name]["properties"]
    assert set(properties) == {
        field for field, kind in answer().fields.items() if not kind.write_only
    }


def test_a_view_may_honour_the_key_in_its_own_way(schema):
    assert key_header(schema, "/api/photo/upload") == key_header(schema, "/api/lottery/draw")


def test_where_the_key_means_nothing_it_is_not_documented(schema):
    assert key_header(schema, "/api/auth/login") is None
    posts = [address for address, methods in schema["paths"].items() if "post" in methods]
    honouring = {address for address in posts if key_header(schema, address)}
    assert honouring == {*ANSWER_ONCE, "/api/photo/upload"}


def test_only_a_post_has_an_effect_that_a_key_could_keep_to_one(schema):
    for operations in schema["paths"].values():
        for method, operation in operations.items():
            names = {one.get("name") for one in operation.get("parameters", [])}
            assert method == "post" or "Idempotency-Key" not in names


@pytest.mark.urls("ops.tests.probe_urls")
def test_another_view_is_documented_as_the_framework_reads_it():
    documents = read_schema()
    assert key_header(documents, "/api/generic") is None
    assert body_component(documents, "/api/generic") == "ProbeLineRequest"
    assert data_component(documents, "/api/generic") == "ProbeLine"
