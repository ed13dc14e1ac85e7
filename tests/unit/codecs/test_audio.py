"""Audio files: what is read, what is refused, and how they are written."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from codec_s2st.codecs import audio_source
from codec_s2st.codecs.audio import check_output_path, read_audio, resample, write_audio
from codec_s2st.errors import CodecS2STError, UserInputError

RATE = 16_000


def make_tone(rate: int, *, seconds: float = 0.5, frequency: float = 440.0) -> Tensor:
    return 0.5 * torch.sin(2 * torch.pi * frequency / rate * torch.arange(int(rate * seconds)))[None]


def write(path: Path, wave: Tensor, rate: int, subtype: str | None = None) -> Path:
    """Writes ``wave`` [C, N] as soundfile would."""
    soundfile.write(path, wave.T.numpy(), rate, subtype=subtype)

    return path


def patch(path: Path, offset: int, content: bytes) -> Path:
    with path.open("r+b") as fp:
        fp.seek(offset)
        fp.write(content)

    return path


@pytest.fixture
def tone_file(tmp_path: Path) -> Path:
    return write(tmp_path / "tone.wav", make_tone(RATE), RATE, "PCM_16")


class TestReadAudio:
    @pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000])
    def test_any_rate_is_the_same_tone(self, tmp_path: Path, rate: int) -> None:
        path = write(tmp_path / "tone.wav", make_tone(rate), rate, "FLOAT")

        wave = read_audio(path, sample_rate=RATE)

        assert wave.dtype == torch.float32

        assert wave.shape == (1, -(-int(rate * 0.5) * RATE // rate))

        # The ends ring: the tone starts and stops there.
        middle = slice(800, 7_000)

        assert float((wave - make_tone(RATE)[:, : wave.size(1)])[:, middle].abs().max()) < 5e-3

    @pytest.mark.parametrize(
        ("name", "subtype", "tolerance"),
        [
            ("a.wav", "PCM_16", 1e-4),
            ("a.wav", "PCM_24", 1e-6),
            ("a.wav", "PCM_32", 1e-7),
            ("a.wav", "PCM_U8", 1e-2),
            ("a.wav", "FLOAT", 0.0),
            ("a.wav", "DOUBLE", 1e-7),
            ("a.wav", "ULAW", 2e-2),
            ("a.flac", "PCM_16", 1e-4),
            ("a.flac", "PCM_24", 1e-6),
            ("a.ogg", "VORBIS", 5e-2),
            ("a.ogg", "OPUS", 5e-2),
        ],
    )
    def test_any_format_is_the_same_tone(self, tmp_path: Path, name: str, subtype: str, tolerance: float) -> None:
        tone = make_tone(RATE)

        wave = read_audio(write(tmp_path / name, tone, RATE, subtype), sample_rate=RATE)

        assert wave.shape == tone.shape

        assert float((wave - tone)[:, 800:7_000].abs().max()) <= tolerance

    @pytest.mark.parametrize("num_channels", [2, 3, 8])
    def test_channels_are_averaged(self, tmp_path: Path, num_channels: int) -> None:
        channels = torch.rand(num_channels, 3_000) - 0.5

        wave = read_audio(write(tmp_path / "a.wav", channels, RATE, "FLOAT"), sample_rate=RATE)

        torch.testing.assert_close(wave, channels.mean(0, keepdim=True))

    def test_block_borders_leave_no_trace(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        channels = torch.rand(2, 1_001) - 0.5

        path = write(tmp_path / "a.wav", channels, RATE, "FLOAT")

        monkeypatch.setattr(audio_source, "BLOCK_VALUES", 100)

        torch.testing.assert_close(read_audio(path, sample_rate=RATE), channels.mean(0, keepdim=True))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "cannot be read"),
            (b"this is no audio at all " * 100, "cannot be read"),
            (b"RIFF\x24\x00\x00\x00WAVE", "truncated"),
            (b"fLaC", "cannot be read"),
            (b"OggS" + bytes(100), "cannot be read"),
            (bytes(10_000), "cannot be read"),
        ],
    )
    def test_what_is_no_audio_is_refused(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = tmp_path / "bad.wav"
        path.write_bytes(content)

        with pytest.raises(UserInputError, match=words) as info:
            read_audio(path, sample_rate=RATE)

        assert str(path) in str(info.value)

        assert "\n" not in str(info.value)

    def test_headerless_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a.raw"
        path.write_bytes(bytes(1_000))

        with pytest.raises(UserInputError, match="no header"):
            read_audio(path, sample_rate=RATE)

    def test_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=r"nope\.wav' does not exist"):
            read_audio(tmp_path / "nope.wav", sample_rate=RATE)

    def test_folder_and_pipe_are_refused(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.wav")

        for path in (tmp_path, tmp_path / "pipe.wav"):
            with pytest.raises(UserInputError, match="not a regular file"):
                read_audio(path, sample_rate=RATE)

    @pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
    def test_empty_audio_is_refused(self, tmp_path: Path, suffix: str) -> None:
        path = write(tmp_path / f"a{suffix}", torch.zeros(1, 0), RATE)

        with pytest.raises(UserInputError):
            read_audio(path, sample_rate=RATE)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_samples_that_are_not_finite_are_refused(self, tmp_path: Path, value: float) -> None:
        wave = make_tone(RATE)
        wave[0, 5_000] = value

        with pytest.raises(UserInputError, match="NaN or infinite"):
            read_audio(write(tmp_path / "a.wav", wave, RATE, "FLOAT"), sample_rate=RATE)

    def test_channels_whose_mean_is_infinite_are_refused(self, tmp_path: Path) -> None:
        wave = torch.full((8, 100), 3e38)

        with pytest.raises(UserInputError, match="NaN or infinite"):
            read_audio(write(tmp_path / "a.wav", wave, RATE, "FLOAT"), sample_rate=RATE)

    @pytest.mark.parametrize("name", ["a.wav", "a.flac"])
    @pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
    def test_truncated_file_is_refused(self, tmp_path: Path, name: str, share: float) -> None:
        # Noise: a tone is so well compressed that 2 % of a flac file are nothing.
        path = write(tmp_path / name, torch.rand(1, 16_000) - 0.5, RATE, "PCM_16")

        content = path.read_bytes()

        path.write_bytes(content[: int(len(content) * share)])

        with pytest.raises(UserInputError):
            read_audio(path, sample_rate=RATE)

    def test_wav_of_unknown_length_is_read(self, tone_file: Path) -> None:
        expected = read_audio(tone_file, sample_rate=RATE)

        # What ffmpeg and sox write into a pipe.
        for size in (0xFFFFFFFF, 0x7FFFF000):
            patch(tone_file, 40, struct.pack("<I", size))

            assert torch.equal(read_audio(tone_file, sample_rate=RATE), expected)

    @pytest.mark.parametrize("num_channels", [0, 2_000])
    def test_impossible_number_of_channels_is_refused(self, tone_file: Path, num_channels: int) -> None:
        patch(tone_file, 22, struct.pack("<H", num_channels))

        with pytest.raises(UserInputError, match="cannot be read"):
            read_audio(tone_file, sample_rate=RATE)

    @pytest.mark.parametrize("rate", [1, 999, 768_001, 2_000_000_000])
    def test_impossible_rate_is_refused(self, tone_file: Path, rate: int) -> None:
        patch(tone_file, 24, struct.pack("<I", rate))

        with pytest.raises(UserInputError):
            read_audio(tone_file, sample_rate=RATE)

    def test_long_audio_is_refused(self, tone_file: Path) -> None:
        assert read_audio(tone_file, sample_rate=RATE, max_seconds=0.5).size(1) == 8_000

        with pytest.raises(UserInputError, match=r"longer than 0\.4 s"):
            read_audio(tone_file, sample_rate=RATE, max_seconds=0.4)

    def test_lying_header_takes_no_memory(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.flac", torch.rand(1, 50_000) - 0.5, RATE, "PCM_16")

        # The header's total number of samples: 36 bits from the middle of byte 21 on.
        patch(path, 21, bytes([path.read_bytes()[21] | 0x0F]) + b"\xff" * 4)

        assert soundfile.info(path).frames == 2**36 - 1

        code = (
            "import resource, sys\n"
            "from codec_s2st.codecs.audio import read_audio\n"
            "from codec_s2st.errors import UserInputError\n"
            "import soundfile, torchaudio.functional\n"
            "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20,) * 2)\n"
            "try:\n"
            f"    read_audio({str(path)!r}, sample_rate=16000)\n"
            "except UserInputError as ex:\n"
            "    print('refused:', ex)\n"
        )

        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert result.stdout.startswith("refused:"), result.stderr

    def test_garbled_files_never_crash(self, tmp_path: Path) -> None:
        generator = np.random.default_rng(0)

        contents = [
            write(tmp_path / name, torch.rand(2, 2_000) - 0.5, RATE).read_bytes()
            for name in ("a.wav", "a.flac", "a.ogg")
        ]

        num_refused = 0

        for trial in range(300):
            content = np.frombuffer(contents[trial % 3], dtype=np.uint8).copy()

            # Headers are hit as often as samples.
            places = generator.integers(0, 100 if trial % 2 else len(content), size=4)

            content[places] = generator.integers(0, 256, size=4)

            path = tmp_path / "garbled.wav"
            path.write_bytes(content.tobytes())

            try:
                wave = read_audio(path, sample_rate=RATE)
            except UserInputError:
                num_refused += 1
            else:
                assert bool(wave.isfinite().all())

        assert 20 < num_refused < 300


class TestResample:
    @pytest.mark.parametrize(("from_rate", "to_rate"), [(44_101, 16_000), (767_999, 24_000), (23_999, 24_000)])
    def test_odd_ratio_takes_little_memory(self, from_rate: int, to_rate: int) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        wave = resample(make_tone(from_rate, frequency=300.0), from_rate, to_rate)

        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB

        expected = make_tone(to_rate, frequency=300.0)

        num_samples = min(wave.size(1), expected.size(1))

        assert abs(wave.size(1) - expected.size(1)) <= 1

        middle = slice(to_rate // 20, num_samples - to_rate // 20)

        assert float((wave[:, :num_samples] - expected[:, :num_samples])[:, middle].abs().max()) < 2e-2

    def test_same_rate_is_untouched(self) -> None:
        wave = make_tone(RATE)

        assert resample(wave, RATE, RATE) is wave


class TestWriteAudio:
    @pytest.mark.parametrize(("name", "tolerance"), [("a.wav", 1e-4), ("a.FLAC", 1e-4), ("a.ogg", 5e-2)])
    def test_round_trip(self, tmp_path: Path, name: str, tolerance: float) -> None:
        # Longer than a block, of which the Vorbis encoder would die.
        wave = make_tone(RATE, seconds=20.0)

        write_audio(tmp_path / name, wave, RATE)

        info = soundfile.info(tmp_path / name)

        assert (info.samplerate, info.channels, info.frames) == (RATE, 1, wave.size(1))

        read = read_audio(tmp_path / name, sample_rate=RATE)

        assert float((read - wave)[:, 800:-800].abs().max()) <= tolerance

    def test_wav_is_16_bit_and_the_same_bytes_again(self, tmp_path: Path) -> None:
        for name in ("a.wav", "b.wav"):
            write_audio(tmp_path / name, make_tone(RATE), RATE)

        assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"

        assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()

    def test_loud_samples_are_clipped(self, tmp_path: Path) -> None:
        write_audio(tmp_path / "a.wav", torch.tensor([[2.0, -2.0, 0.5]]), RATE)

        wave = read_audio(tmp_path / "a.wav", sample_rate=RATE)

        torch.testing.assert_close(wave, torch.tensor([[1.0, -1.0, 0.5]]), rtol=0, atol=1e-4)

    def test_existing_file_is_replaced(self, tone_file: Path) -> None:
        write_audio(tone_file, torch.zeros(1, 10), RATE)

        assert read_audio(tone_file, sample_rate=RATE).size(1) == 10

    def test_permissions_are_those_of_any_file(self, tmp_path: Path) -> None:
        write_audio(tmp_path / "a.wav", make_tone(RATE), RATE)

        (tmp_path / "other").touch()

        assert (tmp_path / "a.wav").stat().st_mode == (tmp_path / "other").stat().st_mode

    def test_failure_leaves_the_old_file_and_nothing_else(
        self, tone_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = tone_file.read_bytes()

        def write_half(path: Path, data: bytes) -> int:
            with path.open("wb") as fp:
                fp.write(data[: len(data) // 2])

            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", write_half)

        with pytest.raises(CodecS2STError, match=r"tone\.wav' \(\d+ bytes\) cannot be written: No space left"):
            write_audio(tone_file, make_tone(RATE, seconds=1.0), RATE)

        assert [path.name for path in tone_file.parent.iterdir()] == ["tone.wav"]

        assert tone_file.read_bytes() == content

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("a.mp3", "must end in one of"),
            ("a", "must end in one of"),
            ("no/a.wav", "no folder"),
            ("d.wav", "a folder"),
        ],
    )
    def test_bad_path_is_refused(self, tmp_path: Path, name: str, words: str) -> None:
        (tmp_path / "d.wav").mkdir()

        for attempt in (check_output_path, lambda path: write_audio(path, make_tone(RATE), RATE)):
            with pytest.raises(UserInputError, match=words):
                attempt(tmp_path / name)

        assert [path.name for path in tmp_path.iterdir()] == ["d.wav"]

    @pytest.mark.parametrize("wave", [torch.zeros(10), torch.zeros(2, 10), torch.tensor([[float("nan")]])])
    def test_bad_wave_is_refused(self, tmp_path: Path, wave: Tensor) -> None:
        with pytest.raises(ValueError):
            write_audio(tmp_path / "a.wav", wave, RATE)

        assert not list(tmp_path.iterdir())
