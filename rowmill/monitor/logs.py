"""Logs: one JSON object a line, with an allowlist of fields, so that no cell can slip into one."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_WORDS = """
    event level timestamp logger request_id method route status seconds org_id user_id upload_id job_id batch_id first_row
    last_row rows row line column code count kind lane claims attempts state old_state new_state payer account_id error_type
    error_at reason_code outcome ok not_found rejected failed bytes port host pid version verb target_type address data_dir
"""
ALLOWED_FIELDS = frozenset(_WORDS.split())


def keep_allowed(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop every field that is not on the list, and say how many went."""
    dropped = [key for key in event if key not in ALLOWED_FIELDS and not key.startswith("_")]
    for key in dropped:
        del event[key]
    if dropped:
        event["count"] = event.get("count", len(dropped))
    return event


def describe_exception(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep an exception's type and place, never its text: a database's errors carry rows."""
    info = event.pop("exc_info", None)
    if not info:
        return event
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error_type"] = type(error).__name__
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            event["error_at"] = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
    return event


def plain_message(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For other libraries' records keep the format string, not what was filled in."""
    record: logging.LogRecord | None = event.get("_record")
    if record is not None and not record.name.startswith("rowmill"):
        event["event"] = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        if record.exc_info and "exc_info" not in event:
            event["exc_info"] = record.exc_info
    return event


def configure(options: Mapping[str, Any]) -> None:
    """Set up structlog and the standard library's logging to write the same lines. Again: yes."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": shared,
        "processors": [
            plain_message,
            describe_exception,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            keep_allowed,
            structlog.processors.JSONRenderer(),
        ],
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": options.get("level", "INFO")},
            "loggers": {
                "django.server": {"level": "WARNING"},
                "django.request": {"level": "ERROR"},
                "asyncio": {"level": "WARNING"},
                "aiohttp": {"level": "WARNING"},
            },
        }
    )
