"""SQUIM with random weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchaudio.models import squim_objective_base

from codec_s2st.codecs.audio import read_audio, write_audio
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.judges.judge import Recording
from codec_s2st.evaluation.judges.squim import SquimJudge
from codec_s2st.evaluation.pretrained import AbsentFolderError
from codec_s2st.evaluation.report import MODEL
from codec_s2st.file_hashes import sha256_of_file

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)

    file = tmp_path_factory.mktemp("squim") / "squim.pth"

    # As torchaudio publishes it.
    torch.save(squim_objective_base().state_dict(), file)

    return file


def speech(folder: Path, scale: float = 0.1) -> Recording:
    wave = scale * torch.randn(1, 8_000, generator=torch.Generator().manual_seed(3))

    write_audio(folder / f"{scale}.wav", wave, 16_000)

    return Recording("a", MODEL, folder / f"{scale}.wav", None, None)


def test_numbers_are_torchaudios(weights: Path, tmp_path: Path) -> None:
    judge = SquimJudge(str(weights), device=CPU)

    network = squim_objective_base()

    network.load_state_dict(torch.load(weights, weights_only=True))

    recording = speech(tmp_path)

    with torch.inference_mode():
        theirs = [float(value) for value in network.eval()(read_audio(recording.audio, sample_rate=16_000))]

    [found] = judge.judge([recording])

    assert list(found) == ["squim-stoi", "squim-pesq", "squim-si-sdr"]

    assert [measurement.value for measurement in found.values()] == pytest.approx(theirs)

    assert judge.instrument is not None and judge.instrument.weights_hash == sha256_of_file(weights)


def test_safetensors_are_the_same(weights: Path, tmp_path: Path) -> None:
    save_file(torch.load(weights, weights_only=True), tmp_path / "squim.safetensors")

    recording = speech(tmp_path)

    one, two = (SquimJudge(str(file), device=CPU) for file in (weights, tmp_path / "squim.safetensors"))

    assert one.judge([recording]) == two.judge([recording])


def test_silence_and_files_that_are_gone_say_so(weights: Path, tmp_path: Path) -> None:
    gone = Recording("b", MODEL, tmp_path / "gone.wav", None, None)

    silent, gone_too, loud = SquimJudge(str(weights), device=CPU).judge([speech(tmp_path, 0.0), gone, speech(tmp_path)])

    assert {measurement.not_measured for measurement in silent.values()} == {"the recording is silent"}

    assert all("does not exist" in (measurement.not_measured or "") for measurement in gone_too.values())

    assert all(measurement.value is not None for measurement in loud.values())


class Evil:
    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> object:
        return os.mkdir, (str(self._file),)


def test_what_is_no_such_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AbsentFolderError) as info:
        SquimJudge(str(tmp_path / "absent.pth"), device=CPU)

    assert info.value.hint is not None and info.value.hint.startswith("curl -LO https://")

    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")

    with pytest.raises(UserInputError, match="cannot be loaded"):
        SquimJudge(str(tmp_path / "other.pth"), device=CPU)


def test_pickle_is_not_run(tmp_path: Path) -> None:
    torch.save({"x": Evil(tmp_path / "made")}, tmp_path / "evil.pth")

    with pytest.raises(UserInputError, match="cannot be loaded"):
        SquimJudge(str(tmp_path / "evil.pth"), device=CPU)

    assert not (tmp_path / "made").exists()
