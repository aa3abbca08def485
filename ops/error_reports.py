"""The technical error page and error reports, without what nobody may read there."""

import re
from collections.abc import ItemsView, Mapping
from pprint import PrettyPrinter
from types import FrameType
from typing import Any, override

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from ops.masking import hides, mask

OF_THE_CLIENT = frozenset({"REMOTE_ADDR", "X_FORWARDED_FOR", "X_REAL_IP", "USER_AGENT"})


class ErrorReportFilter(SafeExceptionReporterFilter):
    """Hides what is called or looks sensitive, while DEBUG is on as well.

    A page is sent on as a picture or by copy and paste, and then it is read by anybody.
    """

    @override
    def cleanse_setting(self, key: Any, value: Any) -> Any:
        """A setting, a header, a cookie or a parameter, without what is sensitive."""
        name = re.sub(r"\AHTTP_", "", key) if isinstance(key, str) else ""
        if name in OF_THE_CLIENT or hides(name):
            return self.cleansed_substitute
        cleansed = super().cleanse_setting(key, value)
        return mask(cleansed) if isinstance(cleansed, str) else cleansed

    @override
    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        return self.safe_parameters(super().get_post_parameters(request))

    def safe_parameters(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a request, without what is sensitive."""
        return {name: self.cleanse_setting(name, value) for name, value in sent.items()}

    @override
    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: FrameType
    ) -> ItemsView[str, Any]:
        return {
            name: self.cleansed_substitute if hides(name) else _Shown(value)
            for name, value in super().get_traceback_frame_variables(request, tb_frame)
        }.items()


class ErrorReporter(ExceptionReporter):
    """Masks what Django's filter is not asked about: messages, the address, who was signed in."""

    filter: ErrorReportFilter

    @override
    def get_traceback_data(self) -> dict[str, Any]:
        data = super().get_traceback_data()
        for name in ("exception_value", "exception_notes", "unicode_hint"):
            if data.get(name):
                data[name] = mask(str(data[name]))
        if data["template_info"]:
            message = mask(str(data["template_info"]["message"]))
            data["template_info"] = {**data["template_info"], "message": message}
        if self.request is not None:
            request = self.request
            data["request_GET_items"] = self.filter.safe_parameters(request.GET).items()
            data["request_FILES_items"] = [(name, "…") for name in request.FILES]
            data["request_insecure_uri"] = mask(data["request_insecure_uri"])
            data["user_str"] = _who(request)
        return data

    @override
    def get_traceback_frames(self) -> list[dict[str, Any]]:
        frames = super().get_traceback_frames()
        for frame in frames:
            if frame["exc_cause"]:
                frame["exc_cause"] = mask(str(frame["exc_cause"]))
        return frames


def _who(request: HttpRequest) -> str:
    """Who was signed in, by number: names are nothing for a report."""
    try:
        return f"#{request.user.pk}"
    except Exception:  # noqa: BLE001  the database may be what failed
        return "?"


class _Shown:
    """A value that is printed, when its turn comes, without what is sensitive."""

    def __init__(self, value: Any) -> None:
        self.value = value

    @override
    def __repr__(self) -> str:
        try:
            return mask(_Printer().pformat(self.value))
        except Exception as error:  # noqa: BLE001  whatever a value raises when it is printed
            return f"<{type(self.value).__name__}: {type(error).__name__} while it was printed>"


class _Printer(PrettyPrinter):
    """Prints rows by their number: what they are called may be a person's name."""

    @override
    def format(self, value: Any, *rest: Any) -> tuple[str, bool, bool]:
        if isinstance(value, Model):
            return f"<{value._meta.label} {value.pk}>", False, False
        if isinstance(value, QuerySet):  # and no query for a page about what failed
            return f"<{type(value).__name__} of {value.model._meta.label}>", False, False
        return super().format(value, *rest)
