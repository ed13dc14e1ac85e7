"""What the model makes of a few fixed items, to be heard and read. Legend: T frame, Q stream, N sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final, final

import torch
from fairseq2.evaluator import EvalUnit
from fairseq2.gang import Gangs
from fairseq2.logging import log
from fairseq2.metrics import Mean, MetricBag
from torch import Tensor
from typing_extensions import override

from codec_s2st.codecs.codec import Codec
from codec_s2st.data.mixture import TaskSource
from codec_s2st.data.slots import WholeSlot
from codec_s2st.data.templates import prompt_segments, slot_segments
from codec_s2st.data.text import TextTokenizer
from codec_s2st.evaluation.spectrogram import spectrogram_png
from codec_s2st.generation.generator import SegmentGenerator
from codec_s2st.generation.options import GenerationOptions, GenerationRequest
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.monitoring.schedule import NoBatch
from codec_s2st.recipes.common.unit import MeanOrNothing
from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

UNIT: Final = "samples"

FINISHED: Final = "samples/finished"

LENGTH_RATIO: Final = "samples/length_ratio"

SECONDS: Final = "samples/seconds"


@dataclass(frozen=True)
class SampleItem:
    """An item of the validation data."""

    source: TaskSource

    position: int

    number: int
    """Among the items of its task, from 0."""


@dataclass(frozen=True)
class Made:
    """What became of an item."""

    given: list[Segment]
    """The condition, and what was given."""

    reference: list[Segment]
    """What the data has for the segments to predict."""

    output: list[Segment]
    """What was generated for them."""

    finished: bool

    @property
    def length_ratio(self) -> float:
        """The length of the last segment, as a share of the reference's."""
        return len(self.output[-1].ids) / max(len(self.reference[-1].ids), 1)


def choose_items(sources: Sequence[TaskSource], num_items: int) -> list[SampleItem]:
    """Returns the first items of each task that can be generated, by name; a task of several corpora is one."""
    left: dict[str, int] = {}

    items = []

    for source in sources:
        if not all(isinstance(slot, WholeSlot) for slot in source.template.predicted) or not source.template.given:
            continue

        begin = num_items - left.setdefault(source.name, num_items)

        num = min(left[source.name], len(source))

        left[source.name] -= num

        items += [SampleItem(source, position, begin + position) for position in range(num)]

    return items


@contextmanager
def own_modules(model: CodecLM) -> Iterator[None]:
    """Keeps the generation from its engine of fused products, which would move the weights of a model in training."""
    handle = model.heads.register_forward_pre_hook(lambda module, args: None)

    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def make_all(
    model: CodecLM, tokenizer: TextTokenizer, items: Sequence[SampleItem], *, max_frames: int, frames_per_second: float
) -> list[Made]:
    """Generates segment by segment, as training lays them out.

    :param max_frames: The largest number of frames of a segment of speech.
    """
    builder = SequenceBuilder(model.vocabulary, model.pattern)

    generator = SegmentGenerator(model, GenerationOptions(), num_text_ids=tokenizer.size)

    output = []

    for item in items:
        template, example = item.source.template, item.source.example(item.position)

        given = prompt_segments(template, example, model.vocabulary, tokenizer.encode)

        reference = [
            segment
            for slot in template.predicted
            for segment in slot_segments(template, slot, example, tokenizer.encode, in_loss=False)
        ]

        made: list[Segment] = []

        finished = True

        for wanted in reference:
            prompt = torch.cat([builder.build([*given, *made]).ids, builder.opening(wanted.modality)])

            longest = 2 * len(wanted.ids) + 16

            if wanted.modality is Modality.SPEECH:
                longest = min(2 * len(wanted.ids) + round(frames_per_second), max_frames)

            # Boundaries and delays take some steps.
            room = model.max_seq_len - len(prompt) - model.vocabulary.num_streams - 2

            if model.pattern.name == "flatten" and wanted.modality is Modality.SPEECH:
                room //= model.vocabulary.num_streams

            request = GenerationRequest(prompt=prompt, modality=wanted.modality, max_length=max(min(longest, room), 1))

            (segment,) = generator.generate([request])

            finished = finished and segment.finished

            made.append(Segment(wanted.modality, segment.ids.cpu(), in_loss=False))

        output.append(Made(given, reference, made, finished))

    return output


@final
class SamplesUnit(EvalUnit[NoBatch]):
    """Generates on the first data parallel rank, where the parameters are whole at a validation; the others wait.

    What goes wrong is a warning: no training ends because of it.
    """

    def __init__(
        self,
        model: CodecLM,
        tokenizer: TextTokenizer,
        items: Sequence[SampleItem],
        gangs: Gangs,
        *,
        load_codec: Callable[[], Codec],
        frame_rate: float,
        max_seconds: float,
        is_due: Callable[[int], bool],
        open_writer: Callable[[int], SummaryWriter | None],
    ) -> None:
        """
        :param model: As it is within the data parallel model.
        :param load_codec: Called when speech is first to be heard.
        :param open_writer: Returns where to write to, on rank 0.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._items = items
        self._gangs = gangs
        self._load_codec = load_codec
        self._frame_rate = frame_rate
        self._max_frames = max(round(max_seconds * frame_rate), 1)
        self._is_due = is_due
        self._open_writer = open_writer

        self._codec: Codec | None = None
        self._step = 0
        self._has_references = False

    @override
    def prepare_metric_bag(self, metric_bag: MetricBag) -> None:
        for name in (FINISHED, LENGTH_RATIO, SECONDS):
            metric_bag.add(name, MeanOrNothing())

    @override
    def set_train_step_nr(self, step_nr: int) -> None:
        self._step = step_nr

    @override
    def process_batch(self, batch: NoBatch, metric_bag: MetricBag) -> None:
        raise AssertionError("There are no batches.")

    @override
    def finalize(self, metric_bag: MetricBag) -> None:
        if not self._is_due(self._step) or self._gangs.dp.rank != 0:
            return

        begin = time.perf_counter()

        try:
            with own_modules(self._model):
                made = make_all(
                    self._model,
                    self._tokenizer,
                    self._items,
                    max_frames=self._max_frames,
                    frames_per_second=self._frame_rate,
                )

            writer = self._open_writer(self._step)

            if writer is not None:
                self._write(writer, made)
        except Exception as ex:
            log.warning("The samples of step {} are left out: {}: {}", self._step, type(ex).__name__, ex)

            return

        for item in made:
            metric_bag.get(FINISHED, Mean).update(float(item.finished))
            metric_bag.get(LENGTH_RATIO, Mean).update(item.length_ratio)

        metric_bag.get(SECONDS, Mean).update(time.perf_counter() - begin)

    def _write(self, writer: SummaryWriter, made: Sequence[Made]) -> None:
        for item, result in zip(self._items, made, strict=True):
            tag = f"{item.source.name}/{item.number}"

            parts = {"output": result.output}

            # They are the same at each validation.
            if not self._has_references:
                parts |= {"source": result.given[1:], "reference": result.reference}

            for part, segments in parts.items():
                for segment in segments:
                    if segment.modality is Modality.SPEECH:
                        self._write_speech(writer, f"{tag}/{part}", segment.ids)

            writer.add_text(f"{tag}/text", self._table(item, result), self._step)

        self._has_references = True

        writer.flush()

    def _write_speech(self, writer: SummaryWriter, tag: str, codes: Tensor) -> None:
        """
        :param codes: *Shape:* [T, Q].
        """
        if not codes.size(0):
            return

        if self._codec is None:
            self._codec = self._load_codec()

        sample_rate = self._codec.spec.sample_rate

        device = next(self._codec.parameters()).device

        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            wave = self._codec.decode(codes.T[None].to(device))[0, 0].float().clamp(-1.0, 1.0).cpu()

        writer.add_audio(tag, wave[None], self._step, sample_rate=sample_rate)

        writer.add_image(f"{tag}_spectrogram", _picture(wave, sample_rate), self._step, dataformats="HWC")

    def _table(self, item: SampleItem, result: Made) -> str:
        def cell(segments: Sequence[Segment]) -> str:
            texts = [
                self._tokenizer.decode(segment.ids)
                if segment.modality is Modality.TEXT
                else f"({len(segment.ids) / self._frame_rate:.1f} s of speech)"
                for segment in segments
                if segment.modality is not Modality.TAGS
            ]

            return " / ".join(texts).replace("|", "\\|").replace("\n", " ")

        row = item.source.example(item.position).row

        lines = [
            f"row `{row.id}`{'' if result.finished else ', cut at its largest length'}",
            "",
            "| | |",
            "|---|---|",
            f"| given | {cell(result.given)} |",
            f"| reference | {cell(result.reference)} |",
            f"| output | {cell(result.output)} |",
        ]

        for side in (row.source, row.target):
            if side.text is not None:
                lines.append(f"| text ({side.lang}) | {side.text} |")

        return "\n".join(lines)

    @override
    def process_metric_values(self, values: MutableMapping[str, object]) -> None:
        for name in (FINISHED, LENGTH_RATIO, SECONDS):
            value = float(values.pop(name))  # type: ignore[arg-type]

            if value == value:
                values[name] = value

    @property
    @override
    def name(self) -> str:
        return UNIT


def _picture(wave: Tensor, sample_rate: int) -> Tensor:
    """Returns a spectrogram's colours, 0 to 1. *Shape:* [F, T, 3]."""
    from matplotlib.image import imread

    return torch.from_numpy(imread(BytesIO(spectrogram_png(wave, sample_rate)), format="png").copy())[..., :3]
