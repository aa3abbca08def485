"""The console's pages about people."""

import pytest
from django.urls import reverse

from accounts.models import DeviceSession, RegistrationMark, SignInCode, Tier, User, UserStatus
from accounts.services.sign_in_codes import ask_code
from accounts.tests.factories import make_sign_in
from tests.console import fill_in
from tests.people import make_person

pytestmark = pytest.mark.django_db
MODELS = ["user", "tier", "pointsentry", "devicesession", "signincode", "registrationmark"]
READ_ONLY = ["pointsentry", "devicesession", "signincode", "registrationmark"]


@pytest.fixture
def console(client):
    person = User.objects.create_superuser("admin", "s3cret-s3cret")
    client.force_login(person)
    client.person = person
    return client


@pytest.fixture
def people(sent):
    Tier.objects.create(name="gold", threshold=1, multiplier=1)
    ask_code(phone="13800138001", address="")
    RegistrationMark.objects.create(key_hash="a" * 64)
    return make_sign_in(make_person(points=5)).person


@pytest.mark.parametrize("model", MODELS)
def test_every_list_and_every_row_opens(console, people, model):
    page = reverse(f"admin:accounts_{model}_changelist")
    assert console.get(page).status_code == 200
    assert console.get(page, {"q": "1"}).status_code == 200
    rows = console.get(page).context["cl"].queryset
    assert rows.exists()
    row = reverse(f"admin:accounts_{model}_change", args=[rows[0].pk])
    assert console.get(row).status_code == 200


@pytest.mark.parametrize("model", READ_ONLY)
def test_what_services_write_cannot_be_edited(console, people, model):
    rows = console.get(reverse(f"admin:accounts_{model}_changelist")).context["cl"].queryset
    assert console.get(reverse(f"admin:accounts_{model}_add")).status_code == 403
    change = reverse(f"admin:accounts_{model}_change", args=[rows[0].pk])
    assert console.post(change, {}).status_code == 403
    delete = reverse(f"admin:accounts_{model}_delete", args=[rows[0].pk])
    assert console.post(delete, {"post": "yes"}).status_code == 403
    assert rows.exists()


def test_the_form_of_a_person_changes_neither_points_nor_status(console, people):
    change = reverse("admin:accounts_user_change", args=[people.pk])
    response = fill_in(
        console, change, nickname="New", total_points=9, status="banned", points_version=9
    )
    assert response.status_code == 302, response.context["adminform"].form.errors
    people.refresh_from_db()
    assert people.nickname == "New"
    assert (people.total_points, people.points_version, people.status) == (5, 1, "active")
    assert people.username is None


def test_two_customers_can_be_saved_without_a_user_name(console, people):
    for person in (people, make_person()):
        change = reverse("admin:accounts_user_change", args=[person.pk])
        assert fill_in(console, change, nickname="N", username="").status_code == 302
    assert User.objects.filter(username=None).count() == 2


def test_nobody_is_deleted_in_the_console(console, people):
    delete = reverse("admin:accounts_user_delete", args=[people.pk])
    assert console.post(delete, {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("ban", UserStatus.BANNED),
        ("deactivate", UserStatus.INACTIVE),
        ("activate", UserStatus.ACTIVE),
    ],
)
def test_the_actions_change_the_status_and_end_sign_ins(console, people, action, status):
    response = console.post(
        reverse("admin:accounts_user_changelist"),
        {"action": action, "_selected_action": [people.pk, console.person.pk]},
        follow=True,
    )
    assert response.status_code == 200
    people.refresh_from_db()
    assert people.status == status
    is_over = DeviceSession.objects.get().revoked_at is not None
    assert is_over is (status != UserStatus.ACTIVE)
    console.person.refresh_from_db()
    assert console.person.status == UserStatus.ACTIVE  # nobody locks themselves out


def test_sign_ins_can_be_ended(console, people):
    session = DeviceSession.objects.get()
    console.post(
        reverse("admin:accounts_devicesession_changelist"),
        {"action": "revoke", "_selected_action": [session.pk]},
    )
    session.refresh_from_db()
    assert session.revoked_at


def test_a_code_is_shown_without_what_could_sign_in(console, people):
    row = SignInCode.objects.get()
    page = console.get(reverse("admin:accounts_signincode_change", args=[row.pk])).content.decode()
    assert row.code_hash not in page
    assert row.phone not in page
