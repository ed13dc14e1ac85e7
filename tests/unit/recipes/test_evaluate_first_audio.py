"""The time to the first audio of a few items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from codec_s2st.data.templates import find_template
from codec_s2st.demo.corpus import write_corpus
from codec_s2st.recipes.evaluate import first_audio
from codec_s2st.recipes.evaluate.config import EvaluateConfig
from codec_s2st.recipes.evaluate.first_audio import FirstAudio, time_first_audio
from codec_s2st.recipes.evaluate.rows import Selection, select_rows
from codec_s2st.translator import SpeechTranslator
from tests.published import publish_random_model


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> SpeechTranslator:
    card = publish_random_model(tmp_path_factory.mktemp("model"), "tiny", tasks=("s2st", "t2st", "tts"))

    return SpeechTranslator.from_card(str(card))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), split="test", num=3, seed=7)


def select(corpus: Path, task: str) -> Selection:
    return select_rows(corpus, template=find_template(task, {}), split=None, max_items=None)


@pytest.mark.parametrize("task", ["s2st", "t2st"])
def test_only_the_first_samples_are_waited_for(
    translator: SpeechTranslator, corpus: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    selection, stream, num_parts = select(corpus, task), translator.stream, []

    def counted(*args: Any, **options: Any) -> Iterator[Tensor]:
        num_parts.append(0)

        for samples in stream(*args, **options):
            num_parts[-1] += 1

            yield samples

    monkeypatch.setattr(translator, "stream", counted)

    found = time_first_audio(translator, selection, selection.rows)

    assert found.seconds is not None and found.seconds > 0

    assert found.num_items == sum(num_parts) and set(num_parts) <= {0, 1} and found.not_measured is None


def test_median_is_taken(translator: SpeechTranslator, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection = select(corpus, "s2st")

    seconds = iter([0.5, 9.0, 0.25])

    monkeypatch.setattr(first_audio, "_time_row", lambda *_: next(seconds))

    assert time_first_audio(translator, selection, selection.rows) == FirstAudio(seconds=0.5, num_items=3)


def test_failures_are_not_raised(translator: SpeechTranslator, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selection, stream, calls = select(corpus, "s2st"), translator.stream, []

    def fail_twice(*args: Any, **options: Any) -> Iterator[Tensor]:
        calls.append(options["task"])

        if len(calls) <= 2:
            raise RuntimeError("out of memory")

        yield from stream(*args, **options)

    monkeypatch.setattr(translator, "stream", fail_twice)

    found = time_first_audio(translator, selection, selection.rows[:2])

    assert found == FirstAudio(not_measured="RuntimeError: out of memory")

    # The next one is measured, whatever became of others.
    calls.pop()

    found = time_first_audio(translator, selection, selection.rows)

    assert found.num_items == 2 and found.seconds is not None


def test_nothing_to_measure_is_said(translator: SpeechTranslator, corpus: Path) -> None:
    assert time_first_audio(translator, select(corpus, "s2st"), []).not_measured == "no item has speech that came out"


def test_option_is_checked() -> None:
    assert EvaluateConfig(first_audio_items=-1).validate().has_error()
    assert not EvaluateConfig(first_audio_items=0).validate().has_error()
