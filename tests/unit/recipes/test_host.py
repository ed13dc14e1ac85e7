"""The private names of fairseq2 that we touch: where they are gone, `host.py` is to be mended."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import fairseq2.recipe.base  # noqa: F401  (first, since the trainer's module cannot be imported before it)
import pytest
from fairseq2.metrics.recorders import NOOP_METRIC_RECORDER, MetricDescriptorRegistry, TensorBoardRecorder
from fairseq2.metrics.recorders.composite import CompositeMetricRecorder
from fairseq2.recipe.internal.metric_recorders import _MaybeTensorBoardRecorderFactory
from fairseq2.trainer import Trainer
from fairseq2.utils.stopwatch import Stopwatch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from codec_s2st.recipes.common.host import find_tensorboard, open_writer


@pytest.mark.parametrize(
    "name",
    [
        *("_metric_bag", "_num_batches_read", "_data_watch", "_compute_watch", "_lapse_watch"),
        *("_checkpoint_manager", "_save_model_only"),
    ],
)
def test_trainer_has_the_attribute(name: str) -> None:
    assert re.search(rf"\n        self\.{name}\b.* = ", inspect.getsource(Trainer.__init__))


def test_trainer_has_the_methods() -> None:
    assert list(inspect.signature(Trainer._save_checkpoint).parameters) == ["self", "blocking"]

    assert list(inspect.signature(Trainer._maybe_complete_checkpoint_save_operation).parameters) == ["self"]


def test_next_batches_are_read_when_a_step_is_over() -> None:
    """What is due at a step is done before, or the state of a run would not be of one piece there."""
    source = inspect.getsource(Trainer._run_post_step)

    due = ["self._maybe_save_checkpoint(", "self._maybe_publish_metrics(", "self._maybe_validate(", ".DATA_LOAD"]

    places = [source.index(text) for text in due]

    assert places == sorted(places)

    assert "next(self._data_reader)" in inspect.getsource(Trainer._read_next_batches)


def test_metrics_are_forgotten_when_a_run_is_restored() -> None:
    """Or those of a window would be counted twice."""
    source = inspect.getsource(Trainer._maybe_restore_state)

    assert source.index("load_data_reader_state") < source.index("self._reset_non_total_metrics()")


def test_stopwatch_adds_up_in_its_attribute() -> None:
    watch = Stopwatch()

    watch._accumulated_duration += 5.0

    assert watch.get_elapsed_time() == 5.0


def test_tensorboard_forgets_what_is_repeated(tmp_path: Path) -> None:
    """The recorder's writers are where we look for them, and its files say from which step on they count."""
    for begin in (2, 4):
        recorder = TensorBoardRecorder(tmp_path, MetricDescriptorRegistry([]))

        assert find_tensorboard(CompositeMetricRecorder([recorder])) is recorder

        writer = open_writer(recorder, "train", begin)

        for step in (begin, begin + 2):
            recorder.record_metric_values("train", {"loss": float(begin)}, step)

        assert open_writer(recorder, "train", 100) is writer

        recorder.close()

    events = EventAccumulator(str(tmp_path / "tb" / "train")).Reload()

    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(2, 2.0), (4, 4.0), (6, 4.0)]


def test_recorder_of_other_ranks_is_none_of_tensorboard() -> None:
    assert find_tensorboard(NOOP_METRIC_RECORDER) is None


def test_factory_of_tensorboard_has_the_method() -> None:
    assert list(inspect.signature(_MaybeTensorBoardRecorderFactory.maybe_create).parameters) == ["self"]
