"""Likeness of voices, with a tiny random WavLM."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

from codec_s2st.codecs.audio import write_audio
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.judges.judge import Recording, gauges_of
from codec_s2st.evaluation.judges.xvector import XVectorJudge
from codec_s2st.evaluation.pretrained import AbsentFolderError, AbsentModelError
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, REFERENCE_AUDIO
from codec_s2st.file_hashes import sha256_of_file

RATE = 16_000

CPU = torch.device("cpu")


def write_wavlm(folder: Path, *, safe: bool = True) -> Path:
    config = WavLMConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16, 16),
        conv_kernel=(10, 8),
        conv_stride=(160, 2),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        tdnn_dim=(16, 16, 32),
        tdnn_kernel=(5, 3, 1),
        tdnn_dilation=(1, 2, 1),
        xvector_output_dim=24,
        classifier_proj_size=16,
    )

    torch.manual_seed(0)

    WavLMForXVector(config).save_pretrained(folder, safe_serialization=safe)

    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)

    return folder


@pytest.fixture(scope="module")
def wavlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wavlm(tmp_path_factory.mktemp("wavlm") / "tiny one")


def write_speech(file: Path, seed: int, *, seconds: float = 1.0, rate: int = RATE) -> Path:
    wave = 0.1 * torch.randn(1, int(seconds * rate), generator=torch.Generator().manual_seed(seed))

    write_audio(file, wave, rate)

    return file


def their_vector(folder: Path, file: Path) -> torch.Tensor:
    import soundfile

    wave, _ = soundfile.read(file, dtype="float32")

    inputs = Wav2Vec2FeatureExtractor.from_pretrained(folder)(wave, sampling_rate=RATE, return_tensors="pt")

    with torch.inference_mode():
        vector: torch.Tensor = WavLMForXVector.from_pretrained(folder).eval()(**inputs).embeddings[0]

    return vector


def test_similarity_is_the_cosine_of_what_transformers_finds(wavlm: Path, tmp_path: Path) -> None:
    judge = XVectorJudge(str(wavlm), device=CPU)

    files = [write_speech(tmp_path / f"{seed}.wav", seed) for seed in range(3)]

    one, two, three = (their_vector(wavlm, file) for file in files)

    for idx, other in ((1, two), (2, three)):
        theirs = float(one @ other / (one.norm() * other.norm()))

        assert judge.similarity(files[0], files[idx]) == pytest.approx(theirs, abs=1e-6)

    assert judge.similarity(files[0], files[0]) == pytest.approx(1.0)

    assert judge.similarity(files[0], files[1]) != judge.similarity(files[0], files[2])


def test_each_system_is_compared_with_what_there_is(wavlm: Path, tmp_path: Path) -> None:
    judge = XVectorJudge(str(wavlm), device=CPU)

    audio, source, reference = (write_speech(tmp_path / f"{seed}.wav", seed) for seed in range(3))

    recordings = [
        Recording("a", MODEL, audio, source, reference),
        Recording("a", CODEC_TOPLINE, audio, source, reference),
        Recording("a", REFERENCE_AUDIO, reference, source, None),
        Recording("b", MODEL, audio, source, None),
    ]

    to_source, to_reference = "speaker-similarity-source", "speaker-similarity-reference"

    found = judge.judge(recordings)

    assert [list(entry) for entry in found] == [
        [to_source, to_reference],
        [to_source, to_reference],
        [to_source],
        [to_source],
    ]

    assert found[0][to_source].value == pytest.approx(judge.similarity(audio, source))
    assert found[0][to_reference].value == pytest.approx(judge.similarity(audio, reference))
    assert found[2][to_source].value == pytest.approx(judge.similarity(reference, source))


def test_recording_that_is_too_short_is_no_reason_to_stop(wavlm: Path, tmp_path: Path) -> None:
    judge = XVectorJudge(str(wavlm), device=CPU)

    audio, source = write_speech(tmp_path / "0.wav", 0), write_speech(tmp_path / "1.wav", 1)

    short = write_speech(tmp_path / "short.wav", 2, seconds=0.001)

    first, second = judge.judge(
        [Recording("a", MODEL, short, source, None), Recording("b", MODEL, audio, source, None)]
    )

    assert first["speaker-similarity-source"].value is None and first["speaker-similarity-source"].not_measured

    assert second["speaker-similarity-source"].value is not None


def test_other_rates_are_resampled(wavlm: Path, tmp_path: Path) -> None:
    judge = XVectorJudge(str(wavlm), device=CPU)

    low = write_speech(tmp_path / "low.wav", 0, rate=8_000)

    assert judge.similarity(low, low) == pytest.approx(1.0)


def test_gauges_say_which_weights(wavlm: Path) -> None:
    judge = XVectorJudge(str(wavlm), device=CPU)

    assert judge.name.startswith("xvector:tiny_one (transformers ")

    for gauge in gauges_of(judge):
        assert gauge.instrument is not None and gauge.judge == judge.name

        assert gauge.instrument.weights_hash == sha256_of_file(wavlm / "model.safetensors")

        assert "16000 Hz|transformers:" in gauge.signature


class TestRefused:
    def test_absent(self, tmp_path: Path) -> None:
        with pytest.raises(AbsentFolderError, match="there is no such folder"):
            XVectorJudge(str(tmp_path / "absent"), device=CPU)

        with pytest.raises(AbsentModelError) as info:
            XVectorJudge("nobody/wavlm-nothing", device=CPU)

        assert info.value.hint is not None and "huggingface-cli download nobody/wavlm-nothing" in info.value.hint

    def test_something_else(self, tmp_path: Path) -> None:
        tmp_path.joinpath("config.json").write_text("{}")

        with pytest.raises(UserInputError, match="cannot be loaded"):
            XVectorJudge(str(tmp_path), device=CPU)

    def test_pickles(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="cannot be loaded"):
            XVectorJudge(str(write_wavlm(tmp_path / "pickled", safe=False)), device=CPU)


def damaged(wavlm: Path, folder: Path, name: str, content: bytes) -> Path:
    shutil.copytree(wavlm, folder)

    folder.joinpath(name).write_bytes(content)

    return folder


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 100),
        ("preprocessor_config.json", b"3"),
        ("config.json", b'{"model_type": "wavlm", "hidden_size": -1}'),
        ("config.json", b'{"model_type": "wavlm"}'),
        ("config.json", b"{}"),
    ],
)
def test_damaged_folder_is_one_line(wavlm: Path, tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(UserInputError) as info:
        XVectorJudge(str(damaged(wavlm, tmp_path / "damaged", name, content)), device=CPU)

    message = str(info.value)

    assert "cannot be loaded: " in message and "(name a folder with config.json" in message

    assert "\n" not in message and len(message) < 500 + len(str(tmp_path))


def test_network_without_a_head_is_refused(wavlm: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save

    state = load_file(wavlm / "model.safetensors")

    kept = {key: value for key, value in state.items() if not key.startswith("classifier.")}

    folder = damaged(wavlm, tmp_path / "headless", "model.safetensors", save(kept, {"format": "pt"}))

    with pytest.raises(UserInputError, match=r"2 of its weights are missing, such as 'classifier\.bias'"):
        XVectorJudge(str(folder), device=CPU)


@pytest.mark.parametrize("model", ["", "x" * 5_000])
def test_names_that_are_none(model: str) -> None:
    with pytest.raises(AbsentModelError, match="cannot be fetched"):
        XVectorJudge(model, device=CPU)
