"""The names of what is measured of texts while a model is trained."""

from __future__ import annotations

from typing import Final

UNIT: Final = "text_retention"
"""The unit of the validation, and the name of its file of metrics."""

ALONE: Final = "text"
"""Texts stand alone, as the base LLM has read them."""

BEHIND_TAGS: Final = "text_behind_tags"
"""Texts stand behind the tags of continued pre-training."""

FIGURES: Final = (
    "perplexity",
    "bits_per_byte",
    "last_word_accuracy",
    "last_word_perplexity",
    "choice_accuracy",
    "choice_accuracy_norm",
)


def figure_names() -> list[str]:
    """Returns the names of all that can be published."""
    return [f"{way}/{figure}" for way in (ALONE, BEHIND_TAGS) for figure in FIGURES]
