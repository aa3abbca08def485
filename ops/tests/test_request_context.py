"""Who acts: the person of a request, whoever serves it, or whoever runs a command."""

import getpass
import os
import socket

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.http import JsonResponse
from django.test import AsyncClient, Client
from django.urls import path
from rest_framework.response import Response

from accounts.tests.factories import make_sign_in
from ops.api.views import ApiView, OpenView
from ops.request_context import Actor, actor
from tests.api import client_of, data_of
from tests.audit import ADDRESS, REQUEST_ID, acting_as
from tests.people import make_person

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
HEADERS = {"X-Request-ID": "mine"}
OF_COMMANDS = f"{getpass.getuser()}@{socket.gethostname()}"


def told(_request=None):
    acting = actor()
    return {
        "person_id": acting.person_id,
        "system_user": acting.system_user,
        "address": acting.address,
        "request_id": acting.request_id,
    }


class SignedInProbeView(ApiView):
    schema = None

    def get(self, request):
        return Response(told())


class OpenProbeView(OpenView):
    schema = None

    def get(self, request):
        return Response(told())


def page(request):
    return JsonResponse(told())


async def page_of_async(request):
    return JsonResponse(await sync_to_async(told)())


urlpatterns = [
    path("api/who", SignedInProbeView.as_view()),
    path("api/anybody", OpenProbeView.as_view()),
    path("page", page),
    path("async", page_of_async),
    path("admin/", admin.site.urls),
]


def who(person_id=None):
    return {
        "person_id": person_id,
        "system_user": "",
        "address": "127.0.0.1",
        "request_id": "mine",
    }


def test_without_a_request_it_is_whoever_runs_this():
    assert actor() == Actor(system_user=OF_COMMANDS)


def test_a_number_without_a_name_is_named_by_the_number(monkeypatch):
    def nameless():
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setattr(os, "getuid", lambda: 10001)
    assert actor().system_user == f"10001@{socket.gethostname()}"


def test_within_a_request_it_is_its_person_and_afterwards_nobody_is_left():
    person = make_person()
    with acting_as(person):
        assert actor() == Actor(person_id=person.pk, address=ADDRESS, request_id=REQUEST_ID)
        with acting_as(AnonymousUser()):
            assert actor().person_id is None
        assert actor().person_id == person.pk
    assert actor().person_id is None


def test_the_person_of_a_page_of_the_console_is_known():
    person = make_person(is_staff=True)
    client = Client(headers=HEADERS)
    assert client.get("/page").json() == who()
    client.force_login(person)
    assert client.get("/page").json() == who(person.pk)
    assert actor().system_user == OF_COMMANDS


def test_the_person_of_the_api_is_known_though_the_view_finds_out_who_it_is():
    signed_in = make_sign_in()
    client = client_of(headers=HEADERS)
    assert data_of(client.get("/api/anybody")) == who()
    bearer = {"Authorization": f"Bearer {signed_in.pair.access_token}", **HEADERS}
    assert data_of(client.get("/api/who", headers=bearer)) == who(signed_in.person.pk)
    assert data_of(client.get("/api/anybody")) == who(), "one request says nothing of the next"


def test_a_request_that_fails_leaves_nobody_behind():
    client = client_of(headers=HEADERS)
    assert client.get("/api/who").status_code == 401
    assert actor().system_user == OF_COMMANDS


@pytest.mark.parametrize("address", ["/page", "/async", "/api/who"])
def test_it_is_known_under_asgi(address):
    signed_in = make_sign_in()
    bearer = {"Authorization": f"Bearer {signed_in.pair.access_token}"}
    client = AsyncClient()
    client.force_login(signed_in.person)

    answer = async_to_sync(client.get)(address, headers={**bearer, **HEADERS}).json()

    assert answer.get("data", answer) == who(signed_in.person.pk)
    assert actor().system_user == OF_COMMANDS
