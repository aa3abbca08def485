"""The console: drafts are edited, everything else is looked at."""

import pytest
from django.contrib.admin.sites import site
from django.urls import reverse

from lottery.models import Draw, PityCounter, Prize, SeedPair, Wheel, WheelStatus, WheelVersion
from lottery.services import seeds
from lottery.services.draws import draw
from lottery.tests.factories import make_draft, make_wheel, points_prize
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def superuser():
    return make_person(username="boss", is_staff=True, is_superuser=True)


@pytest.fixture
def console(client, superuser):
    client.force_login(superuser)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


@pytest.fixture
def drawn():
    person, wheel = make_person(points=1000), make_wheel(points_prize(probability="0.5"))
    return draw(person_id=person.pk, wheel_id=wheel.pk, count=3).draws


def run_action(console, action, *wheels):
    response = console.post(
        reverse("admin:lottery_wheel_changelist"),
        {"action": action, "_selected_action": [wheel.pk for wheel in wheels]},
        follow=True,
    )
    return [str(message) for message in response.context["messages"]]


@pytest.mark.parametrize("model", [Draw, PityCounter, Prize, SeedPair, Wheel, WheelVersion])
def test_every_page_opens(model, console, drawn):
    name = f"admin:lottery_{model._meta.model_name}"
    assert console.get(reverse(f"{name}_changelist")).status_code == 200
    assert console.get(reverse(f"{name}_changelist"), {"q": "x"}).status_code == 200
    page = console.get(reverse(f"{name}_change", args=[model.objects.first().pk]))
    assert page.status_code == 200


@pytest.mark.parametrize("model", [Draw, PityCounter, Prize, SeedPair, WheelVersion])
def test_nobody_writes_behind_the_services(model, superuser, drawn, rf):
    request = rf.get("/")
    request.user = superuser
    admin = site.get_model_admin(model)
    assert not admin.has_add_permission(request)
    assert not admin.has_change_permission(request, model.objects.first())
    assert not admin.has_delete_permission(request, model.objects.first())
    assert not site.get_model_admin(Wheel).has_delete_permission(request)


def test_no_page_shows_a_server_seed(console, drawn):
    pair = drawn[0].seed_pair
    server_seed = seeds.reveal(pair)
    for address in (
        reverse("admin:lottery_seedpair_changelist"),
        reverse("admin:lottery_seedpair_change", args=[pair.pk]),
        reverse("admin:lottery_draw_change", args=[drawn[0].pk]),
    ):
        page = console.get(address).content.decode()
        assert pair.server_seed_hash[:12] in page
        assert server_seed not in page
        assert pair.server_seed_encrypted not in page


def test_seed_pages_say_who_made_the_client_seed(console, drawn):
    pair = drawn[0].seed_pair
    page = console.get(reverse("admin:lottery_seedpair_change", args=[pair.pk])).content.decode()
    assert "Client seed made by" in page
    assert "Made by the server, its proofs show consistency, not fairness." in page
    seeds.rotate(person_id=pair.person_id, client_seed="mine")
    changelist = reverse("admin:lottery_seedpair_changelist")
    shown = console.get(changelist, {"client_seed_by__exact": "client"}).context["cl"].queryset
    assert [pair.client_seed for pair in shown] == ["mine"]


def test_publishing_reports_what_is_wrong(console, superuser):
    good, bad = make_draft(), make_draft()
    bad.prizes.first().delete()

    messages = run_action(console, "publish", good, bad)

    version = WheelVersion.objects.get(published_by=superuser)
    assert version.wheel == good
    assert any(message.startswith(f"{bad.name}: ") for message in messages)
    assert len(messages) == 2


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("activate", WheelStatus.ACTIVE),
        ("pause", WheelStatus.PAUSED),
        ("deactivate", WheelStatus.INACTIVE),
    ],
)
def test_an_action_changes_the_status(action, status, console):
    wheel = make_draft(status=WheelStatus.PAUSED)
    run_action(console, action, wheel)
    wheel.refresh_from_db()
    assert wheel.status == status


def test_an_action_makes_a_wheel_the_default(console):
    make_draft(is_default=True)
    wheel = make_draft()
    run_action(console, "make_default", wheel)
    assert Wheel.objects.get(is_default=True) == wheel


def test_a_draft_is_edited_and_its_fallback_is_one_of_its_own(console):
    wheel, other = make_draft(), make_draft()
    address = reverse("admin:lottery_wheel_change", args=[wheel.pk])
    form = console.get(address).context["adminform"].form
    choices = set(form.fields["fallback_prize"].queryset)
    assert choices == set(wheel.prizes.all())
    assert not choices & set(other.prizes.all())
    new = console.get(reverse("admin:lottery_wheel_add")).context["adminform"].form
    assert not new.fields["fallback_prize"].queryset.exists()
