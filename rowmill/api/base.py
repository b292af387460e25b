"""What every address of the API shares: the caller's org, JSON whatever a client accepts, bodies with a limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from rowmill.models import Job
from rowmill.orgs import Caller, fetch, own


class OneFormat(BaseContentNegotiation):
    """Answers in the view's own format: `Accept: text/csv` on the results must not be a 406."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Choose by Content-Type; None is a 415."""
        kind = (request.content_type or "").split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Give the view's first."""
        first = next(iter(renderers))
        return first, str(first.media_type)


class SmallJSON(JSONParser):
    """Reads JSON up to `DATA_UPLOAD_MAX_MEMORY_SIZE` bytes: the framework itself knows no limit."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Raises: RequestDataTooBig, ParseError."""
        request = (parser_context or {}).get("request")
        length = int(request.META.get("CONTENT_LENGTH") or 0) if request is not None else 0
        if length > (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0):
            raise RequestDataTooBig
        return super().parse(stream, media_type, parser_context)


class OrgView(APIView):
    """An address inside the caller's org."""

    content_negotiation_class = OneFormat
    parser_classes: Sequence[type[BaseParser]] = (SmallJSON,)

    @property
    def caller(self) -> Caller:
        """Give the caller that the permission found."""
        found: Caller = self.request.caller  # type: ignore[attr-defined]
        return found

    def fetch_job(self, public_id: object) -> Job:
        """Give one job of the caller's org that was not deleted. Raises: NotFound."""
        jobs = own(self.caller, Job).filter(deleted_at=None)
        jobs = jobs.select_related("org", "upload", "created_by", "cancelled_by")
        return fetch(self.caller, jobs, str(public_id))


@extend_schema(exclude=True)
class NoSuchAddress(OrgView):
    """Whatever lies under /api/ and is no address: 404 in the API's own shape."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Raises: NotFound for any method, once the caller is known."""
        super().initial(request, *args, **kwargs)
        hint = "" if request.path.endswith("/") else " Addresses of the API end in a slash."
        raise NotFound("There is no such address." + hint)
