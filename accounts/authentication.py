"""Who is asking: the access token of a live device session."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication

from accounts.services import sign_in
from ops.errors import NotSignedIn


class SessionTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access_token>`; `request.auth` is the device session."""

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
