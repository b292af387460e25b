"""Errors in one shape: RFC 9457 problem details with a stable code."""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response
from rest_framework.views import exception_handler


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an error into a problem."""
    return exception_handler(error, context)
