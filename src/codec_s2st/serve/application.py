"""What the server serves: models, limits, and the queue of what they are asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.explain import explain
from codec_s2st.serve.jobs import JobQueue, Result
from codec_s2st.serve.requests import MAX_TEXT_CHARS, read_request
from codec_s2st.serve.results import compute, describe_model
from codec_s2st.translator import SpeechTranslator

_JSON_BYTES: Final = 1 << 16
"""What a request has besides recordings."""


@dataclass(frozen=True, kw_only=True)
class Application:
    """Everything that the server is asked for but its files."""

    about: Mapping[str, Any]
    """What the page must know: models and limits."""

    prepare: Callable[[object], Callable[[], Result]]
    """Maps the JSON of a request to its work; raises :class:`UserInputError` if it cannot be used."""

    jobs: JobQueue

    max_bytes: int
    """The largest request."""


def make_application(
    translators: Sequence[SpeechTranslator], *, max_seconds: float, max_mb: float, max_jobs: int
) -> Application:
    """
    :param max_seconds: The longest recording.
    :param max_mb: How large the recordings of a request may be, in MB.
    :param max_jobs: How many may wait, the one that is computed included.

    :raises UserInputError: two models have one name, or one can do nothing that the page could ask for.
    """
    known = {translator.name: translator for translator in translators}

    if len(known) < len(translators):
        raise UserInputError("two models have one name", hint="name each once")

    models = [describe_model(translator) for translator in translators]

    for model in models:
        if not model["tasks"]:
            raise UserInputError(f"model '{model['name']}' has no task that starts from speech or from text alone")

    max_bytes = int(max_mb * 1e6)

    return Application(
        about={
            "models": models,
            "max_seconds": max_seconds,
            "max_bytes": max_bytes,
            "max_text_chars": MAX_TEXT_CHARS,
        },
        prepare=lambda content: partial(compute, read_request(content, known, max_seconds=max_seconds)),
        jobs=JobQueue(max_jobs=max_jobs, explain=explain_failure),
        # Base64 makes four characters of three bytes.
        max_bytes=max_bytes * 4 // 3 + _JSON_BYTES,
    )


def explain_failure(ex: Exception) -> str:
    """Returns what the page is told of an exception; what nobody has foreseen is written to stderr as well."""
    if isinstance(ex, CodecS2STError):
        return str(ex)

    error = explain(ex)

    print(f"codec-s2st: error: {error}", file=sys.stderr, flush=True)

    return str(error)
