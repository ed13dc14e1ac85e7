"""``codec-s2st translate`` of one recording, and the Python way, with a tiny random model and the shipped codec."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec_s2st.cli import main
from codec_s2st.errors import UserInputError
from codec_s2st.translator import SpeechTranslator
from tests.published import contents, publish_random_model, write_speech

FIELDS = [
    "input",
    "output",
    "seconds_in",
    "seconds_out",
    "real_time_factor",
    "model",
    "text",
    "finished",
    "steps",
    "input_flaw",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a random model for s2st and s2tt from Spanish to English."""
    return publish_random_model(tmp_path_factory.mktemp("model"), "tiny_translator")


@pytest.fixture(scope="module")
def translator(model: Path) -> SpeechTranslator:
    return SpeechTranslator.from_card(str(model))


def run(*args: str | Path) -> int:
    return main(["translate", *map(str, args)])


class TestOneRecording:
    @pytest.mark.parametrize(
        ("name", "rate", "channels", "out"),
        [
            ("in.wav", 16_000, 1, "out.wav"),
            ("in.wav", 8_000, 1, "out.flac"),
            ("in.wav", 44_100, 2, "out.ogg"),
            ("in.flac", 22_050, 1, "out.wav"),
            ("in.ogg", 48_000, 2, "out.wav"),
        ],
    )
    def test_speech_to_speech_works(
        self,
        tmp_path: Path,
        model: Path,
        capsys: pytest.CaptureFixture[str],
        name: str,
        rate: int,
        channels: int,
        out: str,
    ) -> None:
        source = write_speech(tmp_path / name, rate=rate, channels=channels)

        assert run(source, tmp_path / out, "--model", model, "--source", "spa", "--target", "eng", "--json") == 0

        [line] = capsys.readouterr().out.splitlines()

        result = json.loads(line)

        info = soundfile.info(str(tmp_path / out))

        assert list(result) == FIELDS
        assert result["input"] == str(source)
        assert result["output"] == str(tmp_path / out)
        assert result["seconds_in"] == pytest.approx(1.0, abs=0.01)
        assert result["seconds_out"] == pytest.approx(info.duration, abs=0.01)
        assert result["real_time_factor"] > 0
        assert result["model"] == "tiny_translator"
        assert result["text"] is None
        assert isinstance(result["finished"], bool)
        assert (info.samplerate, info.channels) == (16_000, 1)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, out])

    def test_speech_to_text_works(self, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = write_speech(tmp_path / "in.wav")

        assert run(source, tmp_path / "out.txt", "--model", model.parent, "--task", "s2tt", "--json") == 0

        result = json.loads(capsys.readouterr().out)

        assert list(result) == FIELDS
        assert result["text"]
        assert result["seconds_out"] == 0
        assert (tmp_path / "out.txt").read_text(encoding="utf-8") == result["text"] + "\n"

    def test_output_that_was_cut_is_warned_of(
        self, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source, out = write_speech(tmp_path / "in.wav"), tmp_path / "out.wav"

        assert run(source, out, "--model", model, "--json") == 0

        output = capsys.readouterr()

        # What the random model does is up to chance, but it is the same in both places.
        warning = f"codec-s2st: warning: {out} was cut at its largest length\n"

        assert output.err == ("" if json.loads(output.out)["finished"] else warning)

    def test_process_without_a_terminal_prints_no_empty_lines(self, tmp_path: Path, model: Path) -> None:
        source = write_speech(tmp_path / "in.wav", seconds=0.3)

        command = [sys.executable, "-m", "codec_s2st", "translate", str(source), "out.wav", "--model", str(model)]

        process = subprocess.run([*command, "--task", "asr"], capture_output=True, text=True, cwd=tmp_path, check=False)

        assert process.returncode == 2
        assert process.stdout == ""
        assert process.stderr == (
            "codec-s2st: error: unknown task 'asr': known: s2st, s2tt (model 'tiny_translator' knows s2st, s2tt)\n"
        )


class TestBadInput:
    """One line on stderr, the exit code, and no file that was not there before."""

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)

        write_speech(Path("in.wav"), seconds=0.5)
        write_speech(Path("long.wav"), seconds=30.0)

        Path("empty.wav").touch()
        Path("corrupt.wav").write_bytes(b"RIFF" + bytes(100))
        Path("cut.wav").write_bytes(Path("in.wav").read_bytes()[:5000])
        Path("noise.flac").write_bytes(np.random.default_rng(0).bytes(1000))
        Path("notes.txt").write_text("no audio")

        soundfile.write("none.wav", np.zeros(0), 16_000)
        soundfile.write("nan.wav", np.full(8000, np.nan), 16_000, subtype="FLOAT")

        Path("folder").mkdir()
        Path("folder.wav").mkdir()

        return tmp_path

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["missing.wav", "out.wav"], "'missing.wav' does not exist"),
            (["empty.wav", "out.wav"], "'empty.wav' cannot be read"),
            (["corrupt.wav", "out.wav"], "'corrupt.wav' cannot be read"),
            (["cut.wav", "out.wav"], "'cut.wav' is truncated"),
            (["noise.flac", "out.wav"], "'noise.flac' cannot be read"),
            (["notes.txt", "out.wav"], "'notes.txt' cannot be read"),
            (["none.wav", "out.wav"], "'none.wav' holds no samples"),
            (["nan.wav", "out.wav"], "'nan.wav' holds samples that are NaN or infinite"),
            (["long.wav", "out.wav"], "'long.wav' has 30.0 s, but model 'tiny_translator' takes at most 6.2 s"),
            (["in.wav", "out.wav", "--source", "sap"], "unknown source language 'sap': did you mean 'spa'?"),
            (["in.wav", "out.wav", "--target", "fra"], "unknown target language 'fra': known: eng"),
            (["in.wav", "out.wav", "--task", "s2ts"], "unknown task 's2ts': did you mean 's2"),
            (["in.wav", "out.wav", "--task", "mt"], "unknown task 'mt': known: s2st, s2tt"),
            (["in.wav", "out.wav", "--batch-size", "0"], "--batch-size is 0, but must be at least 1"),
            (["in.wav", "folder"], "'folder' is a folder, but a file is to be written"),
            (["in.wav", "folder.wav"], "'folder.wav' is a folder, but a file is to be written"),
            (["in.wav", "folder", "--task", "s2tt"], "'folder' is a folder, but a file is to be written"),
            (["in.wav", "absent/out.wav"], "'absent/out.wav' cannot be written: there is no folder 'absent'"),
            (["in.wav", "absent/out.txt", "--task", "s2tt"], "'absent/out.txt' cannot be written: there is no folder"),
            (["in.wav", "notes.txt/out.wav"], "'notes.txt/out.wav' cannot be written: there is no folder"),
            (["in.wav", "/proc/out.wav"], "/proc/out.wav' "),
            (["in.wav", "/proc/out.txt", "--task", "s2tt"], "/proc/out.txt"),
            (["in.wav", "x" * 300 + ".wav"], "File name too long"),
            (["in.wav", "out.mp3"], "'out.mp3' must end in one of .wav, .flac, .ogg"),
            (["in.wav", "in.wav"], "'in.wav' is the input itself"),
            (["folder", "out"], "'folder' holds no recordings"),
            (["folder", "notes.txt"], "'notes.txt' is a file, but many recordings need a folder"),
            (["folder", "notes.txt/out"], "/notes.txt' is not a folder"),
            (["notes.parquet", "out"], "'notes.parquet' does not exist"),
        ],
    )
    def test_bad_input_is_one_line(
        self, folder: Path, model: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
    ) -> None:
        before = contents(folder)

        assert run(*args, "--model", model) == 2

        output = capsys.readouterr()

        assert output.out == ""
        assert output.err.startswith("codec-s2st: error: ")
        assert message in output.err
        assert output.err.count("\n") == 1
        assert contents(folder) == before

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("absent", "unknown model card 'absent'"),
            ("demo_codec", "card 'codec_s2st_demo_codec' is not a translation model"),
            ("./absent", "model 'absent' does not exist"),
            ("folder", "'folder' holds no card of a translation model"),
            ("notes.yaml", "asset card 0 in notes.yaml must be a mapping"),
        ],
    )
    def test_unknown_model_is_one_line(
        self, folder: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
    ) -> None:
        Path("notes.yaml").write_text("no card")

        before = contents(folder)

        assert run("in.wav", "out.wav", "--model", name) == 2

        output = capsys.readouterr()

        assert message in output.err
        assert output.err.count("\n") == 1
        assert contents(folder) == before

    def test_nearest_translation_model_is_suggested(
        self, folder: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from fairseq2 import init_fairseq2

        # The user's own cards, read anew.
        monkeypatch.setenv("FAIRSEQ2_USER_ASSET_DIR", str(model.parent))
        monkeypatch.setattr("fairseq2.runtime.dependency._resolver", None)

        init_fairseq2()

        # Where fairseq2 logs to the console already, it says what it has just set up.
        capsys.readouterr()

        assert run("in.wav", "out.wav", "--model", "tiny_translater") == 2

        assert capsys.readouterr().err == (
            "codec-s2st: error: unknown model card 'tiny_translater': did you mean 'tiny_translator'? "
            "(see: codec-s2st ls --kind cards)\n"
        )

        assert run("in.wav", "out.wav", "--model", "tiny_translator") == 0

    def test_model_without_its_weights_is_one_line(
        self, folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("card.yaml").write_text(model.read_text())

        before = contents(folder)

        assert run("in.wav", "out.wav", "--model", "card.yaml") == 2

        output = capsys.readouterr()

        assert str(folder / "tiny_translator") in output.err
        assert output.err.count("\n") == 1
        assert contents(folder) == before

    def test_full_disk_is_the_machines_fault(
        self, folder: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def write_bytes(path: Path, data: bytes) -> int:
            path.touch()

            raise OSError(28, "No space left on device")

        before = contents(folder)

        monkeypatch.setattr(Path, "write_bytes", write_bytes)

        assert run("in.wav", "out.wav", "--model", model) == 1

        assert capsys.readouterr().err.endswith("cannot be written: No space left on device\n")
        assert contents(folder) == before

    def test_device_is_not_replaced_by_a_file(
        self, folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import os

        # A pipe stands for /dev/null, which root could replace.
        os.mkfifo("pipe.txt")

        assert run("in.wav", "pipe.txt", "--model", model, "--task", "s2tt") == 2

        assert "'pipe.txt' is not a regular file" in capsys.readouterr().err
        assert Path("pipe.txt").is_fifo()


class TestSpeechTranslator:
    def test_translate_works(self, translator: SpeechTranslator) -> None:
        wave = 0.5 * torch.sin(torch.arange(22_050) / 30)

        output = translator.translate(wave, sample_rate=22_050, target_lang="eng")

        assert output.waveform is not None
        assert output.codes is not None
        assert output.text is None
        assert output.sample_rate == 16_000
        assert output.codes.shape == (output.codes.size(0), 2)
        assert output.waveform.shape == (output.codes.size(0) * 640,)
        assert output.waveform.abs().max() <= 1.0
        assert output.seconds == output.waveform.numel() / 16_000

        # Channels are mixed down, and nothing is random.
        stereo = translator.translate(torch.stack([wave, wave]), sample_rate=22_050, target_lang="eng")

        assert stereo.codes is not None
        assert torch.equal(stereo.codes, output.codes)

    def test_text_has_no_waveform(self, translator: SpeechTranslator) -> None:
        output = translator.translate(torch.rand(16_000) - 0.5, sample_rate=16_000, task="s2tt")

        assert output.waveform is None
        assert output.codes is None
        assert output.text
        assert output.seconds == 0.0

    @pytest.mark.parametrize(
        ("wave", "message"),
        [
            (torch.zeros(0), r"must be of shape \[N\] or \[C, N\]"),
            (torch.zeros(1, 1, 100), r"must be of shape \[N\] or \[C, N\]"),
            (torch.full((16_000,), float("inf")), "not finite"),
            (torch.zeros(480_000), r"takes at most 6\.2 s"),
        ],
    )
    def test_audio_that_cannot_be_used_raises_error(
        self, translator: SpeechTranslator, wave: torch.Tensor, message: str
    ) -> None:
        with pytest.raises(UserInputError, match=message):
            translator.translate(wave, sample_rate=16_000)

    @pytest.mark.parametrize("sample_rate", [0, -16_000, 999, 1_000_000])
    def test_sample_rate_out_of_range_raises_error(self, translator: SpeechTranslator, sample_rate: int) -> None:
        with pytest.raises(UserInputError, match=f"recording is {sample_rate}, but must be 1000 to 768000 Hz"):
            translator.translate(torch.zeros(1_000), sample_rate=sample_rate)

    def test_longest_recording_fits(self, translator: SpeechTranslator) -> None:
        wave = torch.zeros(int(6.16 * 16_000))

        for task in translator.tasks:
            assert translator.translate(wave, sample_rate=16_000, task=task).sample_rate == 16_000
