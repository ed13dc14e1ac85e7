"""What the translator asks the generator for, against what training renders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec_s2st.codecs.audio import read_audio
from codec_s2st.data.shards import ShardRow, Side
from codec_s2st.data.slots import Example
from codec_s2st.data.task_entries import parse_tasks
from codec_s2st.data.templates import TaskTemplate, find_template, render
from codec_s2st.errors import UserInputError
from codec_s2st.generation.generator import SegmentGenerator
from codec_s2st.generation.options import GeneratedSegment, GenerationOptions, GenerationRequest
from codec_s2st.tokens.sequence import Modality, SequenceBuilder
from codec_s2st.tokens.vocabulary import STANDARD_SPECIALS, Vocabulary, assign_own_slots
from codec_s2st.translator import SpeechInput, SpeechTranslator, TextInput
from tests.published import publish_random_model, write_speech

OWN = parse_tasks(
    [
        {
            "name": "spelled",
            "languages": ["target"],
            "segments": [
                {"modality": "speech", "side": "source", "role": "voice", "seconds": 0.2, "utterance": "same"},
                {"modality": "speech", "side": "source", "role": "prompt"},
                {"modality": "text", "side": "source", "role": "step"},
                {"modality": "text", "side": "target", "role": "target"},
            ],
        }
    ],
    where="data.tasks",
)

# At 25 frames a second.
VOICE_FRAMES = {"s2st_voice": 75, "tts_voice": 75, "spelled": 5}

TEXTS = {"source": "la casa", "target": "the house"}


class RecordingGenerator:
    """Answers with what is said, and keeps what it was asked for."""

    def __init__(self, answers: Sequence[Tensor], *, finished: bool = True) -> None:
        self.requests: list[GenerationRequest] = []

        self._answers = iter(answers)
        self._finished = finished

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GeneratedSegment]:
        answer = next(self._answers)

        self.requests += requests

        return [GeneratedSegment(answer, self._finished) for _ in requests]


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> SpeechTranslator:
    texts = ("tts", "t2st", "mt", "tts_voice")

    tasks = ("s2st", "s2st_chain", "s2st_via_text", "s2st_voice", "s2tt", *texts, "interleaved_lm")

    card = publish_random_model(tmp_path_factory.mktemp("model"), "random", tasks=tasks)

    translator = SpeechTranslator.from_card(str(card))

    # As a model would be that was trained with a task of its own.
    vocabulary = translator.model.vocabulary

    specials = assign_own_slots(STANDARD_SPECIALS, [template.tag for template in OWN.values()])

    translator.model.vocabulary = Vocabulary(vocabulary.text_size, vocabulary.codebook_sizes, specials)

    translator._builder = SequenceBuilder(translator.model.vocabulary, translator.model.pattern)

    translator.tasks, translator.own_tasks = (*tasks, *OWN), dict(OWN)

    return translator


def record(path: Path, seconds: float, seed: int) -> SpeechInput:
    return SpeechInput(read_audio(write_speech(path, seconds=seconds, seed=seed), sample_rate=16_000), 16_000)


@pytest.fixture
def speech(tmp_path: Path) -> SpeechInput:
    return record(tmp_path / "in.wav", 0.8, seed=1)


def answers(translator: SpeechTranslator, template: TaskTemplate) -> list[Tensor]:
    """Returns what is said in each of the predicted segments: text ids [N], or codes [T, Q]."""
    codes = torch.arange(12).view(6, 2)

    return [
        codes if Modality.SPEECH in slot.modalities else translator.tokenizer.encode(TEXTS[slot.side])
        for slot in template.predicted
    ]


@pytest.mark.parametrize("task", ["s2st", "s2tt", "s2st_chain", "s2st_via_text", "s2st_voice", "spelled"])
def test_prompts_are_what_training_renders(
    translator: SpeechTranslator, speech: SpeechInput, tmp_path: Path, task: str
) -> None:
    template = find_template(task, OWN)

    said = answers(translator, template)

    generator = RecordingGenerator(said)

    translator._generator = generator  # type: ignore[assignment]

    voice = record(tmp_path / "voice.wav", 4.0, seed=2) if task == "s2st_voice" else None

    output = translator.translate_all([speech, speech], task=task, voice=voice)[1]

    codes = translator.encode(speech).numpy()

    row = ShardRow(
        "u", "train", Side(codes, "la casa", "spa"), Side(torch.arange(12).view(6, 2).numpy(), "the house", "eng")
    )

    lent = codes if voice is None else translator.encode(voice).numpy()

    example = Example(row, lent[: VOICE_FRAMES.get(task, 0)])

    whole = render(template, example, translator._builder, translator.tokenizer.encode, "target").ids

    # Two recordings a segment.
    assert len(generator.requests) == 2 * len(template.predicted)

    place = len(whole)

    for slot, ids, request in zip(template.predicted[::-1], said[::-1], generator.requests[::-2], strict=True):
        [modality] = slot.modalities

        # Of a segment to be generated, the boundary that opens it is there already.
        place -= translator._builder.num_steps(modality, len(ids)) - 1

        assert request.modality is modality

        assert torch.equal(request.prompt, whole[:place])

        place -= 1

    *steps, target = template.predicted

    assert output.steps == tuple(TEXTS[slot.side] for slot in steps)

    if template.ends_in_text:
        assert output.text == TEXTS[target.side] and output.waveform is None
    else:
        assert output.text is None and output.codes is not None and torch.equal(output.codes, said[-1])


@pytest.mark.parametrize("task", ["tts", "t2st", "mt", "tts_voice"])
def test_prompts_of_text_are_what_training_renders(translator: SpeechTranslator, tmp_path: Path, task: str) -> None:
    template = find_template(task)

    [said] = answers(translator, template)

    generator = RecordingGenerator([said])

    translator._generator = generator  # type: ignore[assignment]

    voice = record(tmp_path / "voice.wav", 4.0, seed=2) if task == "tts_voice" else None

    [output] = translator.translate_all([TextInput(" la  casa\n")], task=task, voice=voice)

    codes = torch.arange(12).view(6, 2).numpy()

    row = ShardRow("u", "train", Side(codes, "la casa", "spa"), Side(codes, "the house", "eng"))

    example = Example(row, None if voice is None else translator.encode(voice).numpy()[: VOICE_FRAMES[task]])

    whole = render(template, example, translator._builder, translator.tokenizer.encode, "target").ids

    [request] = generator.requests

    [modality] = template.target.modalities

    assert torch.equal(request.prompt, whole[: len(whole) - translator._builder.num_steps(modality, len(said)) + 1])

    # A token is taken for 0.4 seconds, and the output may be twice as long and a second longer.
    num_tokens = len(translator.tokenizer.encode("la casa"))

    frames = round(0.4 * num_tokens * 25)

    assert request.max_length == (2 * frames + 25 if modality is Modality.SPEECH else math.ceil(12 * frames / 25) + 16)

    assert output.text == (None if modality is Modality.SPEECH else "the house")


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("tts", " \n", "the text is empty"),
        (
            "tts",
            "casa " * 200,
            r"the text has \d+ tokens, but model 'random' takes at most \d+ \(split it at sentences",
        ),
        ("s2st", "la casa", "task 's2st' does not start from text"),
        ("tts_voice", "la casa", r"task 'tts_voice' speaks in a voice that is given \(--voice RECORDING\)"),
    ],
)
def test_text_that_cannot_be_used_is_refused(translator: SpeechTranslator, task: str, text: str, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        translator.translate_all([TextInput(text)], task=task)


def test_the_longest_text_has_room(translator: SpeechTranslator) -> None:
    translator._generator = SegmentGenerator(translator.model, GenerationOptions())

    text, num = "casa", translator.max_text_tokens

    while len(translator.tokenizer.encode(f"{text} casa")) <= num:
        text += " casa"

    [output] = translator.translate_all([TextInput(text)], task="tts")

    assert output.codes is not None and len(output.codes) > 0


def test_each_segment_has_random_numbers_of_its_own(translator: SpeechTranslator, speech: SpeechInput) -> None:
    generator = RecordingGenerator(answers(translator, find_template("s2st_chain")))

    translator._generator = generator  # type: ignore[assignment]

    translator.translate_all([speech], task="s2st_chain")

    assert [request.seed for request in generator.requests] == [0, 1, 2]


def test_a_step_that_was_cut_is_told(translator: SpeechTranslator, speech: SpeechInput) -> None:
    translator._generator = RecordingGenerator(  # type: ignore[assignment]
        answers(translator, find_template("s2st_chain")), finished=False
    )

    assert not translator.translate_all([speech], task="s2st_chain")[0].finished


@pytest.mark.parametrize(
    ("task", "has_voice", "message"),
    [
        ("s2st_voice", False, r"task 's2st_voice' speaks in a voice that is given \(--voice RECORDING\)"),
        ("s2st", True, "task 's2st' takes no voice"),
        ("tts", False, "task 'tts' does not start from speech"),
        ("interleaved_lm", False, "task 'interleaved_lm' does not start from speech"),
    ],
)
def test_what_cannot_be_done_is_refused(
    translator: SpeechTranslator, speech: SpeechInput, task: str, has_voice: bool, message: str
) -> None:
    with pytest.raises(UserInputError, match=message):
        translator.translate_all([speech], task=task, voice=speech if has_voice else None)


def test_samples_are_not_taken_for_channels(translator: SpeechTranslator) -> None:
    with pytest.raises(UserInputError, match=r"of shape \[C, N\], but is \[8000, 2\].*wave.T"):
        translator.translate(torch.zeros((8000, 2)), sample_rate=16_000)


def test_an_array_is_refused(translator: SpeechTranslator) -> None:
    with pytest.raises(UserInputError, match="must be a tensor, but is of type ndarray"):
        translator.translate(torch.zeros(8000).numpy(), sample_rate=16_000)  # type: ignore[arg-type]


def test_words_in_turn_written_and_spoken_are_not_generated(translator: SpeechTranslator, speech: SpeechInput) -> None:
    mixed = {"modality": "interleaved", "side": "target", "role": "target"}

    prompt = {"modality": "speech", "side": "source", "role": "prompt"}

    translator.own_tasks |= parse_tasks([{"name": "mixed", "segments": [prompt, mixed]}], where="data.tasks")

    translator.tasks = (*translator.tasks, "mixed")

    with pytest.raises(UserInputError, match="task 'mixed' predicts words in turn written and spoken"):
        translator.translate_all([speech], task="mixed")


class TestStream:
    @pytest.mark.parametrize("task", ["s2st", "s2st_chain"])
    def test_samples_are_those_of_the_whole(
        self, translator: SpeechTranslator, speech: SpeechInput, task: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        generator = SegmentGenerator(translator.model, GenerationOptions(), num_text_ids=translator.tokenizer.size)

        monkeypatch.setattr(translator, "_generator", generator)

        whole = translator.translate_all([speech], task=task)[0].waveform

        parts = list(translator.stream(speech, task=task, chunk_seconds=0.2))

        assert whole is not None and len(parts) > 1

        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-5)

    def test_text_that_is_spoken_is_streamed(
        self, translator: SpeechTranslator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        generator = SegmentGenerator(translator.model, GenerationOptions(), num_text_ids=translator.tokenizer.size)

        monkeypatch.setattr(translator, "_generator", generator)

        given = TextInput("la casa")

        whole = translator.translate_all([given], task="t2st")[0].waveform

        parts = list(translator.stream(given, task="t2st", chunk_seconds=0.2))

        assert whole is not None and len(parts) > 1

        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-5)

    def test_text_is_not_streamed(self, translator: SpeechTranslator, speech: SpeechInput) -> None:
        with pytest.raises(UserInputError, match="task 's2tt' ends in text, which is not streamed"):
            next(iter(translator.stream(speech, task="s2tt")))
