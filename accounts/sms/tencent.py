"""Codes by Tencent Cloud (sms 2021-01-11, SendSms), on Tencent Cloud's own SDK."""

from django.conf import settings
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sms.v20210111.models import SendSmsRequest
from tencentcloud.sms.v20210111.sms_client import SmsClient

from accounts.sms import NotTaken
from accounts.sms.answers import NoAnswer, never_left

SECONDS = 2.0  # for each read; whoever asks waits no longer
MAINLAND = "+86"
# How Tencent begins to say no. Its own troubles, and those of the SDK, do not say what was sent.
REFUSED = (
    "AuthFailure", "FailedOperation", "InvalidParameter", "LimitExceeded", "MissingParameter",
    "RequestLimitExceeded", "ResourceInsufficient", "UnauthorizedOperation", "UnsupportedOperation",
)  # fmt: skip
UNSURE = "FailedOperation.OtherError"


class TencentSender:
    """Hands codes to Tencent Cloud: an application, a signature and a template approved there."""

    provider = "tencent"

    def send_code(self, *, phone: str, code: str) -> None:
        """Send it; NotTaken where Tencent says no, or is not reached. No error shows the code."""
        request = SendSmsRequest()
        request.PhoneNumberSet = [phone if phone.startswith("+") else f"{MAINLAND}{phone}"]
        request.SmsSdkAppId = settings.SMS_TENCENT_APP_ID
        request.SignName = settings.SMS_TENCENT_SIGN_NAME
        request.TemplateId = settings.SMS_TENCENT_TEMPLATE
        minutes = settings.SMS_CODE_LIFETIME.total_seconds() / 60
        values = {"code": code, "minutes": f"{minutes:.0f}"}
        request.TemplateParamSet = [values[name] for name in settings.SMS_TENCENT_PARAMETERS]
        said: object = ""
        is_away = False
        try:
            statuses = _client().SendSms(request).SendStatusSet
            said = statuses[0].Code if statuses else ""
        except TencentCloudSDKException as refusal:
            said, is_away = refusal.code, never_left(refusal)
        if said == "Ok":
            return
        if is_away:
            raise NotTaken("Tencent Cloud was not reached.")
        if isinstance(said, str) and said.startswith(REFUSED) and said != UNSURE:
            raise NotTaken(f"Tencent Cloud says {said}.")
        raise NoAnswer(f"Tencent Cloud could not be asked, or did not say: {said}")


def _client() -> SmsClient:
    scheme, _sign, host = settings.SMS_TENCENT_ENDPOINT.partition("://")
    profile = ClientProfile(
        httpProfile=HttpProfile(protocol=scheme, endpoint=host, reqTimeout=SECONDS)
    )
    credential = Credential(
        str(settings.SMS_TENCENT_SECRET_ID), str(settings.SMS_TENCENT_SECRET_KEY)
    )
    return SmsClient(credential, settings.SMS_TENCENT_REGION, profile)
