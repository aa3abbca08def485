"""A client of the API, and what it reads."""

from rest_framework.test import APIClient

PRIZE = {
    "prize_id",
    "prize_name",
    "prize_type",
    "prize_value",
    "angle",
    "color",
    "probability",
    "is_activity",
    "is_pity_prize",
    "special_effect",
}
DRAW = {
    "draw_id",
    "wheel_id",
    "prize",
    "angle",
    "is_pity",
    "near_miss",
    "order",
    "nonce",
    "ticket",
}
STRANGER = APIClient()


def client_of(person):
    client = APIClient()
    client.force_authenticate(person)
    return client


def data(response):
    assert (response.status_code, response.json()["code"]) == (200, 0), response.content
    return response.json()["data"]


def refusal(response):
    answer = response.json()
    return response.status_code, answer["code"], answer["data"]
