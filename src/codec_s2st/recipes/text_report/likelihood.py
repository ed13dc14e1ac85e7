"""How likely a model finds texts. Legend: B batch, S step, N text length, Q stream, V vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, final

import torch
from torch import Tensor

from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder
from codec_s2st.tokens.vocabulary import language_tag, task_tag

MAX_BATCH_STEPS: Final = 8_192
"""Of the steps of a batch, padding included, where it holds more than one text."""

_TASK: Final = "text_lm"


class Tokenizer(Protocol):
    """What is needed of a text tokenizer."""

    def encode(self, text: str) -> Tensor:
        """Returns the ids of a text [N], without specials."""


@dataclass(frozen=True)
class Request:
    """A text whose end is to be scored."""

    context: Tensor
    """What stands before it. *Shape:* [N], ids of text."""

    continuation: Tensor
    """What is scored; at least one id. *Shape:* [N], ids of text."""


@dataclass(frozen=True)
class Likelihood:
    """How likely a continuation is, in nats."""

    log_probability: float
    """The sum over its ids."""

    is_greedy: bool
    """Each of its ids is the most likely one."""

    num_ids: int


@final
class TextScorer:
    """Scores texts with a codec_lm model, by its rows of text alone: speech is no answer to a question of text."""

    def __init__(self, model: CodecLM, *, language: str | None = None) -> None:
        """
        :param language: If given, texts stand behind the tags that text has in continued pre-training: the task, the
            language (ISO 639-3) and the beginning of a text. Else they stand alone, as the base LLM has read them.
        """
        self._model = model

        self._device = next(model.parameters()).device

        self._tags: list[int] | None = None

        if language is not None:
            self._tags = [model.vocabulary.special(tag) for tag in (task_tag(_TASK), language_tag(language))]

    @property
    def max_text_len(self) -> int:
        """The largest number of ids that a text may have."""
        return self._model.max_seq_len - (0 if self._tags is None else len(self._tags) + 1)

    @property
    def needs_context(self) -> bool:
        """Whether the first id of a text cannot be scored, as nothing stands before it."""
        return self._tags is None

    @torch.inference_mode()
    def score(self, requests: Sequence[Request]) -> Iterator[Likelihood]:
        """Yields the likelihood of each continuation, in order.

        :raises ValueError: a text is empty, too long, or has nothing before what is scored.
        """
        for batch in _batches([self._lay_out(request) for request in requests], MAX_BATCH_STEPS):
            lens = [len(ids) for ids, _ in batch]

            steps = torch.full((len(batch), max(lens), self._model.vocabulary.num_streams), self._model.vocabulary.pad)

            for row, (ids, _) in enumerate(batch):
                steps[row, : len(ids), 0] = ids

            # (B, S, D)
            hidden = self._model(steps.to(self._device)).hidden

            for row, (ids, num_scored) in enumerate(batch):
                targets = ids[len(ids) - num_scored :].to(self._device)

                last = hidden[row, len(ids) - num_scored - 1 : len(ids) - 1]

                # (N, V)
                logits = self._model.heads.stream0_logits(last)[:, : self._model.vocabulary.text_size].float()

                log_probs = torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])

                yield Likelihood(
                    float(log_probs.double().sum()), bool((logits.argmax(-1) == targets).all()), num_scored
                )

    def _lay_out(self, request: Request) -> tuple[Tensor, int]:
        """Returns the ids of stream 0, and how many of the last ones are scored."""
        text = torch.cat([request.context, request.continuation]).long().cpu()

        if not len(request.continuation) or len(text) > self.max_text_len:
            raise ValueError(f"A text must have 1 to {self.max_text_len} ids, of which some are scored.")

        if self._tags is None:
            if not len(request.context):
                raise ValueError("Without tags, something must stand before what is scored.")

            return text, len(request.continuation)

        builder = SequenceBuilder(self._model.vocabulary, self._model.pattern)

        segments = [
            Segment(Modality.TAGS, torch.tensor(self._tags), in_loss=False),
            Segment(Modality.TEXT, text, in_loss=True),
        ]

        # Without the end of the text, which is not asked for.
        return builder.build(segments).ids[:-1, 0], len(request.continuation)


def _batches(items: Sequence[tuple[Tensor, int]], max_steps: int) -> Iterator[list[tuple[Tensor, int]]]:
    batch: list[tuple[Tensor, int]] = []

    longest = 0

    for item in items:
        longest = max(longest, len(item[0]))

        if batch and longest * (len(batch) + 1) > max_steps:
            yield batch

            batch, longest = [], len(item[0])

        batch.append(item)

    if batch:
        yield batch
