from django.conf import settings
from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from accounts import serializers
from accounts.errors import (
    AccountClosed,
    CodeAskedTooOften,
    CodeVoid,
    InvalidPhone,
    RefreshTokenReused,
    WeChatAway,
)
from accounts.models import OFTEN_EARNED, OFTEN_SPENT, PointsEntry, User
from accounts.services import profile, sign_in, sign_in_codes, tokens
from ops.api.pagination import page
from ops.api.views import ApiView, OpenView
from ops.client_address import client_address
from ops.errors import TooManyRequests

# Types and sources that contradict each other. No index knows the type of an entry: to find that
# there is none, all of the person's would be read. The other sources are rare, and have an index.
NEVER = {
    *(("earn", source) for source in OFTEN_SPENT),
    *(("spend", source) for source in OFTEN_EARNED),
}


def _device(request, info=None):
    return sign_in.Device(
        address=client_address(request), user_agent=request.headers.get("User-Agent", ""), info=info
    )


class CodeView(OpenView):
    """Send a sign-in code; the answer is the same whether or not the phone has an account."""

    authentication_classes = ()
    refusals = (CodeAskedTooOften,)

    @extend_schema(request=serializers.CodeInput, responses=serializers.CodeOutput)
    def post(self, request):
        body = self.body(serializers.CodeInput)
        sign_in_codes.ask_code(phone=body["phone"], address=client_address(request))
        answer = {
            "expires_in": int(settings.SMS_CODE_LIFETIME.total_seconds()),
            "resend_after": int(settings.SMS_RESEND_AFTER.total_seconds()),
        }
        return Response(serializers.CodeOutput(answer).data)


class LoginView(OpenView):
    """Sign in with the code; the first time makes the account and gives the welcome points."""

    authentication_classes = ()
    refusals = (CodeVoid, AccountClosed, TooManyRequests)

    @extend_schema(request=serializers.LoginInput, responses=serializers.SignInOutput)
    def post(self, request):
        body = self.body(serializers.LoginInput)
        signed_in = sign_in.sign_in_by_code(
            phone=body["phone"],
            code=body["code"],
            device=_device(request, body.get("device_info")),
        )
        return Response(serializers.SignInOutput(signed_in).data)


class WeChatView(OpenView):
    """Sign in by WeChat; the first time makes the account and gives the welcome points."""

    authentication_classes = ()
    refusals = (WeChatAway, InvalidPhone, AccountClosed, TooManyRequests)

    @extend_schema(request=serializers.WeChatInput, responses=serializers.SignInOutput)
    def post(self, request):
        body = self.body(serializers.WeChatInput)
        signed_in = sign_in.sign_in_by_wechat(
            code=body["code"],
            phone_code=body.get("phone_code"),
            device=_device(request, body.get("device_info")),
        )
        return Response(serializers.SignInOutput(signed_in).data)


class RefreshView(OpenView):
    """A new pair of tokens for a refresh token, which is dead from then on."""

    authentication_classes = ()
    refusals = (RefreshTokenReused, AccountClosed)

    @extend_schema(request=serializers.RefreshInput, responses=serializers.TokenOutput)
    def post(self, request):
        body = self.body(serializers.RefreshInput)
        return Response(serializers.TokenOutput(sign_in.refresh(body["refresh_token"])).data)


class VerifyView(ApiView):
    """Whether the token is good, until when, and whose it is."""

    @extend_schema(responses=serializers.VerifyOutput)
    def get(self, request):
        claims = tokens.read_access(request.headers["Authorization"].partition(" ")[2].strip())
        person = User.objects.get(pk=request.user.pk)
        answer = {"valid": True, "expires_at": claims.expires_at, "user_info": person}
        return Response(serializers.VerifyOutput(answer).data)


class LogoutView(ApiView):
    """End this sign-in, or all of the person's."""

    @extend_schema(request=serializers.LogoutInput, responses=None)
    def post(self, request):
        body = self.body(serializers.LogoutInput)
        sign_in.sign_out(request.auth, everywhere=body["everywhere"])
        return Response(None)


class ProfileView(ApiView):
    """The person's own profile."""

    @extend_schema(responses=serializers.ProfileOutput)
    def get(self, request):
        person = User.objects.get(pk=request.user.pk)
        return Response(serializers.ProfileOutput(person).data)

    @extend_schema(request=serializers.ProfileInput, responses=serializers.ProfileOutput)
    def patch(self, request):
        """Change what the person may change of their profile."""
        nickname = self.body(serializers.ProfileInput)["nickname"]
        person = User.objects.get(pk=request.user.pk)
        profile.rename(person=person, nickname=nickname)
        return Response(serializers.ProfileOutput(person).data)


class PointsView(ApiView):
    """The person's ledger, newest first."""

    @extend_schema(
        parameters=[serializers.PointsQuery], responses=serializers.PointsEntryOutput(many=True)
    )
    def get(self, request):
        wanted = self.query(serializers.PointsQuery)
        entries = PointsEntry.objects.filter(user=request.user)
        if "type" in wanted:
            is_earning = Q(points__gt=0)
            entries = entries.filter(is_earning if wanted["type"] == "earn" else ~is_earning)
        if "source" in wanted:
            entries = entries.filter(source=wanted["source"])
        if (wanted.get("type"), wanted.get("source")) in NEVER:
            entries = entries.none()
        columns = entries.values(*serializers.COLUMNS_OF_ENTRIES)
        rows, following = page(request, columns, ordering=["-sequence"])
        return Response({"items": serializers.entry_items(request, rows), "next": following})
