"""Which test shows what becomes of a run, of its checkpoints and of what it reads when something goes wrong.

What becomes of bad recordings, manifests and shards is listed in tests/unit/data/test_bad_input.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

COVERED = {
    "killed: at three moments": "toy/test_kills.py::test_three_kills",
    "killed: at twenty moments": "toy/test_kills.py::test_twenty_kills",
    "killed: between saving and validating": (
        "toy/test_training_resumed.py::test_killed_run_goes_on_as_if_nothing_had_happened"
    ),
    "killed: while a step is replaced": (
        "unit/checkpoints/test_folder.py"
        "::TestFolder::test_process_that_was_killed_while_it_replaced_a_step_has_lost_neither"
    ),
    "killed: with its node": "slurm/test_requeue.py::test_a_run_survives_the_node_on_which_it_runs",
    "killed: what it leaves": "toy/test_checkpoints.py::TestDamage::test_last_whole_checkpoint_is_chosen",
    "killed: its workers": "toy/test_training_workers.py::test_interrupted_run_goes_on_without_workers",
    "signals: each": "toy/test_stopping.py::test_each_signal_stops_after_the_step_and_changes_nothing",
    "signals: before the first step, and many": "toy/test_stopping.py::test_main_programs_stop",
    "signals: in the last step": "toy/test_stopping.py::test_signal_in_the_last_step_changes_nothing",
    "signals: to one rank": "toy/test_stopping.py::test_signal_to_one_rank_stops_all",
    "signals: during a save, and a second one": (
        "toy/test_stopping.py::test_signals_during_a_save_do_not_start_another"
    ),
    "signals: where the model alone is saved": (
        "toy/test_stopping.py::test_run_that_saves_the_model_alone_is_saved_whole"
    ),
    "signals: of a preemption": (
        "slurm/test_requeue.py::test_a_preempted_run_learns_what_one_that_is_left_alone_learns"
    ),
    "signals: while a job starts": "slurm/test_requeue.py::test_a_job_that_is_preempted_while_it_starts_is_not_lost",
    "signals: of the time limit": "slurm/test_requeue.py::test_a_run_that_is_out_of_time_goes_on",
    "signals: of scancel": "slurm/test_jobs.py::test_what_is_cancelled_saves_and_does_not_come_back",
    "disk: full during a save": "toy/test_saving.py::test_full_disk",
    "disk: full for metrics too": "toy/test_saving.py::test_full_disk_that_metrics_meet_first",
    "disk: full when files are synced": "toy/test_saving.py::test_full_disk_that_shows_when_files_are_synced",
    "disk: path and bytes": "unit/checkpoints/test_states.py::TestWriting::test_full_disk_names_path_and_bytes",
    "disk: synced": "unit/checkpoints/test_states.py::TestWriting::test_file_is_synced_to_the_disk",
    "damage: bits, length, files, manifest": (
        "toy/test_checkpoints.py::TestDamage::test_last_whole_checkpoint_is_chosen"
    ),
    "damage: of a step's name": "toy/test_checkpoints.py::TestDamage::test_step_that_has_another_name_is_damaged",
    "damage: forged manifests": "unit/checkpoints/test_folder.py::TestManifest::test_that_was_forged_is_none",
    "damage: strict": "toy/test_checkpoints.py::TestDamage::test_strict_run_ends",
    "damage: of all": "toy/test_checkpoints.py::TestDamage::test_run_without_any_is_not_started_anew",
    "damage: of what another run starts from": (
        "toy/test_checkpoints.py::TestDamage::test_weights_that_are_damaged_are_not_read"
    ),
    "damage: of the manifest": "unit/checkpoints/test_folder.py::TestManifest::test_that_was_changed_is_none",
    "another run: a rank's file, other ranks": (
        "toy/test_checkpoints.py::TestAnotherRun::test_other_ranks_are_refused"
    ),
    "another run: configuration": "toy/test_checkpoints.py::TestAnotherRun::test_differences_are_listed",
    "another run: data": "toy/test_checkpoints.py::TestAnotherRun::test_other_data_are_refused",
    "another run: at the same time": (
        "toy/test_checkpoints.py::TestAnotherRun::test_second_run_in_the_folder_is_refused"
    ),
    "another run: checkpoints of fairseq2": (
        "unit/checkpoints/test_folder.py::TestFolder::test_checkpoints_of_fairseq2_are_told"
    ),
    "left over: temporary folders": "unit/checkpoints/test_folder.py::TestFolder::test_leftovers_are_removed",
    "not finite: loss, gradient": "toy/test_guards.py::test_run_ends_before_the_step",
    "not finite: on one rank": "toy/test_guards.py::test_all_ranks_know_of_one",
    "not finite: left out and counted": ("toy/test_guards.py::test_steps_are_left_out_and_counted_over_resumptions"),
    "not finite: weights": "toy/test_saving.py::test_weights_that_are_not_finite_are_not_saved",
    "loss that jumps": "toy/test_guards.py::test_spike_is_logged_with_its_examples",
    "memory: names the batch, and no start without end": ("toy/test_guards.py::test_end_of_memory_names_the_batch"),
    "rank that has died": "unit/test_explain.py::test_lost_rank_is_told",
    "rank that hangs": "toy/test_guards.py::test_rank_that_hangs_ends_all_with_stacks",
    "rank that hangs: in the interpreter": (
        "unit/recipes/test_watchdog.py::test_process_without_a_beat_ends_with_its_stacks"
    ),
    "pickles: in each state": "toy/test_checkpoints.py::TestDamage::test_pickles_are_refused_and_not_run",
    "pickles: in weights of a codec": (
        "unit/codecs/test_codec.py::TestLoadCodec::test_raises_error_when_weights_are_a_pickle"
    ),
    "pickles: in a textual LLM": "unit/models/codec_lm/test_text_llm.py::TestWeights::test_pickles_are_refused",
    "pickles: nothing of ours reads any": (
        "unit/recipes/test_injection.py::test_nothing_of_ours_runs_texts_or_unpickles"
    ),
    "injection: Python's tags in YAML": ("unit/recipes/test_injection.py::test_python_tags_are_refused_and_not_run"),
    "injection: aliases without end": (
        "unit/recipes/test_injection.py::test_aliases_that_stand_for_too_much_are_refused"
    ),
    "injection: cards": "unit/recipes/test_injection.py::test_cards_are_checked_too",
    "injection: keys and types": "unit/recipes/test_injection.py::test_what_does_not_fit_is_named",
    "injection: launch presets": "unit/launch/test_fields.py::TestReadYaml::test_objects_are_refused",
    "same batches: workers and prefetch": "unit/data/test_prefetch.py::TestBatches::test_are_the_same",
    "same batches: resumed at any place": "unit/data/test_reader.py::TestState::test_reading_goes_on_where_it_was",
    "same batches: resumed with workers": "unit/data/test_prefetch.py::TestState::test_is_of_what_was_handed_out",
    "same batches: ranks": "unit/data/test_reader.py::TestRanks::test_any_number_of_ranks_reads_the_same_stream",
    "same run: with workers": "toy/test_training_workers.py::test_run_with_workers_is_the_same",
    "same generation: other batches": "unit/generation/test_generator.py::test_neither_cache_nor_batch_size_matters",
    "same generation: another order": (
        "unit/generation/test_generator.py::TestSeeds::test_order_of_requests_does_not_matter"
    ),
}


@pytest.mark.parametrize("fault", COVERED)
def test_is_covered(fault: str) -> None:
    file, *names = COVERED[fault].split("::")

    scope: ast.Module | ast.ClassDef | ast.FunctionDef = ast.parse(TESTS.joinpath(file).read_text())

    for name in names:
        (scope,) = [
            node for node in scope.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
        ]

    assert isinstance(scope, ast.FunctionDef) and scope.name.startswith("test_")
