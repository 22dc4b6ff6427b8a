"""Logs are facts, on standard error: JSON for machines, colour for people."""

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog

from app.config import LogFormat

# What must never stand in a log, whoever forgot: tokens, bank accounts, personal numbers, addresses
# with a password.
SECRET: Final = re.compile(
    r"aq_[A-Za-z0-9_-]{8,}|\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b|\b\d{12}\b|(?<=://)[^/@\s]+:[^/@\s]+(?=@)"
)


def censor(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Replace what looks like a secret or a person's number in every text of an event."""
    for name, value in event.items():
        if isinstance(value, str) and name != "timestamp":
            event[name] = SECRET.sub("[hidden]", value)
    return event


def configure(log_format: LogFormat, *, level: int = logging.INFO) -> None:
    """Set up logging for this process; ``auto`` means colour on a terminal and JSON elsewhere."""
    people = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    # A traceback without the values of variables: they may be somebody's data.
    renderer: Any = (
        structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback
        )
        if people
        else structlog.processors.JSONRenderer()
    )
    middle = [] if people else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *middle,
            censor,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Asked anew each time: a test or a wrapper may have put another stream there.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries: only what somebody must act on.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
