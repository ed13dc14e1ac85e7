"""Imports what is needed of transformers, when it is needed."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any, Final

from codec_s2st.errors import CodecS2STError, UserInputError, unknown_name

REQUIREMENT: Final = "transformers>=4.57,<5"


def import_from_transformers(*names: str) -> tuple[Any, ...]:
    """Returns the classes ``names`` of transformers.

    :raises CodecS2STError: transformers is not installed, or too old for one of them.
    """
    hint = f"pip install '{REQUIREMENT}'"

    try:
        transformers = import_module("transformers")
    except ImportError as ex:
        raise CodecS2STError(f"codecs of the family 'hg' need transformers: {ex}", hint=hint) from ex

    try:
        return tuple(getattr(transformers, name) for name in names)
    except (AttributeError, ImportError) as ex:
        version = getattr(transformers, "__version__", "of an unknown version")

        raise CodecS2STError(f"transformers {version} has no {' or '.join(names)}", hint=hint) from ex


def make_config(kls: Any, arguments: Mapping[str, object], *, extra: Collection[str] = ()) -> Any:
    """Makes a configuration of transformers.

    :param extra: Names of attributes that are no parameters of ``kls``, but may be set.
    :raises UserInputError: an argument is unknown, which transformers would take without a word, or a value is refused.
    """
    known = [name for name in inspect.signature(kls.__init__).parameters if name not in ("self", "kwargs")]

    known += extra

    for name in arguments:
        if name not in known:
            raise unknown_name(f"key of `network` (transformers' {kls.__name__})", name, known)

    try:
        return kls(**arguments)
    except (TypeError, ValueError) as ex:
        raise UserInputError(f"`network` of the codec cannot be used: {ex}") from ex
