from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db.models import Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from accounts import serializers
from accounts.errors import (
    AccountClosed,
    CodeAskedTooOften,
    CodeVoid,
    ImageBroken,
    ImageTooLarge,
    InvalidPhone,
    NotAnImage,
    RefreshTokenReused,
    WeChatAway,
)
from accounts.limits import largest_avatar
from accounts.models import OFTEN_EARNED, OFTEN_SPENT, PointsEntry, User
from accounts.services import avatars, profile, sign_in, sign_in_codes, tokens
from ops.api.pagination import page
from ops.api.parsers import FormParser, JSONParser, MultiPartParser
from ops.api.throttle import UploadThrottle
from ops.api.views import ApiView, OpenView
from ops.client_address import client_address
from ops.errors import NotFound, TooManyRequests
from ops.identifiers import find, read_identifier
from ops.services.pictures import in_turn

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
        wanted = self.body(serializers.ProfileInput)
        person = User.objects.get(pk=request.user.pk)
        profile.change(person=person, wanted=wanted)
        return Response(serializers.ProfileOutput(person).data)


class AvatarView(ApiView):
    """Give the person a picture."""

    parser_classes = (MultiPartParser, FormParser, JSONParser)
    throttle_classes = (*ApiView.throttle_classes, UploadThrottle)
    # Far over what an image may have, so that it is told apart by 5004.
    max_body_bytes = 64 * 1024 * 1024
    refusals = (ImageTooLarge, NotAnImage, ImageBroken)

    def initial(self, request, *args, **kwargs):
        try:
            super().initial(request, *args, **kwargs)
        except RequestDataTooBig:
            # A long text where the image should be: as one that is too large.
            raise ImageTooLarge from None

    @extend_schema(
        request={"multipart/form-data": serializers.AvatarInput},
        responses=serializers.AvatarOutput,
    )
    def post(self, request):
        image = self.body(serializers.AvatarInput)["image"]
        # Read in its turn, so that nothing of it stands in memory before. One byte more than is
        # taken is enough to tell that there are too many.
        content = in_turn(
            lambda: avatars.read_picture(image.read(largest_avatar() + 1)),
            owner_id=request.user.pk,
        )
        picture = avatars.store_picture(content, person_id=request.user.pk, name=image.name)
        avatars.change(person_id=request.user.pk, picture=picture)
        return Response(serializers.AvatarOutput(User(avatar=picture)).data)


class StatisticsView(ApiView):
    """What the person did so far."""

    @extend_schema(responses=serializers.StatisticsOutput)
    def get(self, request):
        statistics = profile.statistics(request.user)
        return Response(serializers.StatisticsOutput(statistics).data)


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


class DevicesView(ApiView):
    """Where the person is signed in, the newest sign-in first."""

    @extend_schema(responses=serializers.DeviceOutput(many=True))
    def get(self, request):
        devices = request.user.sessions.live(timezone.now())
        rows, following = page(request, devices.values(*serializers.COLUMNS_OF_DEVICES))
        return Response({"items": serializers.device_items(request, rows), "next": following})


class DeviceView(ApiView):
    """One of the devices where the person is signed in."""

    refusals = (NotFound,)

    @extend_schema(responses=None)
    def delete(self, request, session_id):
        """End the sign-in there: its tokens are refused, and its sockets close."""
        devices = request.user.sessions.live(timezone.now())
        device = find(devices, read_identifier(session_id))
        if device is None:
            raise NotFound
        sign_in.sign_out(device)
        return Response(None)
