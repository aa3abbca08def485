"""Who is asking: the access token of a live device session, or a session of the console."""

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication

from accounts.console_session import COOKIE
from accounts.errors import AccountClosed
from accounts.models import User
from accounts.services import console_sign_in, sign_in
from ops.access import access_of
from ops.client_address import client_address
from ops.errors import DomainError, NotSignedIn


class ConsoleBackend(BaseBackend):
    """Who signs in to the console, and what they may do there.

    Not Django's ModelBackend: permissions come from `ops.access` alone, whatever way is asked.
    """

    @sensitive_variables("password")
    def authenticate(self, request, username=None, password=None, **credentials):
        """The person of a user name or phone number and a password, within the limits."""
        if username is None or password is None:
            return None
        try:
            return console_sign_in.check_password(
                account=username,
                password=password,
                address=client_address(request) if request else "",
                device_token=request.COOKIES.get(COOKIE, "") if request else "",
            )
        except DomainError as refusal:
            raise PermissionDenied(str(refusal)) from refusal

    def get_user(self, user_id):
        """The person of a session; nobody once their account is closed."""
        person = User.objects.filter(pk=user_id).first()
        return person if person and person.is_active else None

    def get_group_permissions(self, user_obj, obj=None):
        """What they hold at any place; nothing is held by a single row."""
        if obj is not None or not user_obj.is_active:
            return set()
        if user_obj.is_superuser:
            names = Permission.objects.values_list("content_type__app_label", "codename")
            return {f"{app}.{name}" for app, name in names.order_by()}
        return set(access_of(user_obj).permissions)

    def has_module_perms(self, user_obj, app_label):
        """Whether they hold anything of an app."""
        held = self.get_all_permissions(user_obj)
        return any(permission.startswith(f"{app_label}.") for permission in held)

    async def ahas_module_perms(self, user_obj, app_label):
        return await sync_to_async(self.has_module_perms)(user_obj, app_label)


class SessionTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access_token>`; `request.auth` is the device session."""

    refusals = (NotSignedIn, AccountClosed)

    def authenticate(self, request):
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _space, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotSignedIn
        session = sign_in.live_session(token.strip())
        return session.user, session

    def authenticate_header(self, request):
        return "Bearer"


class BearerScheme(OpenApiAuthenticationExtension):
    """How the API documents describe it."""

    target_class = SessionTokenAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema):
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
