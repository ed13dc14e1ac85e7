"""From a segment list to token shards: the codes are those of the stretch, and what is wrong is quarantined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from torch import Tensor
from typing_extensions import override

from codec_s2st.codecs.codec import Codec
from codec_s2st.data.loading import AudioSettings
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.tokenize import tokenize_manifest
from codec_s2st.tokens.streams import StreamSpec

RATE, HOP = 8000, 80


class PeakCodec(Codec):
    """A code is the largest amplitude of a frame."""

    def __init__(self) -> None:
        super().__init__(StreamSpec((1024,), HOP, RATE))

        self.set_fingerprint("codec_s2st_peak", "cd" * 32)

    @override
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        frames = torch.nn.functional.pad(wave, (0, -wave.size(-1) % HOP)).unflatten(-1, (-1, HOP)).abs()

        return (frames.amax(-1) * 1023.99).long()

    @override
    def _do_decode(self, codes: Tensor) -> Tensor:
        raise NotImplementedError


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    wave = np.random.default_rng(0).uniform(-1, 1, 4 * RATE)

    stretches = {"a": (0, 1), "b": (1, 1.5), "c": (2.25, 4)}

    soundfile.write(tmp_path / "long.flac", wave, RATE)

    rows = []

    for id_, (begin, end) in stretches.items():
        soundfile.write(tmp_path / f"{id_}.flac", wave[round(begin * RATE) : round(end * RATE)], RATE)

        for kind, audio in (("cut", f"{id_}.flac"), ("stretch", f"long.flac#t={begin},{end}")):
            rows.append(
                ManifestRow(id=f"{id_}-{kind}", split="train", source_audio=audio, source_text=id_, source_lang="spa")
            )

    beyond = str(tmp_path / "long.flac#t=3.5,5")

    rows.append(ManifestRow(id="beyond", split="train", source_audio=beyond, source_lang="spa"))

    return write_manifest(manifest_frame(rows), tmp_path)


def test_codes_are_those_of_the_file_cut_out(manifest: Path, tmp_path: Path) -> None:
    codec = PeakCodec()

    summary = tokenize_manifest(manifest, tmp_path / "tokens", codec)

    assert summary is not None and (summary.num_rows, summary.num_quarantined) == (6, 1)

    shards = ShardSet.open([tmp_path / "tokens"], codec=codec.fingerprint)

    codes = {row.id: row.source.codes for row in (shards.row(idx) for idx in range(len(shards)))}

    for id_, num_frames in (("a", 100), ("b", 50), ("c", 175)):
        cut, stretch = codes[f"{id_}-cut"], codes[f"{id_}-stretch"]

        assert cut is not None and stretch is not None and cut.shape == (num_frames, 1)

        np.testing.assert_array_equal(cut, stretch)

    (flaw,) = pq.read_table(tmp_path / "tokens" / "quarantine.parquet").to_pylist()

    assert flaw["id"] == "beyond" and "has 4 s, but is asked for 3.5 to 5 s" in flaw["reason"]


def test_the_limit_is_that_of_the_stretch(manifest: Path, tmp_path: Path) -> None:
    summary = tokenize_manifest(manifest, tmp_path / "tokens", PeakCodec(), settings=AudioSettings(max_seconds=1.2))

    # The recording of 4 s is too long, two of its three stretches are not.
    assert summary is not None and (summary.num_rows, summary.num_quarantined) == (4, 3)
