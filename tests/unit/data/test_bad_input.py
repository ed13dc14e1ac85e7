"""Which test shows what becomes of which bad input of manifests and token shards."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

COVERED = {
    "parquet: no magic, cut short, lost rows": "test_shards.py::TestFaults::test_truncated_file_is_refused",
    "parquet: a damaged page": "test_shards.py::TestFaults::test_flipped_bit_in_a_page_names_the_row_group",
    "parquet: any flipped bit": "test_shard_damage.py::TestAnyBit::test_that_is_flipped_is_found_or_changes_nothing",
    "parquet: a row group without rows": "test_shard_damage.py::TestRowGroups::test_without_rows_is_refused",
    "parquet: no rows at all": "test_shards.py::TestFaults::test_nothing_but_quarantined_rows_is_refused",
    "damage: fails by default": "test_shard_damage.py::TestPolicy::test_damage_is_refused_before_the_first_row",
    "damage: row groups left out": "test_shard_damage.py::TestPolicy::test_row_groups_can_be_left_out",
    "damage: shards left out": "test_shard_damage.py::TestPolicy::test_shards_can_be_left_out",
    "damage: found late": "test_shard_damage.py::TestLate::test_damage_names_its_place",
    "damage: a shard that was exchanged": "test_shard_damage.py::TestLate::test_a_shard_that_was_exchanged_is_noticed",
    "codes: range, books, frames, nulls": "test_shards.py::TestFaults::test_bad_codes_name_row_group_and_utterance",
    "codes: of another codec": "test_shards.py::TestFaults::test_another_codec_is_refused_with_both_sides",
    "codes: of two codecs": "test_shards.py::TestFaults::test_shards_of_two_codecs_are_refused",
    "folder: not all shards": "test_shards.py::TestFolders::test_incomplete_folder_is_refused",
    "folder: two runs": "test_shards.py::TestFolders::test_two_manifests_in_a_folder_are_refused",
    "texts: blank": "test_shard_damage.py::TestRowGroups::test_blank_text_is_refused",
    "sequences: too long, left out": "test_reader.py::TestLongSequences::test_are_counted_and_left_out",
    "sequences: too long, cropped": (
        "test_reader.py::TestLongSequences::test_can_be_cropped_where_a_task_has_one_segment"
    ),
    "sequences: all too long": "test_reader.py::TestLongSequences::test_nothing_else_is_refused",
    "storage: a hiccup": "test_shard_damage.py::TestStorage::test_a_hiccup_is_survived_with_a_new_handle",
    "storage: a lasting failure": "test_shard_damage.py::TestStorage::test_a_lasting_failure_ends_the_run",
    "manifest: ids and paths that leave the folder": (
        "test_manifest.py::TestFaults::test_bad_value_names_file_row_id_and_column"
    ),
    "manifest: damaged": "test_manifest.py::TestFaults::test_damaged_files_are_refused_in_one_line",
    "corpus: audio outside its folders": "preparation/test_prepare.py::TestPaths::test_audio_outside",
    "corpus: ids that are paths": "preparation/test_prepare.py::TestRules::test_bad_ids",
    "workers: one that dies": "test_workers.py::TestErrors::test_a_process_that_was_killed_is_named",
    "workers: other numbers, resumed": "test_prefetch.py::TestState::test_is_of_what_was_handed_out",
}


@pytest.mark.parametrize("bad_input", COVERED)
def test_is_covered(bad_input: str) -> None:
    file, kls, name = COVERED[bad_input].split("::")

    classes = [node for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.ClassDef)]

    (found,) = [node for node in classes if node.name == kls]

    assert name in [node.name for node in found.body if isinstance(node, ast.FunctionDef)]
