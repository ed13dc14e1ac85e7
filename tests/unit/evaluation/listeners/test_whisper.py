"""Whisper as a listener, with a tiny random network and a tokenizer of single bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import bytes_to_unicode

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.evaluation.listeners.whisper import WhisperTranscriber

RATE = 16_000

LANGUAGES = ("en", "es", "zh")

CPU = torch.device("cpu")


def write_whisper(folder: Path, *, is_multilingual: bool = True, safe: bool = True) -> Path:
    folder.mkdir(parents=True)

    specials = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES)]
    specials += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    specials += ["<|notimestamps|>", *(f"<|{0.02 * step:.2f}|>" for step in range(1501))]

    letters = {letter: idx for idx, letter in enumerate(bytes_to_unicode().values())}

    folder.joinpath("vocab.json").write_text(json.dumps({**letters, "<|endoftext|>": 256}))
    folder.joinpath("merges.txt").write_text("#version: 0.2\n")

    tokenizer = WhisperTokenizer(folder / "vocab.json", folder / "merges.txt", bos_token="<|endoftext|>")

    tokenizer.add_special_tokens({"additional_special_tokens": specials[1 : 1 + 10]})
    tokenizer.add_tokens(specials[11:])

    tokenizer.save_pretrained(folder)

    ids = {special: tokenizer.convert_tokens_to_ids(special) for special in specials[:11]}

    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=80,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_target_positions=40,
        pad_token_id=256,
        bos_token_id=256,
        eos_token_id=256,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )

    torch.manual_seed(0)

    network = WhisperForConditionalGeneration(config)

    with torch.no_grad():
        # Drawn small, it would say the same of any speech.
        for parameter in network.parameters():
            parameter.mul_(6.0)

    languages = {"lang_to_id": {f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES}}
    tasks = {"task_to_id": {task: ids[f"<|{task}|>"] for task in ("translate", "transcribe")}}

    network.generation_config = GenerationConfig(
        decoder_start_token_id=config.decoder_start_token_id,
        eos_token_id=256,
        pad_token_id=256,
        max_length=24,
        no_timestamps_token_id=ids["<|notimestamps|>"],
        is_multilingual=is_multilingual,
        return_timestamps=False,
        # Other bytes than letters would not be text.
        suppress_tokens=[idx for letter, idx in letters.items() if not letter.isalpha() or not letter.isascii()],
        **(languages | tasks if is_multilingual else {}),
    )

    network.save_pretrained(folder, safe_serialization=safe)

    WhisperFeatureExtractor().save_pretrained(folder)

    return folder


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "tiny one")


def speech(seed: int, seconds: float = 1.0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def test_hears_what_transformers_generates(whisper: Path) -> None:
    listener = WhisperTranscriber(str(whisper), device=CPU)

    network = WhisperForConditionalGeneration.from_pretrained(whisper).eval()

    extractor, tokenizer = WhisperFeatureExtractor(), WhisperTokenizer.from_pretrained(whisper)

    said = []

    for seed, (code, language) in enumerate([("en", "eng"), ("es", "spa"), ("zh", "cmn"), ("en", "eng")]):
        features = extractor(speech(seed), sampling_rate=RATE, return_tensors="pt").input_features

        ids = network.generate(features, language=code, task="transcribe")

        theirs = tokenizer.decode(ids[0], skip_special_tokens=True).strip()

        assert listener.transcribe(speech(seed), RATE, language) == theirs

        said.append(theirs)

    # It is no constant that is compared.
    assert len(set(said)) > 1 and all(said)


def test_language_matters(whisper: Path) -> None:
    listener = WhisperTranscriber(str(whisper), device=CPU)

    assert listener.transcribe(speech(0), RATE, "eng") != listener.transcribe(speech(0), RATE, "spa")


def test_name_says_which_weights(whisper: Path, tmp_path: Path) -> None:
    name = WhisperTranscriber(str(whisper), device=CPU).name

    # The version stands behind the only blank before it.
    assert name.startswith("whisper:tiny_one (transformers ") and "sha256 " in name

    other = write_whisper(tmp_path / "tiny one", is_multilingual=False)

    assert WhisperTranscriber(str(other), device=CPU).name.partition(" ")[0] == name.partition(" ")[0]


def test_rate_is_resampled(whisper: Path) -> None:
    listener = WhisperTranscriber(str(whisper), device=CPU)

    assert listener.transcribe(np.zeros(8_000, np.float32), 8_000, "eng") == listener.transcribe(
        np.zeros(RATE, np.float32), RATE, "eng"
    )


def test_languages_are_checked(whisper: Path, tmp_path: Path) -> None:
    listener = WhisperTranscriber(str(whisper), device=CPU)

    listener.check_languages(["eng", "spa", "cmn"])

    with pytest.raises(UserInputError, match="whisper:tiny_one does not know the language 'deu'"):
        listener.check_languages(["eng", "deu"])

    english = WhisperTranscriber(str(write_whisper(tmp_path / "en", is_multilingual=False)), device=CPU)

    english.check_languages(["eng"])

    assert english.transcribe(speech(0), RATE, "eng")

    with pytest.raises(UserInputError, match="understands eng alone, not 'spa'"):
        english.check_languages(["spa"])


class TestRefused:
    def test_absent_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="there is no such folder"):
            WhisperTranscriber(str(tmp_path / "absent"), device=CPU)

    def test_repository_without_a_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")

        with pytest.raises(CodecS2STError, match="cannot be fetched") as info:
            WhisperTranscriber("nobody/whisper-nothing", device=CPU)

        assert info.value.hint is not None and "huggingface-cli download nobody/whisper-nothing" in info.value.hint

    def test_folder_of_something_else(self, tmp_path: Path) -> None:
        tmp_path.joinpath("config.json").write_text("{}")

        with pytest.raises(UserInputError, match="cannot be loaded"):
            WhisperTranscriber(str(tmp_path), device=CPU)

    def test_pickles(self, tmp_path: Path) -> None:
        folder = write_whisper(tmp_path / "pickled", safe=False)

        assert folder.joinpath("pytorch_model.bin").is_file()

        with pytest.raises(UserInputError, match="cannot be loaded"):
            WhisperTranscriber(str(folder), device=CPU)
