"""The framework's own command for passwords goes by the service as well."""

from django.core.management import get_commands, load_command_class

from accounts.management.commands import set_password


def test_the_frameworks_command_is_ours():
    assert get_commands()["changepassword"] == "accounts"
    assert isinstance(load_command_class("accounts", "changepassword"), set_password.Command)
