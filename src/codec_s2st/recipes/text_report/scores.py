"""From texts to perplexity, last words and choices: how much of a textual LLM is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from codec_s2st.recipes.text_report.likelihood import Request, TextScorer, Tokenizer

OnText = Callable[[], None]


class Perplexity(NamedTuple):
    """Of plain texts."""

    perplexity: float
    """Of an id, which depends on the tokenizer."""

    bits_per_byte: float
    """Of the texts' UTF-8, the same for all tokenizers but for the first id of each text, which is not scored."""

    num_texts: int
    num_ids: int
    num_cut: int
    """Texts of which the beginning alone was scored, as the model knows no later positions."""

    text_nats: tuple[float, ...] = ()
    """Minus the log-probability of each text, for tests of two models on the same texts."""

    text_ids: tuple[int, ...] = ()
    """How many ids of each were scored."""


class LastWords(NamedTuple):
    """Of the last word of a text, as in LAMBADA."""

    accuracy: float
    """The share of texts whose last word is the most likely one, id by id."""

    perplexity: float
    """Of a last word."""

    num_texts: int


class Choices(NamedTuple):
    """Of questions with several answers."""

    accuracy: float
    """The share of questions whose right answer is the most likely one."""

    accuracy_norm: float
    """The same, where likelihood is a mean over the bytes of the answer."""

    num_questions: int
    chance: float
    """What guessing reaches."""


@dataclass(frozen=True)
class Question:
    context: str

    choices: tuple[str, ...]
    """What may follow; the blank before each is its own."""

    answer: int
    """The right one, from 0."""


def exp(value: float) -> float:
    """Returns e to the ``value``, infinity where that is more than a float can hold, as of a model that is broken."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def plain_perplexity(
    scorer: TextScorer, tokenizer: Tokenizer, texts: Sequence[str], *, on_text: OnText = lambda: None
) -> Perplexity:
    """Scores each text by itself. The first id is scored where tags stand before it, and else nothing is before it."""
    requests, num_bytes, num_cut = [], 0, 0

    begin = 1 if scorer.needs_context else 0

    for text in texts:
        ids = tokenizer.encode(text)

        num_bytes_of_text = len(text.encode())

        if len(ids) > scorer.max_text_len:
            num_bytes_of_text = round(num_bytes_of_text * scorer.max_text_len / len(ids))

            ids, num_cut = ids[: scorer.max_text_len], num_cut + 1

        if len(ids) > begin:
            requests.append(Request(ids[:begin], ids[begin:]))

            num_bytes += num_bytes_of_text

    text_nats, text_ids = [], []

    for likelihood in scorer.score(requests):
        text_nats.append(-likelihood.log_probability)

        text_ids.append(likelihood.num_ids)

        on_text()

    nats, num_ids = sum(text_nats), sum(text_ids)

    if not num_ids:
        return Perplexity(math.nan, math.nan, 0, 0, 0)

    return Perplexity(
        perplexity=exp(nats / num_ids),
        bits_per_byte=nats / math.log(2) / num_bytes,
        num_texts=len(requests),
        num_ids=num_ids,
        num_cut=num_cut,
        text_nats=tuple(text_nats),
        text_ids=tuple(text_ids),
    )


def last_words(
    scorer: TextScorer, tokenizer: Tokenizer, texts: Sequence[str], *, on_text: OnText = lambda: None
) -> LastWords:
    """Scores the last word of each text of two words or more, after all that stands before it."""
    requests = []

    for text in texts:
        context, blank, word = text.rstrip().rpartition(" ")

        if context.strip():
            requests.append(split(scorer, tokenizer, context, blank + word))

    nats, num_right = 0.0, 0

    for likelihood in scorer.score(requests):
        nats -= likelihood.log_probability

        num_right += likelihood.is_greedy

        on_text()

    num = len(requests)

    return LastWords(num_right / num, exp(nats / num), num) if num else LastWords(math.nan, math.nan, 0)


def multiple_choice(
    scorer: TextScorer, tokenizer: Tokenizer, questions: Sequence[Question], *, on_text: OnText = lambda: None
) -> Choices:
    """Chooses the most likely answer of each question, as the lm-evaluation-harness does (``acc``, ``acc_norm``)."""
    requests = [
        split(scorer, tokenizer, question.context, choice) for question in questions for choice in question.choices
    ]

    likelihoods = scorer.score(requests)

    num_right = num_right_norm = 0

    chance = 0.0

    for question in questions:
        sums = [next(likelihoods).log_probability for _ in question.choices]

        means = [sum_ / len(choice.encode()) for sum_, choice in zip(sums, question.choices, strict=True)]

        num_right += max(range(len(sums)), key=sums.__getitem__) == question.answer
        num_right_norm += max(range(len(means)), key=means.__getitem__) == question.answer

        chance += 1 / len(question.choices)

        on_text()

    num = len(questions)

    if not num:
        return Choices(math.nan, math.nan, 0, math.nan)

    return Choices(num_right / num, num_right_norm / num, num, chance / num)


def split(scorer: TextScorer, tokenizer: Tokenizer, context: str, continuation: str) -> Request:
    """Returns the ids of a text, parted where ``continuation`` begins; of a long one, the last ones.

    As the lm-evaluation-harness does it: an id that stands for the end of one and the beginning of the other belongs to
    the second, and blanks at the end of the context do so too.
    """
    num_blanks = len(context) - len(context.rstrip())

    if num_blanks:
        context, continuation = context[:-num_blanks], context[-num_blanks:] + continuation

    whole, first = tokenizer.encode(context + continuation), tokenizer.encode(context)

    least = 1 if scorer.needs_context else 0

    skipped = max(0, len(whole) - scorer.max_text_len)

    # At least one id is scored, and where there are no tags, one stands before it.
    begin = max(min(len(first), len(whole) - 1), skipped + least)

    return Request(whole[skipped:begin], whole[begin:])
