"""Runs a recipe through fairseq2's command line, with our exit codes and one line for an error."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from codec_s2st.errors import STOPPED_EXIT_CODE, CodecS2STError, StoppedError
from codec_s2st.explain import causes_of, explain
from codec_s2st.recipes.common.arguments import check_arguments
from codec_s2st.recipes.common.locks import lock_scope
from codec_s2st.recipes.common.logs import quiet_console
from codec_s2st.recipes.common.stopping import ignore_stop_signals, stop_signals

if TYPE_CHECKING:
    from fairseq2.recipe.base import Recipe


def stoppable_main(name: str) -> int:
    """Runs a recipe that stops when it is asked to, as the main program, and returns its exit code.

    The signals are heard from here on: what is imported next takes seconds.
    """
    from codec_s2st.recipes.common.command import make_recipe

    with stop_signals():
        code = recipe_main(make_recipe(name))

    if code == STOPPED_EXIT_CODE:
        ignore_stop_signals()

    return code


def recipe_main(recipe: Recipe, argv: Sequence[str] | None = None) -> int:
    """Runs ``python -m codec_s2st.recipes.<name>`` and returns its exit code.

    :param argv: ``OUTPUT_DIR [--config-file F] [--config K=V ...] [--dump-config]``; by default the process's own.
    """
    try:
        run_recipe(recipe, sys.argv[1:] if argv is None else argv)
    except SystemExit as ex:
        return ex.code if isinstance(ex.code, int) else 1
    except StoppedError as ex:
        print(f"{sys.argv[0]}: {ex}", file=sys.stderr)

        return ex.exit_code
    except KeyboardInterrupt:
        print(f"{sys.argv[0]}: error: interrupted (the same command again goes on with the run)", file=sys.stderr)

        return 130
    except Exception as ex:
        error = explain(ex)

        print(f"{sys.argv[0]}: error: {error}", file=sys.stderr)

        return error.exit_code

    return 0


def run_recipe(recipe: Recipe, argv: Sequence[str]) -> None:
    """Runs a recipe; whatever goes wrong is raised, and its stack trace goes to the log file alone."""
    from fairseq2.recipe.cli import main as fairseq2_main

    original_argv = sys.argv

    out = check_arguments(f"python -m {type(recipe).__module__.rpartition('.')[0]}", argv)

    sys.argv = [original_argv[0], *argv, "--no-exit-on-error"]

    try:
        with lock_scope(), quiet_console():
            fairseq2_main(recipe)
    except Exception as ex:
        # Of a full disk, Python says neither file nor folder.
        cause = next((cause for cause in causes_of(ex) if isinstance(cause, OSError | CodecS2STError)), None)

        if not isinstance(cause, OSError) or cause.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise

        place = cause.filename or out

        raise CodecS2STError(f"{place} cannot be written: {cause.strerror}", hint="make room, and run it again") from ex
    finally:
        sys.argv = original_argv
