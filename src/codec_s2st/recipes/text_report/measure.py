"""Loads models, whatever they are, and scores texts with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from fairseq2.recipe.config import ModelSection

from codec_s2st.data.text import TextTokenizer, load_text_tokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.file_hashes import sha256_of_file
from codec_s2st.model_cards import checkpoint_of, find_model_card, loadable_path
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.initial import find_initial_model
from codec_s2st.recipes.text_report.likelihood import TextScorer
from codec_s2st.recipes.text_report.report import ModelScores, TextReport
from codec_s2st.recipes.text_report.scores import OnText, Question, last_words, multiple_choice, plain_perplexity


@dataclass(frozen=True)
class TextModel:
    """A model that reads text."""

    label: str
    weights_hash: str | None
    model: CodecLM
    tokenizer: TextTokenizer

    knows_tags: bool
    """It has seen the tags of continued pre-training; a base LLM has not."""


def load_text_model(init: str, *, device: torch.device) -> TextModel:
    """Loads what ``--init`` of a training takes.

    :raises UserInputError: there is no such model, or no tokenizer belongs to it.
    """
    initial = find_initial_model(init, ModelSection())

    if initial.tokenizer is None:
        raise UserInputError(f"no text tokenizer belongs to model '{init}'", hint="name a model that has one")

    path = initial.path

    if path is None:
        path = loadable_path(checkpoint_of(find_model_card(init)))

    # The rows of speech, which a base LLM gets here, answer no question.
    config = replace(initial.config, decoder=initial.decoder)

    model = get_codec_lm_hub().load_custom_model(path, config, device=device).eval()

    return TextModel(
        label=Path(init).name if Path(init).is_dir() else init,
        weights_hash=sha256_of_file(path) if path.suffix == ".safetensors" and path.is_file() else None,
        model=model,
        tokenizer=load_text_tokenizer(initial.tokenizer),
        knows_tags=initial.vocabulary != "",
    )


def measure(
    models: Sequence[str],
    texts: Sequence[str],
    questions: Sequence[Question],
    *,
    files: Sequence[Path],
    language: str | None,
    device: torch.device,
    on_text: OnText = lambda: None,
) -> TextReport:
    """Scores every model on the same texts, one after the other.

    :param language: If given, models that know tags are scored with texts behind them, too.

    :raises UserInputError: a model cannot be loaded, or does not know the language.
    """
    scores: list[ModelScores] = []

    for name in models:
        loaded = load_text_model(name, device=device)

        scorers = [(False, TextScorer(loaded.model))]

        if language is not None and loaded.knows_tags:
            try:
                scorers.append((True, TextScorer(loaded.model, language=language)))
            except (KeyError, ValueError):
                raise UserInputError(f"model '{name}' has no tag of the language '{language}'") from None

        for tags, scorer in scorers:
            args = (scorer, loaded.tokenizer)

            scores.append(
                ModelScores(
                    model=loaded.label,
                    weights_hash=loaded.weights_hash,
                    tags=tags,
                    tokenizer=loaded.tokenizer.name,
                    tokenizer_hash=loaded.tokenizer.hash,
                    tokenizer_size=loaded.tokenizer.size,
                    plain=plain_perplexity(*args, texts, on_text=on_text) if texts else None,
                    last_words=last_words(*args, texts, on_text=on_text) if texts else None,
                    choices=multiple_choice(*args, questions, on_text=on_text) if questions else None,
                )
            )

    return TextReport(
        texts={str(file): sha256_of_file(file) for file in files}, language=language, models=tuple(scores)
    )
