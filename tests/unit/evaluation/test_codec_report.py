"""``codec-s2st codec-report`` with the shipped codec."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from codec_s2st.cli import main
from codec_s2st.codecs import load_codec
from codec_s2st.codecs.audio import read_audio
from tests.published import write_speech


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [
        write_speech(tmp_path / "a.wav", seconds=2.0),
        # Another rate, two channels, and a length that is no number of frames.
        write_speech(tmp_path / "b.flac", seconds=1.013, rate=22_050, channels=2, seed=1),
    ]


def report(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, object]:
    assert main(["codec-report", *map(str, args), "--json"]) == 0

    output: dict[str, object] = json.loads(capsys.readouterr().out)

    return output


def test_json_holds_what_was_asked_for(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    output = report(capsys, "demo_codec", *files)

    codec = load_codec("demo_codec")

    assert output["codec"] == {
        "name": "codec_s2st_demo_codec",
        "weights_hash": codec.fingerprint.weights_hash,
        "digest": codec.fingerprint.digest,
    }

    assert (output["frame_rate"], output["num_streams"], output["sample_rate"]) == (25.0, 8, 16_000)

    # 25 frames of 8 codes of 9 bits.
    assert output["bitrate"] == 1800.0

    waves = [read_audio(file, sample_rate=16_000) for file in files]

    codes = torch.cat([codec.encode(wave[None])[0] for wave in waves], dim=1)

    assert output["num_frames"] == codes.size(1)

    assert output["seconds"] == pytest.approx(sum(wave.size(-1) for wave in waves) / 16_000)

    levels: list[dict[str, float]] = output["levels"]  # type: ignore[assignment]

    assert [level["num_used"] for level in levels] == [row.unique().numel() for row in codes]

    entropy = sum(math.log2(level["perplexity"]) for level in levels)

    assert output["entropy_rate"] == pytest.approx(25 * entropy)

    assert 0 < 25 * entropy < 1800

    scores: dict[str, dict[str, float]] = output["scores"]  # type: ignore[assignment]

    assert list(scores) == ["stoi", "pesq", "si_sdr", "mel_distance"]

    recordings: list[dict[str, float]] = output["recordings"]  # type: ignore[assignment]

    for name in ("stoi", "si_sdr", "mel_distance"):
        values = [recording[name] for recording in recordings]

        assert scores[name]["value"] == pytest.approx(sum(values) / 2)

        assert scores[name]["num_recordings"] == 2

    factor: dict[str, float] = output["real_time_factor"]  # type: ignore[assignment]

    assert 0 < factor["encode"] < 5 and 0 < factor["decode"] < 5


def test_num_streams_narrows_the_codec(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    full, narrow = report(capsys, "demo_codec", *files), report(capsys, "demo_codec", *files, "--num-streams", 1)

    assert (narrow["num_streams"], narrow["bitrate"]) == (1, 225.0)

    assert narrow["levels"] == full["levels"][:1]  # type: ignore[index]

    # Fewer code books say less.
    assert narrow["scores"]["mel_distance"]["value"] > full["scores"]["mel_distance"]["value"]  # type: ignore[index]


def test_text_says_what_is_not_measured(
    files: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    monkeypatch.setitem(sys.modules, "pystoi", None)

    assert main(["codec-report", "demo_codec", *map(str, files)]) == 0

    lines = capsys.readouterr().out.splitlines()

    assert lines[0].startswith("codec_s2st_demo_codec: 25 frames a second of 8 code book(s) at 16000 Hz, 1.800 kbit/s")

    assert "STOI                  not measured: not installed: pip install pystoi" in lines

    assert "PESQ, wide band       not measured: not installed: pip install pesq (it is built by a C compiler)" in lines

    assert [line.split()[:2] for line in lines[-8:]] == [[str(level), "512"] for level in range(8)]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["demo_codec", "absent.wav"], "audio file 'absent.wav' does not exist"),
        (["demo_codek", "{wav}"], "unknown codec 'demo_codek': did you mean 'demo_codec'"),
        (["demo_codec", "{wav}", "--num-streams", "9"], "between 1 and 8"),
        (["demo_codec", "{wav}", "--device", "cuda:99"], "this machine has no device 'cuda:99'"),
        (["demo_codec", "{wav}", "--device", "toaster"], "this machine has no device 'toaster'"),
    ],
)
def test_bad_input_is_one_line(
    files: list[Path], args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["codec-report", *(str(files[0]) if arg == "{wav}" else arg for arg in args)]) == 2

    error = capsys.readouterr().err

    assert message in error

    assert error.count("\n") == 1
