"""Generates one segment of speech or text after a prompt. Legend: B row, S step, T frame, Q stream, N text length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from fairseq2.nn import IncrementalStateBag
from fairseq2.utils.validation import StandardObjectValidator, Validatable, ValidationError, ValidationResult
from torch import Tensor
from typing_extensions import override

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.generation.sampling import StreamSampling, sample
from codec_s2st.generation.target import SpeechTarget, TargetRows, TextTarget
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.sequence import Modality


@dataclass(frozen=True, kw_only=True)
class GenerationOptions(Validatable):
    """How segments are generated."""

    text: StreamSampling = field(default_factory=StreamSampling)
    """How text tokens are chosen."""

    streams: tuple[StreamSampling, ...] = (StreamSampling(),)
    """How the codes of each stream are chosen; the last entry serves all further streams."""

    batch_size: int = 8
    """The number of rows that are decoded together."""

    use_cache: bool = True
    """If ``False``, every step reads the whole sequence again: slow, and equal. For tests."""

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if self.batch_size < 1:
            result.add_error(f"`batch_size` must be greater than or equal to 1, but is {self.batch_size} instead.")

        if not self.streams:
            result.add_error("`streams` must have an entry.")

        return result

    def of_stream(self, stream: int) -> StreamSampling:
        return self.streams[min(stream, len(self.streams) - 1)]


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One segment to be generated."""

    prompt: Tensor
    """All that stands before the segment, the boundary that opens it included. *Shape:* [S, Q]."""

    modality: Modality
    """``SPEECH`` or ``TEXT``."""

    max_length: int
    """The largest number of frames, or of text tokens."""

    seed: int = 0
    """Decides the row's random choices, whatever the batch it is in."""


@dataclass(frozen=True)
class GeneratedSegment:
    ids: Tensor
    """Speech: codes [T, Q], each below its book's size. Text: ids of the tokenizer [N]."""

    finished: bool
    """``False`` if the segment was cut at its largest length."""


class SegmentGenerator:
    """Decodes batches of requests with a static cache of keys and values; finished rows are taken out."""

    def __init__(self, model: CodecLM, options: GenerationOptions, *, num_text_ids: int | None = None) -> None:
        """
        :param model: In evaluation mode.
        :param num_text_ids: The number of ids that the text tokenizer has; no others are generated.
        :raises UserInputError: an option is out of range.
        """
        try:
            StandardObjectValidator().validate(options)
        except ValidationError as ex:
            raise UserInputError(f"the options of the generation cannot be used: {ex}") from None

        self._model = model
        self._options = options
        self._num_text_ids = num_text_ids

    @torch.inference_mode()
    def generate(self, requests: Sequence[GenerationRequest]) -> list[GeneratedSegment]:
        """Returns the segments of ``requests``, in their order.

        :raises UserInputError: a prompt and its segment are longer than the model's positions.
        """
        # Rows of similar lengths waste little when they are decoded together.
        order = sorted(range(len(requests)), key=lambda i: (requests[i].modality.value, len(requests[i].prompt), i))

        results: dict[int, GeneratedSegment] = {}

        batch: list[int] = []

        for i in order:
            if batch and (
                len(batch) == self._options.batch_size or requests[batch[0]].modality is not requests[i].modality
            ):
                results.update(zip(batch, self._generate_batch([requests[j] for j in batch]), strict=True))

                batch = []

            batch.append(i)

        if batch:
            results.update(zip(batch, self._generate_batch([requests[j] for j in batch]), strict=True))

        return [results[i] for i in range(len(requests))]

    def _generate_batch(self, requests: Sequence[GenerationRequest]) -> list[GeneratedSegment]:
        model = self._model

        lengths = [len(request.prompt) for request in requests]

        rows: TargetRows

        if requests[0].modality is Modality.SPEECH:
            rows = SpeechTarget(model.vocabulary, model.pattern, [request.max_length for request in requests])
        else:
            lengths_of_text = [request.max_length for request in requests]

            rows = TextTarget(model.vocabulary, lengths_of_text, num_text_ids=self._num_text_ids)

        longest = max(length + steps for length, steps in zip(lengths, rows.max_steps, strict=True))

        if longest > model.max_seq_len:
            raise UserInputError(
                f"prompt and output take {longest} steps, but the model has positions for {model.max_seq_len}",
                hint="split the audio into shorter pieces, or lower the largest length",
            )

        device = next(model.parameters()).device

        ids = torch.full((len(requests), longest, model.vocabulary.num_streams), model.vocabulary.pad, device=device)

        for i, request in enumerate(requests):
            ids[i, : lengths[i]] = request.prompt

        uniforms = torch.stack(
            [
                torch.rand(
                    (max(rows.max_steps), model.vocabulary.num_streams),
                    generator=torch.Generator().manual_seed(request.seed),
                )
                for request in requests
            ]
        ).to(device)

        self._decode(ids, torch.tensor(lengths, device=device), rows, uniforms)

        return [
            GeneratedSegment(rows.read(i, ids[i, lengths[i] : lengths[i] + rows.max_steps[i]].cpu()), rows.finished[i])
            for i in range(len(requests))
        ]

    def _decode(self, ids: Tensor, lengths: Tensor, rows: TargetRows, uniforms: Tensor) -> None:
        """Fills ``ids`` [B, S, Q] from the ends of the prompts on."""
        active = torch.arange(ids.size(0), device=ids.device)

        position = int(lengths.min())

        bag = IncrementalStateBag(ids.size(1) + 1, capacity_increment=None) if self._options.use_cache else None

        begin = 0

        while True:
            if bag is None:
                begin = 0

            hidden = self._model(ids[active, begin:position], state_bag=bag).hidden[:, -1]

            if bag is not None:
                bag.increment_step_nr(position - begin)

                begin = position

            # Rows whose prompt is longer read on in it; the others choose their next step.
            relative = position - lengths[active]

            choosing = relative >= 0

            if bool(choosing.any()):
                chosen = self._choose(hidden[choosing], rows, active[choosing], relative[choosing], uniforms)

                ids[active[choosing], position] = chosen

            position += 1

            still = torch.tensor([not rows.done[int(i)] for i in active], device=ids.device)

            if not bool(still.any()):
                return

            if int(still.sum()) <= 0.75 * active.numel():
                if bag is not None:
                    bag.reorder(still.nonzero().squeeze(1))

                active = active[still]

    def _choose(self, hidden: Tensor, rows: TargetRows, active: Tensor, relative: Tensor, uniforms: Tensor) -> Tensor:
        """Returns the next step of the rows ``active``. *Shape:* [B, Q]."""
        model = self._model

        numbers = uniforms[active, relative.clamp(max=uniforms.size(1) - 1)]

        heads = model.heads.step(hidden)

        logits = rows.legal_logits(_finite(heads.logits(0)), active, relative)

        options = self._options.text if isinstance(rows, TextTarget) else self._options.of_stream(0)

        step, live = rows.advance(sample(logits, options, numbers[:, 0]), active, relative)

        if not bool(live[:, 1:].any()):
            return step

        for stream in range(1, model.vocabulary.num_streams):
            logits = _finite(heads.logits(stream, step))

            choice = sample(logits, self._options.of_stream(stream), numbers[:, stream])

            ids = choice + model.vocabulary.codebook_begin(stream)

            step[:, stream] = torch.where(live[:, stream], ids, step[:, stream])

        return step


def _finite(logits: Tensor) -> Tensor:
    if not bool(torch.isfinite(logits.max(dim=-1).values).all()):
        raise CodecS2STError("the model's logits are not finite: its weights are damaged or it has diverged")

    return logits
