"""How right and how sure a model's predictions are, and which codes they use.

Legend: B batch, S step, Q stream, D width, N sampled target, C size of a code book, T task.
"""

from __future__ import annotations

import inspect
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from fairseq2.metrics import MetricBag
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from codec_s2st.models.codec_lm.heads import CodecLMHeads
from codec_s2st.recipes.common.monitoring.vector import VectorSum
from codec_s2st.tokens.vocabulary import Vocabulary

MAX_TEXT_TARGETS: Final = 128
"""Of a batch, so many targets are looked at, evenly spaced: the logits of a text are wide."""

MAX_SPEECH_TARGETS: Final = 512

_PREDICTIONS: Final = "predictions"

_CODE_USE: Final = "code_use"


@dataclass(frozen=True)
class PredictionSample:
    """The predictions at some targets of one stream."""

    is_right: Tensor
    """The most likely id is the target. *Shape:* [N], bool."""

    entropy: Tensor
    """Of the prediction, in nats. *Shape:* [N]."""

    rows: Tensor
    """The number of each target's sequence in its batch. *Shape:* [N]."""

    most_likely: Tensor
    """*Shape:* [N], from 0 in its space."""

    mean_probs: Tensor
    """*Shape:* [size of the space], summed over N."""


@dataclass(frozen=True)
class BatchSample:
    """What a probe has seen of one batch."""

    text: PredictionSample

    streams: tuple[PredictionSample, ...]
    """Of speech; of stream 0, the space of specials and code book 0."""

    codes: tuple[Tensor, ...]
    """How often each code of a stream is a target, over all targets. *Shape:* [C] each."""


@final
class PredictionProbe:
    """Looks at the heads' input while they compute the loss, where that is asked for.

    It runs inside the forward pass of the whole model, so that the parameters are whole under FSDP too; nothing of it
    is differentiated.
    """

    def __init__(self, heads: CodecLMHeads) -> None:
        self._heads = heads

        self._hook: RemovableHandle | None = None

        self._samples: list[BatchSample] = []

        self._signature = inspect.signature(heads.forward)

    def arm(self, on: bool) -> None:
        """Says whether the next batches are to be looked at; where they are not, the model has no hook."""
        if on == (self._hook is not None):
            return

        if self._hook is not None:
            self._hook.remove()

        self._hook = self._heads.register_forward_hook(self._look, with_kwargs=True) if on else None

    def take(self) -> list[BatchSample]:
        """Returns what was seen since the last time."""
        samples, self._samples = self._samples, []

        return samples

    @torch.no_grad()
    def _look(self, heads: CodecLMHeads, args: tuple[Any, ...], kwargs: dict[str, Any], output: object) -> None:
        given = self._signature.bind(*args, **kwargs)

        given.apply_defaults()

        named = given.arguments

        self._samples.append(
            sample_predictions(
                heads, named["hidden"], named["ids"], named["loss_mask"], packed_lens=named["packed_lens"]
            )
        )


def sample_predictions(
    heads: CodecLMHeads,
    hidden: Tensor,
    ids: Tensor,
    loss_mask: Tensor,
    *,
    packed_lens: Sequence[int] | None = None,
    max_text: int = MAX_TEXT_TARGETS,
    max_speech: int = MAX_SPEECH_TARGETS,
) -> BatchSample:
    """Returns what is predicted at evenly spaced targets, each in the space that its loss is computed in.

    :param hidden: *Shape:* [B, S, D].
    :param ids: *Shape:* [B, S, Q].
    :param loss_mask: *Shape:* [B, S, Q].
    """
    vocabulary = heads.vocabulary

    # [B * (S - 1), ..]
    targets, mask = ids[:, 1:].flatten(0, 1), loss_mask[:, 1:].flatten(0, 1)

    inputs = hidden[:, :-1].flatten(0, 1)

    in_text = vocabulary.is_text_space(targets[:, 0])

    at_text = _evenly((mask[:, 0] & in_text).nonzero()[:, 0], max_text)

    at_speech = _evenly(((mask[:, 0] & ~in_text) | mask[:, 1:].any(-1)).nonzero()[:, 0], max_speech)

    rows = _rows_of(ids.size(0), ids.size(1) - 1, packed_lens, ids.device)

    text, speech = vocabulary.text_space, vocabulary.speech_space

    text_sample = _sample(heads.stream0_logits(inputs[at_text], text), targets[at_text, 0] - text.start, rows[at_text])

    logits = heads.logits(inputs[at_speech], targets[at_speech], space=speech)

    streams = []

    for stream, part in enumerate(logits):
        # At the boundaries of segments, stream 0 alone has a target.
        is_target = mask[at_speech, stream]

        if stream == 0:
            is_target = is_target & ~in_text[at_speech]

        begin = speech.start if stream == 0 else vocabulary.codebook_begin(stream)

        local = targets[at_speech, stream] - begin

        streams.append(_sample(part[is_target], local[is_target], rows[at_speech][is_target]))

    codes = tuple(
        _count_codes(targets[:, stream], mask[:, stream], vocabulary, stream)
        for stream in range(vocabulary.num_streams)
    )

    return BatchSample(text_sample, tuple(streams), codes)


def _evenly(idx: Tensor, at_most: int) -> Tensor:
    if idx.numel() <= at_most:
        return idx

    return idx[torch.arange(at_most, device=idx.device) * idx.numel() // at_most]


def _rows_of(num_rows: int, num_steps: int, packed_lens: Sequence[int] | None, device: torch.device) -> Tensor:
    """Returns the number of the sequence that each target belongs to. *Shape:* [B * (S - 1)]."""
    if packed_lens is None:
        return torch.arange(num_rows, device=device).repeat_interleave(num_steps)

    ends = torch.tensor(packed_lens, device=device).cumsum(0)

    steps = torch.arange(1, num_steps + 1, device=device)

    return torch.bucketize(steps, ends, right=True).clamp(max=len(packed_lens) - 1)


def _sample(logits: Tensor, targets: Tensor, rows: Tensor) -> PredictionSample:
    log_probs = torch.log_softmax(logits.float(), dim=-1)

    probs = log_probs.exp()

    most_likely = log_probs.argmax(-1) if log_probs.size(0) else targets

    return PredictionSample(
        is_right=most_likely == targets,
        # Of an id that cannot be, the logarithm is infinite, but its share is nothing.
        entropy=-(probs * log_probs.clamp(min=-1e4)).sum(-1),
        rows=rows,
        most_likely=most_likely,
        mean_probs=probs.sum(0),
    )


def _count_codes(targets: Tensor, mask: Tensor, vocabulary: Vocabulary, stream: int) -> Tensor:
    size = vocabulary.codebook_sizes[stream]

    local = targets - vocabulary.codebook_begin(stream)

    counted = mask & (local >= 0) & (local < size)

    counts = torch.zeros(size + 1, device=targets.device)

    # What is not counted goes to a place of its own, so that nobody has to know how many there are.
    places = local.masked_fill(~counted, size)

    return counts.index_add_(0, places, torch.ones_like(places, dtype=counts.dtype))[:size]


@final
class PredictionMetrics:
    """Adds up samples: accuracy and entropy by stream and by task, and the use of code books."""

    def __init__(self, vocabulary: Vocabulary, tasks: Sequence[str]) -> None:
        self._sizes = vocabulary.codebook_sizes

        self._space_begin = vocabulary.codebook_begin(0) - vocabulary.speech_space.start

        self._labels = ["text", *(f"stream_{q}" for q in range(len(self._sizes))), *(f"task_{t}" for t in tasks)]

        self._task_index = {task: 1 + len(self._sizes) + i for i, task in enumerate(tasks)}

    def prepare(self, bag: MetricBag) -> None:
        # Of each label: the number, those that are right, the sum of entropies.
        bag.add(_PREDICTIONS, VectorSum(3 * len(self._labels)))

        # Of each code: as a target, as the most likely one, and its share of the predictions.
        bag.add(_CODE_USE, VectorSum(3 * sum(self._sizes)))

    @torch.no_grad()
    def update(self, samples: Sequence[BatchSample], tasks: Sequence[str], bag: MetricBag) -> None:
        """
        :param samples: Of one batch, once or several times.
        :param tasks: Of each sequence of the batch.
        """
        if not tasks:
            return

        for sample in samples:
            device = sample.text.entropy.device

            sums = torch.zeros((len(self._labels), 3), dtype=torch.float64, device=device)

            task_of_row = torch.tensor([self._task_index[task] for task in tasks], device=device)

            for label, part in enumerate((sample.text, *sample.streams)):
                values = torch.stack([torch.ones_like(part.entropy), part.is_right.to(part.entropy), part.entropy], -1)

                values = values.double()

                sums[label] += values.sum(0)

                sums.index_add_(0, task_of_row[part.rows], values)

            bag.get(_PREDICTIONS, VectorSum).update(sums.flatten())

            bag.get(_CODE_USE, VectorSum).update(self._code_use(sample))

    def _code_use(self, sample: BatchSample) -> Tensor:
        likely, probs = [], []

        for stream, (part, size) in enumerate(zip(sample.streams, self._sizes, strict=True)):
            begin = self._space_begin if stream == 0 else 0

            counts = torch.zeros(begin + size, dtype=torch.float64, device=part.entropy.device)

            counts.index_add_(0, part.most_likely, torch.ones_like(part.entropy, dtype=torch.float64))

            likely.append(counts[begin:])

            probs.append(part.mean_probs[begin : begin + size].double())

        return torch.cat([*(codes.double() for codes in sample.codes), *likely, *probs])

    def publish(self, values: MutableMapping[str, object]) -> None:
        """Puts the names that are documented in the place of the sums; of what was not seen, there are none."""
        for label, (num, num_right, entropy) in zip(
            self._labels, _tensor(values, _PREDICTIONS).view(-1, 3).tolist(), strict=True
        ):
            if num:
                values[f"accuracy/{label}"] = num_right / num
                values[f"entropy/{label}"] = entropy / num

        counts = _tensor(values, _CODE_USE).split([size for _ in range(3) for size in self._sizes])

        num_books = len(self._sizes)

        for q in range(num_books):
            data, likely, probs = counts[q], counts[num_books + q], counts[2 * num_books + q]

            if bool(data.any()):
                values[f"codes/data_use_{q}"] = float((data > 0).double().mean())
                values[f"codes/data_perplexity_{q}"] = perplexity(data)

            if bool(probs.any()):
                values[f"codes/predicted_use_{q}"] = float((likely > 0).double().mean())
                values[f"codes/predicted_perplexity_{q}"] = perplexity(probs)


def perplexity(counts: Tensor) -> float:
    """Returns the number of codes that, used equally often, would have the entropy of these.

    :param counts: Not all 0. *Shape:* [C].
    """
    shares = counts.double() / counts.sum()

    return float(torch.special.entr(shares).sum().exp())


def _tensor(values: MutableMapping[str, object], name: str) -> Tensor:
    value = values.pop(name)

    assert isinstance(value, Tensor)

    return value.cpu()
