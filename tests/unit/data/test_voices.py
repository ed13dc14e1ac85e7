from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec_s2st.data.mixture import MixtureEntry, TaskSource
from codec_s2st.data.shards import ShardRow, ShardSet, Side
from codec_s2st.data.slots import VoiceSlot
from codec_s2st.data.voices import Voices
from codec_s2st.errors import UserInputError
from tests.factories import open_toy_shards, toy_fingerprint, write_toy_shards

# A frame lasts 40 ms.
SECONDS = 0.12
NUM_FRAMES = 3

SPEAKERS = ["ana", "luis", "ana", None, "ana", "eva", "luis", "ana"]


def codes(row: int, num_frames: int) -> np.ndarray:  # type: ignore[type-arg]
    """Returns codes that say which row, and which frame of it, they are of."""
    return np.stack([np.full(num_frames, row), np.arange(num_frames)], axis=1).astype(np.int16)


def make_rows(num_frames: int = 8) -> list[ShardRow]:
    return [
        ShardRow(
            f"u{i}", "train", Side(codes(i, num_frames), "uno", "spa", speaker), Side(codes(i, 2), "one", "eng", "b")
        )
        for i, speaker in enumerate(SPEAKERS)
    ]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return open_toy_shards(tmp_path_factory.mktemp("shards"), make_rows())


def voices(shards: ShardSet, *, seed: int = 1, usable: list[bool] | None = None, **options: str) -> Voices:
    slot = VoiceSlot(side="source", seconds=SECONDS, **options)  # type: ignore[arg-type]

    return Voices(shards, slot, "source", np.array(usable or [True] * len(shards)), seed)


class TestOtherUtterance:
    def test_serves_rows_whose_speaker_says_something_else_too(self, shards: ShardSet) -> None:
        assert voices(shards).serves.tolist() == [True, True, True, False, True, False, True, True]

    def test_is_of_the_same_speaker_and_of_another_row(self, shards: ShardSet) -> None:
        seen = set()

        for seed in range(250):
            found = voices(shards, seed=seed)

            for idx in np.flatnonzero(found.serves):
                voice = found.of(int(idx), f"u{idx}", shards.row)

                [other] = set(voice[:, 0].tolist())

                assert SPEAKERS[other] == SPEAKERS[idx] and other != idx

                # A stretch of it, as it is said.
                assert voice.shape == (NUM_FRAMES, 2)
                assert np.diff(voice[:, 1]).tolist() == [1] * (NUM_FRAMES - 1)

                seen.add((int(idx), other, int(voice[0, 1])))

        # Every choice there is: four rows of ana, two of luis, six places to begin at.
        assert len(seen) == (4 * 3 + 2) * 6

    def test_is_a_function_of_seed_and_row(self, shards: ShardSet) -> None:
        one, two, three = voices(shards), voices(shards), voices(shards, seed=2)

        rows = [int(idx) for idx in np.flatnonzero(one.serves)]

        def draw(found: Voices) -> list[list[list[int]]]:
            return [found.of(idx, f"u{idx}", shards.row).tolist() for idx in rows]

        assert draw(one) == draw(two) != draw(three)

    def test_rows_that_are_not_read_lend_no_voice(self, shards: ShardSet) -> None:
        found = voices(shards, usable=[True, True, True, True, True, True, False, False])

        assert found.serves.tolist() == [True, False, True, False, True, False, False, False]

        assert {
            int(voices(shards, seed=seed, usable=[True] * 3 + [False] * 5).of(0, "u0", shards.row)[0, 0])
            for seed in range(9)
        } == {2}

    def test_comes_from_near_by(self, tmp_path: Path) -> None:
        """So that it is mostly in what was read with the row."""
        rows = [ShardRow(f"u{i}", "train", Side(codes(i, 8), "uno", "spa", "ana"), Side()) for i in range(50)]

        shards = open_toy_shards(tmp_path, rows, toy_fingerprint((50, 8)))

        for idx, near in ((0, range(17)), (3, range(17)), (20, range(12, 29)), (49, range(33, 50))):
            seen = {int(voices(shards, seed=seed).of(idx, f"u{idx}", shards.row)[0, 0]) for seed in range(200)}

            assert seen == set(near) - {idx}

    def test_short_utterances_are_taken_whole(self, tmp_path: Path) -> None:
        shards = open_toy_shards(tmp_path, make_rows(num_frames=2))

        assert voices(shards).of(0, "u0", shards.row)[:, 1].tolist() == [0, 1]

    def test_equal_names_in_two_corpora_are_two_speakers(self, tmp_path: Path) -> None:
        rows = make_rows()[:2]

        for names in (("a", "b"), ("a/shards", "b/shards")):
            both = ShardSet.open([write_toy_shards(tmp_path / name, rows) for name in names], codec=None)

            assert both.corpora == list(names)

            assert both.speakers("source").tolist() == [0, 1, 2, 3]

            assert not voices(both).serves.any()

    def test_shards_of_one_folder_are_of_one_corpus(self, tmp_path: Path) -> None:
        folder = write_toy_shards(tmp_path / "a", make_rows()[:2])

        assert ShardSet.open(sorted(folder.glob("*.parquet")), codec=None).corpora == ["a"]

    def test_the_first_code_books_are_those_of_the_shards(self, shards: ShardSet) -> None:
        assert voices(shards.first(1)).of(0, "u0", shards.first(1).row).shape == (NUM_FRAMES, 1)

    def test_a_voice_of_no_frame_is_refused(self, shards: ShardSet) -> None:
        with pytest.raises(UserInputError, match=r"a voice of 0.01 s is less than one frame of the codec 'toy'"):
            Voices(shards, VoiceSlot(side="source", seconds=0.01), "source", np.ones(8, dtype=bool), 0)


class TestSameUtterance:
    def test_is_a_stretch_of_the_row_itself(self, shards: ShardSet) -> None:
        found = voices(shards, utterance="same")

        assert found.serves.all()

        begins = set()

        for seed in range(40):
            voice = voices(shards, seed=seed, utterance="same").of(3, "u3", shards.row)

            assert voice.tolist() == codes(3, 8)[voice[0, 1] : voice[0, 1] + NUM_FRAMES].tolist()

            begins.add(int(voice[0, 1]))

        assert begins == set(range(6))


class TestTaskSource:
    def test_examples_have_a_voice(self, shards: ShardSet) -> None:
        source = TaskSource.select(MixtureEntry(task="tts_voice"), shards, ["train"], seed=5)

        assert source.indices.tolist() == [0, 1, 2, 4, 6, 7]

        for i in range(len(source)):
            example = source.example(i)

            assert example.voice is not None and example.row.id == f"u{source.indices[i]}"

            assert SPEAKERS[example.voice[0, 0]] == example.row.source.speaker

            assert all(slot.fits(example) for slot in source.template.slots)

            # Three seconds are 75 frames, more than there are.
            assert len(example.voice) == 8

    def test_the_voice_is_of_the_side_that_is_meant(self, shards: ShardSet) -> None:
        target = TaskSource.select(MixtureEntry(task="s2st_voice"), shards, ["train"]).example(0)

        assert target.voice is not None and len(target.voice) == 2

        swapped = TaskSource.select(MixtureEntry(task="s2st_voice", reverse=True), shards, ["train"]).example(0)

        assert swapped.voice is not None and len(swapped.voice) == 8

        assert swapped.row.target.speaker == SPEAKERS[swapped.voice[0, 0]]

    def test_rows_without_speakers_are_refused(self, tmp_path: Path) -> None:
        rows = [ShardRow(f"u{i}", "train", Side(codes(i, 3), "uno", "spa"), Side()) for i in range(3)]

        with pytest.raises(UserInputError, match="none of the 3 rows in the shards serves task 'tts_voice'"):
            TaskSource.select(MixtureEntry(task="tts_voice"), open_toy_shards(tmp_path, rows), ["train"])


def test_the_toy_codec_has_frames_of_40_ms() -> None:
    assert toy_fingerprint().spec.frame_rate * SECONDS == NUM_FRAMES
