"""How a view of the API reads and refuses. Every view of every app is one of these."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, override

from django.conf import settings
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ops.api.fields import NO_FIELD
from ops.api.idempotency import answer_once
from ops.errors import BodyTooLarge, DomainError, NotFound, Unreadable, ValidationFailed

_UNREAD = "\N{REPLACEMENT CHARACTER}"


class ApiView(APIView):
    """A view of the API. It refuses in the contract's order: sign-in, rate, permission, body."""

    max_body_bytes: ClassVar[int] = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    # Whether POST honours the Idempotency-Key; the API documents say so.
    honours_idempotency_key: ClassVar[bool] = False
    # What it may refuse with beside what every view of its kind, its guards and its shapes do; by
    # method where it has several. The API documents say so.
    refusals: ClassVar[
        tuple[type[DomainError], ...] | dict[str, tuple[type[DomainError], ...]]
    ] = ()

    @override
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.format_kwarg = None
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(
            request
        )
        self.perform_authentication(request)
        self.check_throttles(request)
        self.check_permissions(request)
        if request.method in {"POST", "PUT", "PATCH", "DELETE"}:
            self._read_body(request)

    def _read_body(self, request: Request) -> None:
        """Refuse a body that cannot be read before anything is looked up."""
        length = str(request.META.get("CONTENT_LENGTH") or 0)
        if not (length.isascii() and length.isdigit()):
            raise Unreadable
        if int(length) > self.max_body_bytes:
            raise BodyTooLarge
        request.data  # noqa: B018

    @override
    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        if _is_for_one_alone(request, response):
            response["Cache-Control"] = "no-store"
        else:
            # Who asks next may be somebody, and is not to get the answer for strangers.
            patch_vary_headers(response, ["Authorization"])
        return response

    def body(self, shape: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Read the body in this shape; raises what the shape's `refusals` name, else 1011."""
        return _read(shape, self.request.data)

    def query(self, shape: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Read the query string in this shape; raises 1011 naming the parameter."""
        # A plain mapping: of a form, which a QueryDict counts as, an empty field is left out.
        asked = self.request.query_params.dict()
        # What is no UTF-8 comes from Django with this character in the place of its bytes.
        if unreadable := [name for name, text in asked.items() if _UNREAD in text]:
            raise ValidationFailed({name: [_("This is no text in UTF-8.")] for name in unreadable})
        return _read(shape, asked)


class AnswerOnceView(ApiView):
    """A POST that spends, awards or creates: it has its effect once per Idempotency-Key.

    A view of this kind names the `shape` of the body (None: it has no body) and the `answer` that
    writes what `effect` returned; the API documents read both. A deployment that demands the key
    demands it where `may_demand_key`: by the contract, wherever something is spent or awarded.
    """

    honours_idempotency_key = True
    may_demand_key = True
    shape: ClassVar[type[serializers.Serializer[Any]] | None] = None
    answer: ClassVar[type[serializers.Serializer[Any]]]

    def post(self, request: Request, **_from_path: Any) -> Response:
        # Undocumented, so that the API documents show what the class says. The shape is read
        # first: it comes before the key in the contract's order.
        body = {} if self.shape is None else self.body(self.shape)
        effect = partial(self._written_answer, request, body)
        return answer_once(request, effect, may_demand_key=self.may_demand_key)

    def effect(self, request: Request, body: dict[str, Any]) -> Any:
        """Do what was asked for and return what the answer is written from.

        It runs in the transaction that commits the answer; what it raises takes all of it back.
        Every view of this kind has its own.
        """

    def _written_answer(self, request: Request, body: dict[str, Any]) -> Any:
        return self.answer(self.effect(request, body), context={"request": request}).data


class OpenView(ApiView):
    """Open to strangers; a token, when there is one, must still be good."""

    permission_classes = ()


def _is_for_one_alone(request: Request, response: Response) -> bool:
    """Whether nobody on the way may keep the answer: it is a person's, or it follows a deed.

    What signing in answers is the latter: tokens, for somebody who was a stranger until now.
    """
    is_of_a_deed = request.method not in SAFE_METHODS and response.status_code == HTTPStatus.OK
    return (
        is_of_a_deed
        or "Authorization" in request.headers
        or request.successful_authenticator is not None
    )


def _read(shape: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    errors: Mapping[str, Any] = {NO_FIELD: [_("The body has to be a JSON object.")]}
    if isinstance(data, Mapping):
        serializer = shape(data=data)
        if serializer.is_valid():
            return serializer.validated_data
        errors = serializer.errors
    refusals: Mapping[str, type[DomainError]] = getattr(shape, "refusals", {})
    for field, refusal in refusals.items():
        if field in errors:
            raise refusal
    raise ValidationFailed(_flat(errors))


def _flat(details: Any, prefix: str = "") -> dict[str, list[str]]:
    """Bring DRF's nested error details into `{"field": ["why", …]}`, with dotted paths."""
    flat: dict[str, list[str]] = {}
    for name, reasons in details.items():
        path = f"{prefix}{name}"
        if isinstance(reasons, Mapping):
            flat |= _flat(reasons, f"{path}.")
        elif any(isinstance(reason, Mapping) for reason in reasons):
            for index, nested in enumerate(reasons):
                if nested:
                    flat |= _flat(nested, f"{path}.{index}.")
        else:
            flat[path] = [str(reason) for reason in reasons]
    return flat


class UnknownPathView(OpenView):
    """Whatever is under /api/ and nothing else."""

    authentication_classes = ()
    schema = None

    @override
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound
