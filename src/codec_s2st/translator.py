"""The Python front door: a model, its codec and its tokenizer behind one call. Legend: N sample, T frame, Q stream."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Final

import torch
from fairseq2.device import Device
from torch import Tensor

from codec_s2st.codecs.audio import resample
from codec_s2st.codecs.codec import Codec
from codec_s2st.codecs.streaming import StreamDecoder
from codec_s2st.data.slots import Role
from codec_s2st.data.templates import TaskTemplate, condition_segment
from codec_s2st.data.text import TextTokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.generation.generator import SegmentGenerator
from codec_s2st.generation.options import GenerationOptions, GenerationRequest
from codec_s2st.known_tasks import KnownTasks
from codec_s2st.model_cards import card_strings, own_tasks_of
from codec_s2st.model_parts import load_parts
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder
from codec_s2st.translation import Draft, check_samples, modality_of
from codec_s2st.translation import SpeechInput as SpeechInput
from codec_s2st.translation import TextInput as TextInput
from codec_s2st.translation import Translation as Translation
from codec_s2st.translation_lengths import TranslationLengths

_LEVEL: Final = 0.7

_LEVELS: Final = (0.35, 0.9)
"""A recording whose peak is outside these is brought to :data:`_LEVEL`."""


class SpeechTranslator:
    """Translates speech with a codec_lm model."""

    def __init__(
        self,
        name: str,
        model: CodecLM,
        codec: Codec,
        tokenizer: TextTokenizer,
        *,
        tasks: Sequence[str] = ("s2st",),
        languages: Sequence[tuple[str, str]] = (),
        own_tasks: Mapping[str, TaskTemplate] | None = None,
        options: GenerationOptions | None = None,
        seed: int = 0,
    ) -> None:
        """
        :param tasks: The tasks that the model was trained for.
        :param languages: The (source, target) pairs that it was trained for; empty if not known.
        :param own_tasks: Those of the tasks that whoever trained it has defined.
        :param seed: Decides random choices, where the options make any.
        """
        self.name = name
        self.model = model.eval()
        self.codec = codec
        self.tokenizer = tokenizer
        self.tasks = tuple(tasks)
        self.languages = tuple(languages)
        self.own_tasks = dict(own_tasks or {})

        self._device = next(model.parameters()).device
        self._lengths = TranslationLengths(
            max_seq_len=model.max_seq_len,
            frame_rate=codec.spec.frame_rate,
            steps_per_frame=codec.spec.num_streams if model.pattern.name == "flatten" else 1,
        )
        self._seed = seed
        self._builder = SequenceBuilder(model.vocabulary, model.pattern)
        self._generator = SegmentGenerator(self.model, options or GenerationOptions(), num_text_ids=tokenizer.size)

    @classmethod
    def from_card(
        cls, name: str, *, device: Device | None = None, options: GenerationOptions | None = None, seed: int = 0
    ) -> SpeechTranslator:
        """Loads a model card with the codec and the tokenizer that it names.

        :param name: The name of a card, a card file, or a published folder.

        :raises UserInputError: there is no such card, or model, codec and tokenizer do not belong together.
        """
        card, model, codec, tokenizer = load_parts(name, device=device)

        tasks = card_strings(card, "tasks") or ["s2st"]

        pairs = card_strings(card, "languages")

        languages = [(pair.partition("-")[0], pair.partition("-")[2]) for pair in pairs]

        return cls(
            card.name,
            model,
            codec,
            tokenizer,
            tasks=tasks,
            languages=languages,
            own_tasks=own_tasks_of(card),
            options=options,
            seed=seed,
        )

    def translate(
        self,
        wave: Tensor,
        *,
        sample_rate: int,
        source_lang: str | None = None,
        target_lang: str | None = None,
        task: str | None = None,
        voice: SpeechInput | None = None,
    ) -> Translation:
        """Translates one recording.

        :param wave: Samples in [-1, 1]. *Shape:* [N], or [C, N].
        :param task: ``s2st``, ``s2tt`` or ``asr``; by default the first one that the model was trained for.
        :param voice: Who is to speak, for tasks with a voice; by default whoever speaks in the recording, where the
            task takes the voice from its side.

        :raises UserInputError: the model was not trained for the task or the languages, or the audio is empty or long,
            or the task wants a voice.
        """
        speech = SpeechInput(wave, sample_rate)

        return self.translate_all([speech], source_lang=source_lang, target_lang=target_lang, task=task, voice=voice)[0]

    def translate_all(
        self,
        inputs: Sequence[SpeechInput] | Sequence[TextInput],
        *,
        source_lang: str | None = None,
        target_lang: str | None = None,
        task: str | None = None,
        voice: SpeechInput | None = None,
    ) -> list[Translation]:
        """Translates several recordings, or texts, decoded in batches; see :meth:`translate`."""
        given = Modality.TEXT if any(isinstance(one, TextInput) for one in inputs) else Modality.SPEECH

        template, source, target = self.check(task, source_lang, target_lang, given=given)

        self.check_voice(template, voice)

        voice_codes = None if voice is None else self.encode(voice)

        drafts = [self._start(one, template, source, target, voice_codes) for one in inputs]

        for i in range(len(template.predicted)):
            self._generate(drafts, template, i)

        return [self._finish(draft, template) for draft in drafts]

    def _generate(self, drafts: Sequence[Draft], template: TaskTemplate, i: int) -> None:
        """Generates the i-th of the predicted segments."""
        modality = modality_of(template.predicted[i])

        requests = [self._make_request(draft, modality, self._seed + i) for draft in drafts]

        for draft, output in zip(drafts, self._generator.generate(requests), strict=True):
            draft.outputs.append(output)

            draft.segments.append(Segment(modality, output.ids, in_loss=False))

    @torch.inference_mode()
    def stream(
        self,
        given: SpeechInput | TextInput,
        *,
        source_lang: str | None = None,
        target_lang: str | None = None,
        task: str | None = None,
        voice: SpeechInput | None = None,
        chunk_seconds: float = 0.5,
    ) -> Generator[Tensor, None, None]:
        """Yields the speech of a translation while the rest of it is generated; see :meth:`translate`.

        Together it is what :meth:`translate` returns, but for the rounding of sums. A codec holds back what later
        codes change: its :attr:`~codec_s2st.codecs.codec.Codec.decoder_context`.

        :param chunk_seconds: How much is generated before it is decoded.

        :returns: Samples in [-1, 1] at the codec's rate. *Shape:* [N] each.
        :raises UserInputError: as :meth:`translate`; or the task ends in text.
        """
        start = Modality.TEXT if isinstance(given, TextInput) else Modality.SPEECH

        template, source, target = self.check(task, source_lang, target_lang, given=start)

        self.check_voice(template, voice)

        if modality_of(template.predicted[-1]) is Modality.TEXT:
            raise UserInputError(f"task '{template.name}' ends in text, which is not streamed")

        draft = self._start(given, template, source, target, None if voice is None else self.encode(voice))

        last = len(template.predicted) - 1

        for i in range(last):
            self._generate([draft], template, i)

        request = self._make_request(draft, Modality.SPEECH, self._seed + last)

        chunk_frames = max(round(chunk_seconds * self.codec.spec.frame_rate), 1)

        decoder = StreamDecoder(self.codec)

        for codes in self._generator.stream(request, chunk_frames=chunk_frames):
            samples = decoder.push(codes.to(self._device))

            if len(samples):
                yield samples.clamp(-1.0, 1.0)

        samples = decoder.finish()

        if len(samples):
            yield samples.clamp(-1.0, 1.0)

    def check(
        self, task: str | None, source: str | None, target: str | None, *, given: Modality = Modality.SPEECH
    ) -> tuple[TaskTemplate, str, str]:
        """Returns the task and the languages that are meant, defaults filled in.

        :param given: What the task has to start from.

        :raises UserInputError: the model was not trained for them, or the task starts from something else.
        """
        known = KnownTasks(model=self.name, tasks=self.tasks, languages=self.languages, own_tasks=self.own_tasks)

        return known.choose(task, source, target, given=given)

    def check_speech(self, speech: SpeechInput, *, name: str = "the recording") -> None:
        """
        :param name: What the error calls the recording.

        :raises UserInputError: there are no samples, or some are not finite, or the sample rate is none of
            :data:`SAMPLE_RATES`; or the recording and its translation need more positions than the model has.
        """
        check_samples(speech, name)

        seconds = speech.wave.size(-1) / speech.sample_rate

        if seconds > self.max_seconds:
            raise UserInputError(
                f"{name} has {seconds:.1f} s, but model '{self.name}' takes at most {self.max_seconds:.1f} s",
                hint="split it at pauses",
            )

    @property
    def max_seconds(self) -> float:
        """The longest recording that has room beside its translation."""
        return self._lengths.max_seconds

    @property
    def max_text_tokens(self) -> int:
        """The longest text that has room beside what is made of it."""
        return self._lengths.max_text_tokens

    def check_voice(self, template: TaskTemplate, voice: SpeechInput | None) -> None:
        """
        :raises UserInputError: the task wants a voice and gets none, or the other way round; or it cannot be used.
        """
        slot = template.voice

        if voice is not None and slot is None:
            raise UserInputError(f"task '{template.name}' takes no voice", hint="leave the voice out")

        if voice is None and slot is not None and (slot.side == "target" or template.starts_from_text):
            raise UserInputError(f"task '{template.name}' speaks in a voice that is given", hint="--voice RECORDING")

        if voice is not None:
            check_samples(voice, "the voice")

    def _start(
        self, given: SpeechInput | TextInput, template: TaskTemplate, source: str, target: str, voice: Tensor | None
    ) -> Draft:
        """
        :param voice: The codes of who is to speak. *Shape:* [T, Q].
        """
        if isinstance(given, TextInput):
            prompt = self.check_text(given)

            num_frames = self._lengths.frames_of_text(len(prompt))
        else:
            self.check_speech(given)

            prompt = self.encode(given)

            num_frames = len(prompt)

        languages = [source if side == "source" else target for side in template.language_sides]

        segments = [condition_segment(self.model.vocabulary, template.tag, *languages)]

        for slot in template.given:
            if slot.role is Role.VOICE:
                assert template.voice is not None

                # The recording is all that is known of who speaks in it.
                segment = prompt if voice is None else voice

                segment = segment[: round(template.voice.seconds * self.codec.spec.frame_rate)]

                segments.append(Segment(Modality.SPEECH, segment, in_loss=False))
            else:
                segments.append(Segment(modality_of(slot), prompt, in_loss=False))

        return Draft(num_frames, segments)

    def check_text(self, given: TextInput) -> Tensor:
        """Returns the ids of a text, runs of blanks taken for one. *Shape:* [N].

        :raises UserInputError: it is empty, or it and what is made of it need more positions than the model has.
        """
        ids = self.tokenizer.encode(" ".join(given.text.split()))

        if len(ids) == 0:
            raise UserInputError("the text is empty")

        if len(ids) > self.max_text_tokens:
            raise UserInputError(
                f"the text has {len(ids)} tokens, but model '{self.name}' takes at most {self.max_text_tokens}",
                hint="split it at sentences",
            )

        return ids

    def _make_request(self, draft: Draft, modality: Modality, seed: int) -> GenerationRequest:
        max_length = self._lengths.max_length(modality, draft.num_frames)

        prompt = torch.cat([self._builder.build(draft.segments).ids, self._builder.opening(modality)])

        return GenerationRequest(prompt=prompt, modality=modality, max_length=max_length, seed=seed)

    @torch.inference_mode()
    def encode(self, speech: SpeechInput) -> Tensor:
        """Returns the codes of a recording. *Shape:* [T, Q].

        :raises UserInputError: there are no samples, or some are not finite, or the sample rate is none.
        """
        check_samples(speech, "the recording")

        wave = speech.wave.float()

        wave = wave.mean(dim=0) if wave.dim() == 2 else wave

        wave = resample(wave, speech.sample_rate, self.codec.spec.sample_rate)

        peak = float(wave.abs().max())

        # Recordings come at any level; codec and model know the levels of their training data.
        if peak > 0 and not _LEVELS[0] <= peak <= _LEVELS[1]:
            wave = wave * (_LEVEL / peak)

        codes: Tensor = self.codec.encode(wave[None, None].to(self._device))[0]

        return codes.T.contiguous()[:, : self.model.vocabulary.num_streams].cpu()

    @torch.inference_mode()
    def _finish(self, draft: Draft, template: TaskTemplate) -> Translation:
        *steps, output = zip(template.predicted, draft.outputs, strict=True)

        texts = tuple(
            self.tokenizer.decode(segment.ids) for slot, segment in steps if modality_of(slot) is Modality.TEXT
        )

        text, codes, wave = None, None, None

        if modality_of(output[0]) is Modality.TEXT:
            text = self.tokenizer.decode(output[1].ids)
        else:
            codes = output[1].ids

            wave = self.codec.decode(codes.T[None].to(self._device))[0, 0].clamp(-1.0, 1.0)

        return Translation(
            waveform=wave,
            sample_rate=self.codec.spec.sample_rate,
            codes=codes,
            text=text,
            steps=texts,
            finished=all(segment.finished for segment in draft.outputs),
        )
