"""The private names of fairseq2 that we touch: where they are gone, `host.py` is to be mended."""

from __future__ import annotations

import inspect
import re

import fairseq2.recipe.base  # noqa: F401  (first, since the trainer's module cannot be imported before it)
import pytest
from fairseq2.trainer import Trainer
from fairseq2.utils.stopwatch import Stopwatch


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
