"""Runs a recipe through fairseq2's command line, with our exit codes and one line for an error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fairseq2.recipe.base import Recipe
from fairseq2.recipe.cli import main as fairseq2_main
from typing_extensions import override


def recipe_main(recipe: Recipe, argv: Sequence[str] | None = None) -> int:
    """Runs ``python -m codec_s2st.recipes.<name>`` and returns its exit code.

    :param argv: ``OUTPUT_DIR [--config-file F] [--config K=V ...] [--dump-config]``; by default the process's own.
    """
    from codec_s2st.explain import explain

    try:
        run_recipe(recipe, sys.argv[1:] if argv is None else argv)
    except SystemExit as ex:
        return ex.code if isinstance(ex.code, int) else 1
    except Exception as ex:
        error = explain(ex)

        print(f"{sys.argv[0]}: error: {error}", file=sys.stderr)

        return error.exit_code

    return 0


def run_recipe(recipe: Recipe, argv: Sequence[str]) -> None:
    """Runs a recipe; whatever goes wrong is raised, and its stack trace goes to the log file alone."""
    original_argv = sys.argv

    sys.argv = [original_argv[0], *argv, "--no-exit-on-error"]

    try:
        with _no_traces_on_console():
            fairseq2_main(recipe)
    finally:
        sys.argv = original_argv


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


@contextmanager
def _no_traces_on_console() -> Iterator[None]:
    logger = logging.getLogger("fairseq2")

    trace_filter = _TraceFilter()

    logger.addFilter(trace_filter)

    try:
        yield
    finally:
        logger.removeFilter(trace_filter)
