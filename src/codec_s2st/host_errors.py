"""Turns fairseq2's errors into ours: whose fault it is, which file, card or key, and what to do next."""

from __future__ import annotations

import re
import sys
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Final

from codec_s2st.cards import read_cards, well_known_dirs
from codec_s2st.errors import CodecS2STError, DivergedError, UserInputError, unknown_name
from codec_s2st.share import CARD_PREFIX, assets_dir

_UNKNOWN_CARD: Final = frozenset(
    {"AssetNotFoundError", "DatasetNotKnownError", "ModelNotKnownError", "TokenizerNotKnownError"}
)

_DIVERGED: Final = frozenset({"InconsistentGradNormError", "MinimumLossScaleReachedError", "SequenceGenerationError"})

_USER: Final = frozenset(
    {
        "AssetCardError",
        "ConfigDirectiveError",
        "GangTopologyError",
        "HSDPTopologyError",
        "RecipeError",
        "UriFormatError",
        "ValidationError",
    }
)

_USER_SUFFIXES: Final = ("GatedError", "NotFoundError", "NotKnownError", "NotSupportedError", "NotValidError")

_KEY_PATTERN: Final = re.compile(r"`(\w+)` field cannot be structured")

_EXTRA_KEYS_PATTERN: Final = re.compile(r"fields of `<class '([\w.]+)'>`, but it contains extra key\(s\) ([\w, ]+)")


def explain_host_error(ex: BaseException, causes: list[BaseException]) -> CodecS2STError | None:
    """Returns our error for an exception of fairseq2's.

    :param causes: the causes of ``ex``, the nearest first.
    :returns: ``None`` if the class says nothing about whose fault it is.
    """
    name = type(ex).__name__

    if any(type(cause).__name__ == "ModelCheckpointMismatchError" for cause in causes):
        # Most often a file was changed, or belongs to another card.
        return UserInputError(_shorten(_join(ex, causes)), hint="fetch the checkpoint and its card again, together")

    if name == "CorruptModelCheckpointError":
        # torch's words advise to read pickles.
        return CodecS2STError(
            f"{getattr(ex, 'path', 'a checkpoint')} is damaged, cut short, or holds more than tensors",
            hint="use another checkpoint; of a run, publish takes --step N",
        )

    if name == "RecipeConfigParseError":
        return _explain_config_error(ex, causes)

    if name in _UNKNOWN_CARD:
        return _explain_unknown_card(str(getattr(ex, "name", ex)))

    if name in _DIVERGED or name.endswith("GradNormError"):
        return DivergedError(_join(ex, causes))

    if name in _USER or name.endswith(_USER_SUFFIXES):
        return UserInputError(_join(ex, causes))

    if name in ("CheckpointError", "DataReadError", "DatasetError", "GangError"):
        return CodecS2STError(_join(ex, causes))

    return None


def _explain_config_error(ex: BaseException, causes: list[BaseException]) -> CodecS2STError:
    keys: list[str] = []

    for cause in causes:
        text = str(cause)

        if match := _KEY_PATTERN.search(text):
            keys.append(match.group(1))

        if match := _EXTRA_KEYS_PATTERN.search(text):
            extra = [key.strip() for key in match.group(2).split(",")]

            names = ", ".join(".".join([*keys, key]) for key in extra)

            nearest = get_close_matches(extra[0], _field_names(match.group(1)), n=1)

            advice = f": did you mean '{'.'.join([*keys, nearest[0]])}'?" if nearest else ""

            return UserInputError(
                f"config key '{names}' does not exist{advice}", hint="--dump-config prints all keys there are"
            )

    if not keys and causes and "collections.abc.Mapping" in str(causes[-1]):
        return UserInputError("the configuration must be a mapping of keys to values")

    if keys:
        return UserInputError(f"config key '{'.'.join(keys)}' has a wrong value: {causes[-1]}")

    return UserInputError(_join(ex, causes))


def _field_names(kls_name: str) -> list[str]:
    """Returns the fields of a configuration, whose module has been imported by who complains about it."""
    module_name, _, name = kls_name.rpartition(".")

    kls = getattr(sys.modules.get(module_name), name, None)

    return [field.name for field in fields(kls)] if isinstance(kls, type) and is_dataclass(kls) else []


def _explain_unknown_card(name: str) -> CodecS2STError:
    known = [card.name for folder in (assets_dir(), *well_known_dirs()) for card in read_cards(folder)]

    hint = "see: codec-s2st ls --kind cards"

    # Who leaves out our prefix is looking for one of ours.
    if not name.startswith(CARD_PREFIX):
        known = [card.removeprefix(CARD_PREFIX) for card in known]

    return unknown_name("asset card", name, known, hint=hint)


def _shorten(message: str) -> str:
    """A checkpoint of another model can lack thousands of keys; the first ones say enough."""
    return message if len(message) <= 400 else f"{message[:400]}…"


def _join(ex: BaseException, causes: list[BaseException]) -> str:
    """Returns the messages of ``ex`` and of what caused it, each once."""
    messages = [str(error).strip() for error in (ex, *causes)]

    return ": ".join(message.rstrip(".") for message in dict.fromkeys(messages) if message)
