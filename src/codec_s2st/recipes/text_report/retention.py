"""How much a model that is being trained still knows of text, measured at validations."""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Final, final

import fairseq2.recipe  # noqa: F401  (first: fairseq2's modules import each other in a circle)
from fairseq2.evaluator import EvalUnit
from fairseq2.gang import Gang
from fairseq2.metrics import Mean, MetricBag
from typing_extensions import override

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.monitoring.schedule import NoBatch
from codec_s2st.recipes.common.sections import TextRetentionSection
from codec_s2st.recipes.common.unit import MeanOrNothing
from codec_s2st.recipes.text_report.figures import ALONE, BEHIND_TAGS, FIGURES, UNIT
from codec_s2st.recipes.text_report.likelihood import TextScorer, Tokenizer
from codec_s2st.recipes.text_report.report import read_questions, read_texts
from codec_s2st.recipes.text_report.scores import Question, exp, last_words, multiple_choice, plain_perplexity

# Means of them are means of their logarithms.
_PERPLEXITIES: Final = ("perplexity", "last_word_perplexity")


@dataclass(frozen=True)
class TextItems:
    texts: list[str] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def of_rank(self, rank: int, size: int) -> TextItems:
        return TextItems(self.texts[rank::size], self.questions[rank::size])


def read_items(section: TextRetentionSection) -> TextItems:
    """
    :raises UserInputError: a file cannot be read, or holds nothing.
    """
    texts = [] if section.texts is None else read_texts(section.texts)

    questions = [] if section.choices is None else read_questions(section.choices)

    return TextItems(texts[: section.max_items], questions[: section.max_items])


@final
class TextRetentionUnit(EvalUnit[NoBatch]):
    """Scores the model with the functions of ``codec-s2st text-report``. Each rank does its share of the items."""

    def __init__(
        self,
        model: CodecLM,
        tokenizer: Tokenizer,
        items: TextItems,
        gang: Gang,
        *,
        language: str | None,
        is_due: Callable[[int], bool],
    ) -> None:
        """
        :param model: As it is within the data parallel model.
        :param gang: Of data parallelism.
        :param language: If given, texts are scored behind tags too, in this language.
        :param is_due: Whether to score after a step.

        :raises UserInputError: the model has no tag of the language.
        """
        self._tokenizer = tokenizer
        self._items = items.of_rank(gang.rank, gang.size)
        self._is_due = is_due

        self._scorers = {ALONE: TextScorer(model)}

        if language is not None:
            try:
                self._scorers[BEHIND_TAGS] = TextScorer(model, language=language)
            except (KeyError, ValueError):
                raise UserInputError(f"`text_retention.language` is '{language}', which has no tag") from None

        self._step = 0

    @override
    def prepare_metric_bag(self, metric_bag: MetricBag) -> None:
        for way in self._scorers:
            for figure in FIGURES:
                metric_bag.add(f"{way}/{figure}", MeanOrNothing())

    @override
    def set_train_step_nr(self, step_nr: int) -> None:
        self._step = step_nr

    @override
    def process_batch(self, batch: NoBatch, metric_bag: MetricBag) -> None:
        raise AssertionError("There are no batches.")

    @override
    def finalize(self, metric_bag: MetricBag) -> None:
        if not self._is_due(self._step):
            return

        for way, scorer in self._scorers.items():
            for figure, value, weight in self._score(scorer):
                metric_bag.get(f"{way}/{figure}", Mean).update(value, weight=weight)

    def _score(self, scorer: TextScorer) -> list[tuple[str, float, float]]:
        """Returns the means of this rank's items, with their weights: of perplexities, the logarithms."""
        output = []

        args = (scorer, self._tokenizer)

        if self._items.texts:
            plain = plain_perplexity(*args, self._items.texts)

            if plain.num_ids:
                nats = sum(plain.text_nats)

                num_bytes = nats / math.log(2) / plain.bits_per_byte if nats else 1.0

                output += [
                    ("perplexity", math.log(plain.perplexity), plain.num_ids),
                    ("bits_per_byte", plain.bits_per_byte, num_bytes),
                ]

            words = last_words(*args, self._items.texts)

            if words.num_texts:
                output += [
                    ("last_word_accuracy", words.accuracy, words.num_texts),
                    ("last_word_perplexity", math.log(words.perplexity), words.num_texts),
                ]

        if self._items.questions:
            choices = multiple_choice(*args, self._items.questions)

            output += [
                ("choice_accuracy", choices.accuracy, choices.num_questions),
                ("choice_accuracy_norm", choices.accuracy_norm, choices.num_questions),
            ]

        return output

    @override
    def process_metric_values(self, values: MutableMapping[str, object]) -> None:
        for way in self._scorers:
            for figure in FIGURES:
                value = float(values.pop(f"{way}/{figure}"))  # type: ignore[arg-type]

                if not math.isnan(value):
                    values[f"{way}/{figure}"] = exp(value) if figure in _PERPLEXITIES else value

    @property
    @override
    def name(self) -> str:
        return UNIT
