"""Codes by Aliyun (Dysmsapi 2017-05-25, SendSms), on Alibaba Cloud's own SDK."""

import json

from alibabacloud_dysmsapi20170525.client import Client
from alibabacloud_dysmsapi20170525.models import SendSmsRequest
from alibabacloud_tea_openapi.exceptions import ClientException, ThrottlingException
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.runtime import RuntimeOptions
from django.conf import settings

from accounts.sms import NotTaken
from accounts.sms.answers import NoAnswer, never_left

CONNECT_MS, READ_MS = 1000, 2000  # whoever asks waits no longer


class AliyunSender:
    """Hands codes to Aliyun: a signature and a template that were approved there, with `code`."""

    provider = "aliyun"

    def send_code(self, *, phone: str, code: str) -> None:
        """Send it; NotTaken where Aliyun says no, or is not reached. No error shows the code."""
        request = SendSmsRequest(
            phone_numbers=phone.removeprefix("+"),
            sign_name=settings.SMS_ALIYUN_SIGN_NAME,
            template_code=settings.SMS_ALIYUN_TEMPLATE,
            template_param=json.dumps({"code": code}),
        )
        said, failure = "", None
        try:
            answer = _client().send_sms_with_options(request, RuntimeOptions(autoretry=False))
            said = answer.body.code
        except (ClientException, ThrottlingException) as refusal:
            said = refusal.code
        except Exception as error:  # noqa: BLE001  it says the phone and the code: outside of here
            failure = (type(error).__name__, never_left(error))
        if failure:
            name, is_away = failure
            raise (NotTaken if is_away else NoAnswer)(f"Aliyun could not be asked: {name}")
        if not said or not isinstance(said, str):
            raise NoAnswer("Aliyun answered without a code of its own.")
        if said != "OK":
            raise NotTaken(f"Aliyun says {said}.")


def _client() -> Client:
    scheme, _sign, host = settings.SMS_ALIYUN_ENDPOINT.partition("://")
    return Client(
        Config(
            access_key_id=str(settings.SMS_ALIYUN_ACCESS_KEY_ID),
            access_key_secret=str(settings.SMS_ALIYUN_ACCESS_KEY_SECRET),
            endpoint=host,
            protocol=scheme,
            connect_timeout=CONNECT_MS,
            read_timeout=READ_MS,
        )
    )
