"""What fairseq2's log shows: no stack traces on the console, no secrets anywhere."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typing_extensions import override

from codec_s2st.redaction import Secrets


class _TraceFilter(logging.Filter):
    """Keeps records with a stack trace, which fairseq2 writes for every error, from all handlers but files."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info:
            return True

        for name in (record.name, None):
            for handler in logging.getLogger(name).handlers:
                if isinstance(handler, logging.FileHandler):
                    handler.handle(record)

        return False


class _SecretFilter(logging.Filter):
    """Strikes out the values of environment variables that are secrets by their names; fairseq2 logs all variables."""

    def __init__(self) -> None:
        super().__init__()

        self._secrets = Secrets.of()

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()

        if self._secrets.find(message) is not None:
            record.msg, record.args = self._secrets.strike(message), ()

        return True


@contextmanager
def quiet_console() -> Iterator[None]:
    """Filters fairseq2's log while a recipe runs."""
    logger = logging.getLogger("fairseq2")

    trace_filter = _TraceFilter()

    secret_filter = _SecretFilter()

    # First, since the other one writes to the log file itself.
    logger.addFilter(secret_filter)
    logger.addFilter(trace_filter)

    raises = logging.raiseExceptions

    # A log file that cannot be written, which would be a stack trace a line, is no news: the disk is full.
    logging.raiseExceptions = False

    show_warning = warnings.showwarning

    def show_other_warning(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        # What fairseq2 0.8.1 says of the model families that are its own.
        if not any(what in str(message) for what in ("`hg_exporter` is deprecated", "of `StandardModelFamily` are")):
            show_warning(message, *args, **kwargs)

    warnings.showwarning = show_other_warning

    try:
        yield
    finally:
        warnings.showwarning = show_warning

        logging.raiseExceptions = raises

        logger.removeFilter(trace_filter)
        logger.removeFilter(secret_filter)
