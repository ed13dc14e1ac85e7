"""Silence at the ends: where it is found, what is cut off, and that shards say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from codec_s2st.data.loading import AudioSettings
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.data.shard_reader import ShardReader
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.tokenize import tokenize_manifest
from codec_s2st.data.trimming import SilenceMeter
from tests.tokenization import HOP, RATE, LoudnessCodec, contents

FRAME = RATE // 50


def make_speech(before: int, num_samples: int, after: int, *, noise: float = 0.0, gain: float = 0.5) -> Tensor:
    """Returns a tone between stretches of noise, lengths in samples. *Shape:* [1, N]."""
    generator = torch.Generator().manual_seed(0)

    wave = torch.randn(before + num_samples + after, generator=generator) * noise

    wave[before : before + num_samples] += gain * torch.sin(torch.arange(num_samples) * 0.7)

    return wave[None]


def find(wave: Tensor, *, trim_db: float = 40.0, margin: float = 0.0, block: int = 333) -> tuple[int, int] | None:
    meter = SilenceMeter(RATE, trim_db=trim_db, margin=margin)

    for part in wave.split(block, dim=-1):
        meter.add(part)

    return meter.speech()


class TestSilenceMeter:
    @pytest.mark.parametrize("gain", [0.9, 0.001])
    def test_ends_are_found_to_a_frame_whatever_the_level(self, gain: float) -> None:
        wave = make_speech(10 * FRAME, 30 * FRAME, 20 * FRAME, noise=0.001 * gain, gain=gain)

        assert find(wave) == (10 * FRAME, 40 * FRAME)

    def test_level_is_that_of_a_slow_loop(self) -> None:
        generator = torch.Generator().manual_seed(1)

        # Each frame is 2 dB louder than the one before, up to the middle.
        levels = torch.cat([torch.arange(-60.0, 0.0, 2.0), torch.arange(0.0, -60.0, -2.0)])

        wave = torch.cat([torch.randn(FRAME, generator=generator) * 10 ** (level / 20) for level in levels])[None]

        powers = [float(frame.double().square().mean()) for frame in wave[0].split(FRAME)]

        for trim_db in (10.0, 25.0, 59.0):
            loud = [i for i, power in enumerate(powers) if 10 * np.log10(power / max(powers)) > -trim_db]

            assert find(wave, trim_db=trim_db) == (loud[0] * FRAME, (loud[-1] + 1) * FRAME)

    @pytest.mark.parametrize("block", [1, 159, 100_000])
    def test_blocks_do_not_matter(self, block: int) -> None:
        wave = make_speech(1_000, 5_001, 777, noise=0.001)

        assert find(wave, block=block) == find(wave)

    def test_margin_ends_with_the_recording(self) -> None:
        wave = make_speech(10 * FRAME, 30 * FRAME, FRAME)

        assert find(wave, margin=0.1) == (5 * FRAME, 41 * FRAME)

    def test_speech_up_to_the_ends_stays_whole(self) -> None:
        assert find(make_speech(0, 1_001, 0)) == (0, 1_001)

        assert find(make_speech(0, 3, 0)) == (0, 3)

    def test_nothing_but_zeros_is_silence(self) -> None:
        assert find(torch.zeros(1, 5_000)) is None


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"

    folder.mkdir()

    for idx, (before, after) in enumerate([(4_000, 8_000), (0, 0), (0, 2_400)]):
        soundfile.write(folder / f"{idx}.wav", make_speech(before, 8_000, after)[0].numpy(), RATE)

    soundfile.write(folder / "3.wav", np.zeros(4_000), RATE)

    rows = [ManifestRow(id=f"u{i}", split="train", target_audio=f"{i}.wav", target_lang="eng") for i in range(4)]

    rows.append(ManifestRow(id="t", split="train", source_text="uno", source_lang="spa"))

    return write_manifest(manifest_frame(rows), folder)


SETTINGS = AudioSettings(max_seconds=60.0, trim_db=40.0, trim_margin=0.1)


class TestTokenize:
    def test_silence_is_cut_off_and_shards_say_so(self, tmp_path: Path, manifest: Path) -> None:
        summary = tokenize_manifest(manifest, tmp_path / "out", LoudnessCodec(), settings=SETTINGS)

        assert summary is not None

        assert (summary.num_rows, summary.num_quarantined) == (4, 1)

        assert summary.trimmed_seconds == pytest.approx(0.4 + 0.9 + 0.2)

        with_silence = 8_000 + 2 * 800, 8_000, 8_000 + 800

        shards = ShardSet.open([tmp_path / "out"], codec=None)

        assert [int(num) for num in shards.num_frames("target")] == [*(-(-num // HOP) for num in with_silence), 0]

        reader = ShardReader(tmp_path / "out" / "shard-00000-of-00001.parquet")

        (group,) = reader.row_groups()

        rows = list(group.rows())

        assert [row.target.trimmed for row in rows] == [
            pytest.approx((0.4, 0.9)),
            (0.0, 0.0),
            pytest.approx((0.0, 0.2)),
            None,
        ]

        assert rows[0].source.trimmed is None

        assert "nothing but silence" in reader.metadata.quarantined[0].reason

        assert reader.metadata.provenance["trim_db"] == 40.0

    def test_again_changes_nothing_and_other_settings_do(self, tmp_path: Path, manifest: Path) -> None:
        out = tmp_path / "out"

        tokenize_manifest(manifest, out, LoudnessCodec(), settings=SETTINGS)

        before = contents(out)

        # The row of silence is tried again, and the others are taken over.
        soundfile.write(manifest.parent / "3.wav", make_speech(0, 800, 800)[0].numpy(), RATE)

        tokenize_manifest(manifest, out, LoudnessCodec(), settings=SETTINGS)

        mended = contents(out)

        assert mended != before

        tokenize_manifest(manifest, tmp_path / "clean", LoudnessCodec(), settings=SETTINGS)

        assert contents(tmp_path / "clean") == mended

        codec = LoudnessCodec()

        tokenize_manifest(manifest, out, codec, settings=AudioSettings(max_seconds=60.0))

        assert codec.num_calls == 4

    def test_without_it_shards_are_as_before_there_was_any(self, tmp_path: Path, manifest: Path) -> None:
        summary = tokenize_manifest(manifest, tmp_path / "out", LoudnessCodec())

        assert summary is not None

        assert "silence" not in str(summary)

        with (tmp_path / "out" / "shard-00000-of-00001.parquet").open("rb") as fp:
            assert b"trim" not in fp.read()
