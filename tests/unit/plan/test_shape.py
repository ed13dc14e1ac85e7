from __future__ import annotations

import pytest

from codec_s2st.data.mixture import MixtureEntry
from codec_s2st.plan.shape import BatchShape, shape_of_mixture
from codec_s2st.tokens.delay import parse_pattern
from codec_s2st.tokens.sequence import SequenceBuilder
from codec_s2st.tokens.vocabulary import Vocabulary

BUILDER = SequenceBuilder(Vocabulary(64, (16, 16, 16)), parse_pattern("parallel", 3))


def shape_of(*entries: MixtureEntry, loss: str = "all", temperature: float = 1.0) -> BatchShape:
    return shape_of_mixture(
        entries,
        {},
        BUILDER,
        loss,
        temperature=temperature,
        num_frames=100,
        num_text=10,  # type: ignore[arg-type]
    )


def test_one_task_is_counted_by_hand() -> None:
    shape = shape_of(MixtureEntry(task="asr"))

    # Two tags; an utterance and a text, each between two boundaries.
    assert shape.num_steps == 2 + 102 + 12
    assert shape.sum_of_squares == 116**2
    # The end of a text is predicted over text, every other boundary over specials.
    assert shape.num_text_targets == 10 + 1
    assert shape.num_speech_targets == 102 + 1
    assert shape.num_code_targets == 100


def test_fine_tuning_scores_the_target_alone() -> None:
    shape = shape_of(MixtureEntry(task="asr"), loss="target")

    assert shape.num_code_targets == 0
    assert shape.num_text_targets == 11


def test_mixture_is_the_average_of_its_tasks() -> None:
    asr, text = shape_of(MixtureEntry(task="asr")), shape_of(MixtureEntry(task="text_lm"))

    both = shape_of(MixtureEntry(task="asr", weight=3.0), MixtureEntry(task="text_lm", weight=1.0))

    assert both.num_steps == pytest.approx(0.75 * asr.num_steps + 0.25 * text.num_steps)
    assert both.sum_of_squares == pytest.approx(0.75 * asr.sum_of_squares + 0.25 * text.sum_of_squares)

    even = shape_of(MixtureEntry(task="asr", weight=9.0), MixtureEntry(task="text_lm", weight=1.0), temperature=2.0)

    assert even == both


@pytest.mark.parametrize("task", ["s2st_voice", "interleaved_lm", "s2st_chain"])
def test_every_kind_of_segment_can_be_made_up(task: str) -> None:
    shape = shape_of(MixtureEntry(task=task))

    # What takes turns is spoken for a part of the time; a chain holds two utterances.
    assert 20 <= shape.num_code_targets <= 200 and shape.num_steps > shape.num_code_targets


def test_batch_has_as_many_steps_as_are_asked_for() -> None:
    shape = shape_of(MixtureEntry(task="asr"))

    batch = shape.scaled_to(1_160)

    assert batch.num_steps == 1_160
    assert batch.sum_of_squares == pytest.approx(10 * shape.sum_of_squares)
    assert batch.num_text_targets == pytest.approx(110)
