"""Generates segments of speech or text after prompts. Legend: T frame, Q stream."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import torch
from fairseq2.logging import log
from torch import Tensor

from codec_s2st.errors import UserInputError
from codec_s2st.generation.batch import SegmentBatch
from codec_s2st.generation.engine import DecodingEngine, EngineSteps
from codec_s2st.generation.options import GeneratedSegment as GeneratedSegment
from codec_s2st.generation.options import GenerationOptions as GenerationOptions
from codec_s2st.generation.options import GenerationRequest as GenerationRequest
from codec_s2st.generation.steps import ModelSteps, StepReader, WholeSequences
from codec_s2st.generation.target import SpeechTarget
from codec_s2st.models.codec_lm.decoding.known import why_unknown
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.units import Steps


class SegmentGenerator:
    """Decodes batches of requests, by an engine of fused products where the model is one that it knows."""

    def __init__(self, model: CodecLM, options: GenerationOptions, *, num_text_ids: int | None = None) -> None:
        """
        :param model: In evaluation mode. Its weights are those of now: what is written to them later is not seen.
        :param num_text_ids: The number of ids that the text tokenizer has; no others are generated.
        :raises UserInputError: an option is out of range, or the device or the model cannot be quantized.
        """
        options.check()

        self._model = model
        self._options = options
        self._num_text_ids = num_text_ids

        self.engine = _make_engine(model, options)
        """``None`` if the model's own modules are used."""

    def _make_reader(self) -> StepReader:
        if self.engine is not None:
            return EngineSteps(self.engine)

        return ModelSteps(self._model) if self._options.use_cache else WholeSequences(self._model)

    @torch.inference_mode()
    def generate(self, requests: Sequence[GenerationRequest]) -> list[GeneratedSegment]:
        """Returns the segments of ``requests``, in their order.

        :raises UserInputError: a prompt and its segment are longer than the model's positions.
        """
        results: dict[int, GeneratedSegment] = {}

        for places in self._cut_into_batches(requests):
            batch = self._begin([requests[i] for i in places])

            while batch.advance():
                pass

            results.update(zip(places, batch.results(), strict=True))

        return [results[i] for i in range(len(requests))]

    @torch.inference_mode()
    def stream(self, request: GenerationRequest, *, chunk_frames: int) -> Generator[Tensor, None, bool]:
        """Yields the codes of one segment of speech as they come.

        Together they are what :meth:`generate` returns. Whether the segment came to its own end, the generator returns.

        :param chunk_frames: The number of frames of a chunk; the last one may have fewer.

        :returns: *Shape:* [t, Q] each.
        """
        batch = self._begin([request])

        target = batch.target

        assert isinstance(target, SpeechTarget)

        num_yielded = 0

        while batch.advance():
            # What is whole can be counted on the host, so that a GPU is waited for once a chunk.
            if self._model.pattern.num_frames(Steps(batch.step_nr + 1)) >= num_yielded + chunk_frames:
                length = int(target.lengths[0])

                codes = target.read_begin(length, batch.step_nr, batch.steps[: batch.step_nr + 1, 0].cpu())

                yield codes[num_yielded:]

                num_yielded = len(codes)

        (segment,) = batch.results()

        if len(segment.ids) > num_yielded:
            yield segment.ids[num_yielded:]

        return segment.finished

    def _cut_into_batches(self, requests: Sequence[GenerationRequest]) -> Iterator[list[int]]:
        """Yields the indices of requests of the same modality and of similar lengths."""
        order = sorted(range(len(requests)), key=lambda i: (requests[i].modality.value, len(requests[i].prompt), i))

        equal_lengths = self._make_reader().wants_equal_lengths

        batch: list[int] = []

        for i in order:
            if batch:
                first, this = requests[batch[0]], requests[i]

                fits = first.modality is this.modality and len(batch) < self._options.batch_size

                if not fits or (equal_lengths and len(first.prompt) != len(this.prompt)):
                    yield batch

                    batch = []

            batch.append(i)

        if batch:
            yield batch

    def _begin(self, requests: Sequence[GenerationRequest]) -> SegmentBatch:
        return SegmentBatch(self._model, self._make_reader(), requests, self._options, num_text_ids=self._num_text_ids)


def _make_engine(model: CodecLM, options: GenerationOptions) -> DecodingEngine | None:
    """Returns the engine for a model; ``None`` where its modules must do."""
    if not options.use_cache:
        return None

    reason = why_unknown(model)

    if reason is None:
        return DecodingEngine(model, quantize=options.quantize)

    if options.quantize != "none":
        raise UserInputError(f"`quantize: {options.quantize}` is not for {reason}", hint="leave it out")

    log.info("Generating with the model's own modules, which is slower, because of {}.", reason)

    return None
