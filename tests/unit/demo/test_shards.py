from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from codec_s2st.data.alignment import join_texts
from codec_s2st.data.shard_format import Side
from codec_s2st.data.shard_reader import ShardReader
from codec_s2st.data.shards import ShardSet
from codec_s2st.demo.espeak import SOURCE_VOICES
from codec_s2st.demo.family import DemoShardsConfig
from codec_s2st.demo.grammar import sample_pairs, sample_second_text
from codec_s2st.demo.shards import _make_shard, _plan, demo_shards_dir

pytest.importorskip("espeakng_loader")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Yields the folders of shards with and without alignments."""
    configs = [
        DemoShardsConfig(num_pairs=4, num_valid_pairs=1, num_text_pairs=2, alignments=alignments)
        for alignments in (True, False)
    ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODEC_S2ST_CACHE", str(tmp_path_factory.mktemp("cache")))

        for config in configs:
            folder = demo_shards_dir(config)

            folder.mkdir(parents=True)

            # As the processes of a pool do, whose start takes seconds.
            for job in _plan(folder, config):
                _make_shard(job)

        one, two = map(demo_shards_dir, configs)

        yield one, two


def test_alignments_are_added_and_change_nothing_else(folders: tuple[Path, Path]) -> None:
    aligned, plain = (ShardSet.open([folder], codec=None) for folder in folders)

    assert len(aligned) == len(plain) == 7

    for i in range(len(plain)):
        one, two = aligned.row(i), plain.row(i)

        for a, b in ((one.source, two.source), (one.target, two.target)):
            assert (a.text, a.lang, a.speaker) == (b.text, b.lang, b.speaker) and b.alignment is None

            if b.codes is None:
                assert a.codes is None and a.alignment is None

                continue

            assert a.codes is not None and a.codes.tolist() == b.codes.tolist()

            assert a.alignment is not None and join_texts([span.text for span in a.alignment], a.lang) == a.text

            # At 25 frames a second, 40 ms of silence are a frame.
            assert a.alignment[0].begin <= 2 and len(a.codes) - 5 <= a.alignment[-1].end <= len(a.codes)


def test_shards_without_say_nothing_of_them(folders: tuple[Path, Path]) -> None:
    [first, *_] = sorted(folders[1].glob("*.parquet"))

    with closing(ShardReader(first)) as reader:
        settings = reader.metadata.provenance["demo_world"]

    assert settings == {
        "num_pairs": 4, "num_valid_pairs": 1, "num_text_pairs": 2, "seed": 1, "codec": "codec_s2st_demo_codec",
    }  # fmt: skip


def test_the_shards_of_published_runs_keep_their_place() -> None:
    # Whoever changes this makes everybody's shards anew.
    assert demo_shards_dir(DemoShardsConfig()).name == "4bd56e04f43da727"

    others = [
        DemoShardsConfig(world="large"),
        DemoShardsConfig(world="small"),
        DemoShardsConfig(num_second_text=1),
        DemoShardsConfig(alignments=True),
    ]

    assert len({demo_shards_dir(config) for config in [DemoShardsConfig(), *others]}) == 5


def test_second_text_stands_alone_on_the_targets_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEC_S2ST_CACHE", str(tmp_path))

    config = DemoShardsConfig(world="large", num_pairs=2, num_valid_pairs=1, num_text_pairs=2, num_second_text=3)

    folder = demo_shards_dir(config)

    folder.mkdir(parents=True)

    for job in _plan(folder, config):
        _make_shard(job)

    shards = ShardSet.open([folder], codec=None)

    rows = [shards.row(i) for i in range(len(shards))]

    assert [row.target.text for row in rows[:2]] == [p.eng for p in sample_pairs("train", 2, 1, world="large")]

    assert [row.target.text for row in rows[5:]] == sample_second_text(3, 1)

    assert all(row.source == Side() for row in rows[5:])
    assert {(row.split, row.target.lang) for row in rows[5:]} == {("train", "eng")}

    assert {row.source.speaker for row in rows[:3]} <= {voice.name for voice in SOURCE_VOICES}
