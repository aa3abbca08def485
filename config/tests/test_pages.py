"""The pages of the platform as a whole: start, documents, schema, console."""

import json
import re

import pytest

pytestmark = pytest.mark.django_db

PATHS = {
    "/api/auth/code", "/api/auth/login", "/api/auth/refresh", "/api/auth/verify",
    "/api/auth/logout", "/api/user/profile", "/api/user/points",
    "/api/user/avatar", "/api/user/statistics", "/api/user/sessions",
    "/api/user/sessions/{session_id}",
}  # fmt: skip


def test_the_start_page_shows_the_ways_in(client):
    response = client.get("/")
    page = response.content.decode()
    assert response.status_code == 200
    for way in ("/admin/", "/api/docs", "/health"):
        assert f'href="{way}"' in page
    assert not re.findall(r'(?:src|href)="https?://', page), "nothing comes from elsewhere"


@pytest.mark.parametrize(("language", "tag"), [("en", "en"), ("zh-CN", "zh-hans")])
def test_the_start_page_speaks_the_readers_language(client, language, tag):
    response = client.get("/", headers={"Accept-Language": language})
    assert response["Content-Language"] == tag
    assert f'lang="{tag}"'.lower() in response.content.decode().lower()


def test_the_documents_need_nothing_from_elsewhere(client):
    response = client.get("/api/docs")
    assert response.status_code == 200
    page = response.content.decode()
    assert not re.findall(r'(?:src|href)="https?://', page)
    policy = response["Content-Security-Policy"]
    assert "script-src" not in policy or "unsafe-inline" not in policy.split("script-src")[1]


def schema(client):
    response = client.get("/api/schema", headers={"Accept": "application/json"})
    assert response.status_code == 200
    return json.loads(response.content)


def test_the_schema_names_every_path_and_its_envelope(client):
    paths = schema(client)["paths"]
    assert set(paths) >= PATHS
    answer = paths["/api/auth/verify"]["get"]["responses"]["200"]
    envelope = answer["content"]["application/json"]["schema"]
    assert set(envelope["required"]) == {"code", "msg", "data"}
    assert paths["/api/auth/login"]["post"]["requestBody"]


def test_the_schema_comes_as_yaml_for_those_who_accept_only_that(client):
    for accept in ("application/yaml", "application/vnd.oai.openapi"):
        response = client.get("/api/schema", headers={"Accept": accept})
        assert response.status_code == 200
        assert response.content.startswith(b"openapi: 3.")


@pytest.mark.parametrize("accept", ["text/html", "image/png", "nonsense", ""])
def test_a_client_that_accepts_something_else_gets_json(client, accept):
    response = client.get("/api/schema", headers={"Accept": accept})
    assert response.status_code == 200
    assert json.loads(response.content)["openapi"]


def test_strangers_are_shown_the_way_to_sign_in_to_the_console(client):
    response = client.get("/admin/")
    assert response.status_code == 302
    page = client.get(response["Location"])
    assert page.status_code == 200
    assert "'unsafe-eval'" in page["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/nowhere"])
def test_the_consoles_loose_policy_is_the_consoles_alone(client, path):
    policy = client.get(path)["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_pages_are_guarded(client):
    response = client.get("/")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
