"""Recordings that are wrong in every way are set aside, and the run goes on; manifests are refused."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from codec_s2st.data.loading import AudioSettings
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.data.parquet import write_table
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.tokenize import Tokenization, tokenize_manifest
from codec_s2st.errors import UserInputError
from tests.tokenization import RATE, LoudnessCodec, contents

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (4_000, 8))


def patched(path: Path, offset: int, content: bytes) -> None:
    data = bytearray(path.read_bytes())

    data[offset : offset + len(content)] = content

    path.write_bytes(data)


def write_bad_audio(folder: Path) -> dict[str, str]:
    """Writes files that are no audio, and returns a word of the reason for each."""
    reasons = {}

    def bad(name: str, reason: str) -> Path:
        reasons[name] = reason

        return folder / name

    bad("empty.wav", "cannot be read").write_bytes(b"")
    bad("text.wav", "cannot be read").write_bytes(b"this is a text, and no audio " * 500)
    bad("zeros.flac", "cannot be read").write_bytes(bytes(100_000))
    bad("head.mp3", "").write_bytes(b"ID3\x03\x00\x00\x00\x00\x0f\x76" + bytes(2_000))
    bad("missing.wav", "does not exist")
    bad("folder.wav", "not a regular file").mkdir()

    soundfile.write(bad("none.wav", "no samples"), np.zeros(0), RATE)

    for name in ("cut.wav", "cut.flac"):
        soundfile.write(bad(name, "truncated" if name.endswith("wav") else ""), NOISE[:, 0], RATE)

        (folder / name).write_bytes((folder / name).read_bytes()[:3_000])

    for name, value in (("nan.wav", np.nan), ("infinite.wav", np.inf)):
        soundfile.write(bad(name, "NaN or infinite"), np.append(NOISE[:, 0], value), RATE, subtype="FLOAT")

    soundfile.write(bad("loud.wav", "too large"), np.full(4_000, 3.3e38), 2 * RATE, subtype="FLOAT")

    # A header that promises more than there is: 2^36 samples of a flac, and the channels and the rate of a wav.
    soundfile.write(bad("lying.flac", ""), NOISE[:, 0], RATE, subtype="PCM_16")

    patched(folder / "lying.flac", 21, bytes([(folder / "lying.flac").read_bytes()[21] | 0x0F]) + b"\xff" * 4)

    for name, offset, content in (
        ("no-channels.wav", 22, struct.pack("<H", 0)),
        ("65535-channels.wav", 22, struct.pack("<H", 65_535)),
        ("rate.wav", 24, struct.pack("<I", 2_000_000_000)),
        ("long.wav", 40, struct.pack("<I", 0x7FFF_0000)),
    ):
        soundfile.write(bad(name, ""), NOISE[:, 0], RATE)

        patched(folder / name, offset, content)

    soundfile.write(bad("over-long.wav", "longer than"), np.zeros(3 * RATE), RATE)

    return reasons


def write_good_audio(folder: Path) -> list[str]:
    """Writes what is unusual and sound."""
    for name, rate, channels, subtype in (
        ("plain.wav", RATE, 1, "PCM_16"),
        ("192kHz.wav", 192_000, 1, "PCM_24"),
        ("8-channels.wav", 48_000, 8, "PCM_24"),
        ("odd-rate.flac", 44_101, 2, "PCM_24"),
        ("float.wav", 11_025, 2, "DOUBLE"),
    ):
        soundfile.write(folder / name, NOISE[:, :channels], rate, subtype=subtype)

    # As long as it lasts, as programs write into a pipe.
    soundfile.write(folder / "piped.wav", NOISE[:, 0], RATE)

    patched(folder / "piped.wav", 40, struct.pack("<I", 0xFFFF_FFFF))

    return ["plain.wav", "192kHz.wav", "8-channels.wav", "odd-rate.flac", "float.wav", "piped.wav"]


def write_manifest_of(folder: Path, names: list[str]) -> Path:
    rows = [ManifestRow(id=name, split="train", source_audio=name, source_lang="spa") for name in names]

    return write_manifest(manifest_frame(rows), folder)


SETTINGS = AudioSettings(max_seconds=2.0)


class TestBadAudio:
    def test_it_is_set_aside_with_its_reason_and_the_run_goes_on(self, tmp_path: Path) -> None:
        reasons, good = write_bad_audio(tmp_path), write_good_audio(tmp_path)

        # Mixed, so that each has sound neighbours.
        names = sorted([*reasons, *good])

        write_manifest_of(tmp_path, names)

        summary = tokenize_manifest(tmp_path, tmp_path / "out", LoudnessCodec(), rows_per_shard=3, settings=SETTINGS)

        assert summary is not None

        assert (summary.num_rows, summary.num_quarantined) == (len(good), len(reasons))

        found = {item["id"]: item["reason"] for item in pq.read_table(tmp_path / "out/quarantine.parquet").to_pylist()}

        assert found.keys() == reasons.keys()

        for name, word in reasons.items():
            assert word in found[name]

            # Which file, and on one line.
            assert name in found[name] and "\n" not in found[name]

        shards = ShardSet.open([tmp_path / "out"], codec=LoudnessCodec().fingerprint)

        assert {shards.row(idx).id for idx in range(len(shards))} == set(good)

    def test_it_takes_no_memory(self, tmp_path: Path) -> None:
        names = [*write_bad_audio(tmp_path), *write_good_audio(tmp_path)]

        manifest = write_manifest_of(tmp_path, names)

        code = (
            "import resource, sys\n"
            "from pathlib import Path\n"
            "import soundfile, torchaudio.functional\n"
            "from codec_s2st.data.loading import AudioSettings\n"
            "from codec_s2st.data.tokenize import tokenize_manifest\n"
            "from tests.tokenization import LoudnessCodec\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "summary = tokenize_manifest(Path(sys.argv[1]), Path(sys.argv[2]), LoudnessCodec(),\n"
            "                            settings=AudioSettings(max_seconds=300.0))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        )

        run = subprocess.run(
            [sys.executable, "-c", code, str(manifest), str(tmp_path / "out")],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=False,
        )

        assert run.returncode == 0, run.stderr

        # KiB; the headers promise hundreds of gigabytes.
        assert int(run.stdout) < 150_000


class TestPathTraversal:
    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({"source_audio": "../secret.wav"}, "leaves the manifest's folder"),
            ({"source_audio": "a/../../secret.wav"}, "leaves the manifest's folder"),
            ({"source_audio": "a/.."}, "leaves the manifest's folder"),
            ({"source_audio": "../secret.wav#t=0,1"}, "leaves the manifest's folder"),
            ({"source_audio": "a.wav\x00.txt"}, "null character"),
            ({"id": "../u"}, "usable as a file name"),
            ({"id": "/etc/passwd"}, "usable as a file name"),
            ({"id": ".."}, "usable as a file name"),
            ({"id": "a\\b"}, "usable as a file name"),
            ({"id": "a\x00b"}, "usable as a file name"),
            ({"split": "../../train"}, "usable as a file name"),
        ],
    )
    def test_manifest_that_leaves_its_folder_is_refused(self, tmp_path: Path, row: dict[str, str], words: str) -> None:
        soundfile.write(tmp_path / "secret.wav", NOISE[:, 0], RATE)

        values = {"id": "u", "split": "train", "source_audio": "a.wav", "source_lang": "spa", **row}

        folder = tmp_path / "corpus" / "a"

        folder.mkdir(parents=True)

        # As somebody else would write it: our own writer refuses it as well.
        write_table(manifest_frame([ManifestRow(**values)]).to_arrow(), folder.parent / "manifest.parquet")

        with pytest.raises(UserInputError, match=words) as info:
            tokenize_manifest(folder.parent, tmp_path / "out", LoudnessCodec())

        assert info.value.exit_code == 2

        assert not (tmp_path / "out").exists()


class TestTooMany:
    def test_more_shards_than_names_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_good_audio(tmp_path)

        manifest = write_manifest_of(tmp_path, ["plain.wav", "float.wav", "piped.wav"])

        monkeypatch.setattr("codec_s2st.data.tokenize.MAX_SHARDS", 2)

        with pytest.raises(UserInputError, match=r"makes 3 shards of 3 rows, but 2 is the most.*rows_per_shard=2"):
            Tokenization(manifest, tmp_path / "out", LoudnessCodec(), rows_per_shard=1)

    def test_longer_audio_than_the_codec_can_see_at_once_is_refused(self, tmp_path: Path) -> None:
        write_good_audio(tmp_path)

        manifest = write_manifest_of(tmp_path, ["plain.wav"])

        with pytest.raises(UserInputError, match=r"max_seconds is 301, but .*at most 300 seconds fit"):
            Tokenization(manifest, tmp_path, LoudnessCodec(), settings=AudioSettings(max_seconds=301.0))

        assert not contents(tmp_path).keys() & {"quarantine.parquet"}
