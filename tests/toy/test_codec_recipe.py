from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fairseq2.recipe import run

from codec_s2st.codecs.melcodec.hub import get_melcodec_hub
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.errors import UserInputError
from codec_s2st.recipes.codec.config import CodecDataSection, CodecLossSection, CodecRecipeConfig
from codec_s2st.recipes.codec.export import export_codec, main
from codec_s2st.recipes.codec.recipe import CodecRecipe


def toy_manifest(folder: Path) -> Path:
    """Vowel-like sounds: harmonics under a moving envelope."""
    rng = np.random.default_rng(0)

    time = np.arange(24_000) / 16_000

    rows = []

    for idx in range(8):
        pitch = rng.uniform(100, 250)

        wave = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))

        wave = 0.2 * wave * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * time))

        soundfile.write(folder / f"{idx}.wav", wave, 16_000)

        split = "valid" if idx == 7 else "train"

        rows.append(ManifestRow(id=str(idx), split=split, source_audio=f"{idx}.wav", source_lang="eng"))

    return write_manifest(manifest_frame(rows), folder)


def toy_config(manifest: Path, *, num_steps: int) -> CodecRecipeConfig:
    config = CodecRecipeConfig()

    config.model.arch = "tiny"
    config.data = CodecDataSection(manifest=manifest, num_valid_sentences=1, crop_frames=10, batch_size=4)
    config.loss = CodecLossSection(num_free_steps=15, num_init_batches=2)
    config.regime.num_steps = num_steps
    config.regime.validate_every_n_steps = 20
    config.regime.checkpoint_every_n_steps = 20
    config.regime.publish_metrics_every_n_steps = 5
    config.common.no_sweep_dir = True

    # Of 20 steps and of 40 alike, so that a longer run goes on where a shorter one stopped.
    config.lr_scheduler.config.cycle_len = 100  # type: ignore[attr-defined]
    config.lr_scheduler.config.num_warmup_steps = 5  # type: ignore[attr-defined]

    return config


def train_losses(run_dir: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run_dir / "metrics" / "train.jsonl").read_text().splitlines()]

    return {line["Step"]: line["Loss"] for line in lines}


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("codec")

    manifest = toy_manifest(folder)

    run(CodecRecipe(), toy_config(manifest, num_steps=40), folder / "run", no_rich=True)

    return folder / "run", manifest


def test_loss_falls(toy_run: tuple[Path, Path]) -> None:
    losses = train_losses(toy_run[0])

    assert list(losses) == [5, 10, 15, 20, 25, 30, 35, 40]
    assert losses[40] < 0.8 * losses[5]


def test_validation_measures_code_use(toy_run: tuple[Path, Path]) -> None:
    lines = (toy_run[0] / "metrics" / "valid" / "valid.jsonl").read_text().splitlines()

    last = json.loads(lines[-1])

    for level in range(4):
        assert 1.0 <= last[f"Perplexity of Level {level}"] <= 16.0

    assert "Loss" in last


def test_resumed_run_equals_uninterrupted_run(toy_run: tuple[Path, Path], tmp_path: Path) -> None:
    whole, manifest = toy_run

    run(CodecRecipe(), toy_config(manifest, num_steps=20), tmp_path / "run", no_rich=True)
    run(CodecRecipe(), toy_config(manifest, num_steps=40), tmp_path / "run", no_rich=True)

    assert train_losses(tmp_path / "run") == train_losses(whole)


def test_export_gives_what_a_card_can_load(toy_run: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "toy.safetensors"

    assert export_codec(toy_run[0], path) == 40
    assert [file.name for file in tmp_path.iterdir()] == ["toy.safetensors"]

    hub = get_melcodec_hub()

    config = hub.get_arch_config("tiny")

    codec = hub.load_custom_model(path, config).eval()

    trained = hub.load_custom_model(toy_run[0] / "checkpoints" / "step_40" / "model", config).eval()

    wave = 0.1 * torch.randn(1, 1, 16_000)

    codes = codec.encode(wave)

    # fp16 weights: nearly the same codec.
    torch.testing.assert_close(codec.decode(codes), trained.decode(codes), rtol=0.05, atol=0.01)


def test_export_raises_error_when_step_is_missing(
    toy_run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserInputError, match=r"has no step 7; it has 20, 40"):
        export_codec(toy_run[0], tmp_path / "toy.safetensors", step_nr=7)

    assert main([str(tmp_path), str(tmp_path / "toy.safetensors")]) == 2
    assert "has no checkpoint" in capsys.readouterr().err


def test_manifest_without_a_valid_split_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)

    row = ManifestRow(id="a", split="train", source_audio="a.wav", source_lang="eng")

    manifest = write_manifest(manifest_frame([row]), tmp_path)

    with pytest.raises(UserInputError, match=r"no audio in the split 'valid'"):
        run(CodecRecipe(), toy_config(manifest, num_steps=1), tmp_path / "run", no_rich=True)


def test_phonetic_level_learns_what_is_said(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")

    config = toy_config(tmp_path, num_steps=60)

    config.model.config_overrides = {"phonetic_codebook_size": 16, "num_phonemes": 76}
    config.data = CodecDataSection(num_train_sentences=4, num_valid_sentences=2, crop_frames=20, batch_size=8)
    config.optimizer.config.lr = 5e-3  # type: ignore[attr-defined]

    run(CodecRecipe(), config, tmp_path / "run", no_rich=True)

    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics" / "train.jsonl").read_text().splitlines()]

    # Without an idea, log(76) = 4.3.
    assert lines[-1]["Phoneme Loss"] < 3.5 < 4.0 < lines[0]["Phoneme Loss"]

    for name in ("valid", "unseen_voice"):
        (line, *_) = (tmp_path / "run" / "metrics" / "valid" / f"{name}.jsonl").read_text().splitlines()[-1:]

        assert 0.0 < json.loads(line)["Phoneme Accuracy"] <= 1.0


def test_phonetic_level_needs_phonemes(toy_run: tuple[Path, Path], tmp_path: Path) -> None:
    config = toy_config(toy_run[1], num_steps=5)

    config.model.config_overrides = {"phonetic_codebook_size": 16, "num_phonemes": 76}

    with pytest.raises(UserInputError, match="the codec has a phonetic level, but no manifest says which phonemes"):
        run(CodecRecipe(), config, tmp_path / "run", no_rich=True)
