"""The text log: for people and the journal; the event log is the record."""

import logging
from typing import TextIO

import structlog


def set_up_logs(stream: TextIO) -> None:
    """One JSON object a line, or coloured text when a person is looking."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    )
    traceback = () if stream.isatty() else (structlog.processors.format_exc_info,)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *traceback,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard library; only what is wrong with them matters here.
    logging.basicConfig(stream=stream, level=logging.ERROR, format="%(name)s: %(message)s")
