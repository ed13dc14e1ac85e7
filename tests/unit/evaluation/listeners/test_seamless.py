"""SeamlessM4T as a listener, with a tiny random network and the shipped tokenizer's pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    GenerationConfig,
    SeamlessM4TConfig,
    SeamlessM4TFeatureExtractor,
    SeamlessM4TForSpeechToText,
    SeamlessM4TProcessor,
    SeamlessM4TTokenizer,
)

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.listeners.seamless import SeamlessTranscriber
from codec_s2st.share import assets_dir

RATE = 16_000

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def seamless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seamless") / "tiny"

    languages = ["__eng__", "__spa__"]

    tokenizer = SeamlessM4TTokenizer(
        str(assets_dir() / "tokenizers" / "demo_tokenizer.model"),
        src_lang="spa",
        tgt_lang="eng",
        additional_special_tokens=languages,
    )

    extractor = SeamlessM4TFeatureExtractor()

    SeamlessM4TProcessor(extractor, tokenizer).save_pretrained(folder)

    config = SeamlessM4TConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        speech_encoder_layers=1,
        speech_encoder_attention_heads=2,
        speech_encoder_intermediate_size=32,
        adaptor_kernel_size=4,
        adaptor_stride=4,
        max_position_embeddings=64,
        position_embeddings_type=None,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=3,
    )

    torch.manual_seed(0)

    network = SeamlessM4TForSpeechToText(config)

    with torch.no_grad():
        # Drawn small, it would say the same of any speech.
        for parameter in network.parameters():
            parameter.mul_(4.0)

    network.generation_config = GenerationConfig(
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=3,
        max_new_tokens=8,
        text_decoder_lang_to_code_id={
            language.strip("_"): tokenizer.convert_tokens_to_ids(language) for language in languages
        },
    )

    network.save_pretrained(folder)

    return folder


def speech(seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(RATE)).astype(np.float32)


def test_hears_what_transformers_generates(seamless: Path) -> None:
    listener = SeamlessTranscriber(str(seamless), device=CPU)

    network = SeamlessM4TForSpeechToText.from_pretrained(seamless).eval()

    processor = SeamlessM4TProcessor.from_pretrained(seamless)

    said = []

    for seed, language in enumerate(["eng", "spa", "eng"]):
        inputs = processor(audios=speech(seed), sampling_rate=RATE, return_tensors="pt")

        ids = network.generate(**inputs, tgt_lang=language)

        theirs = processor.decode(ids[0].tolist(), skip_special_tokens=True).strip()

        assert listener.transcribe(speech(seed), RATE, language) == theirs

        said.append(theirs)

    assert any(said) and len(set(said)) > 1


def test_languages_are_checked(seamless: Path) -> None:
    listener = SeamlessTranscriber(str(seamless), device=CPU)

    listener.check_languages(["eng", "spa"])

    with pytest.raises(UserInputError, match="seamless:tiny does not know the language 'deu'"):
        listener.check_languages(["deu"])

    with pytest.raises(UserInputError, match="has to be told the language"):
        listener.transcribe(speech(0), RATE, None)


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="there is no such folder"):
        SeamlessTranscriber("/absent", device=CPU)

    tmp_path.joinpath("config.json").write_text('{"model_type": "whisper"}')

    with pytest.raises(UserInputError, match="cannot be loaded"):
        SeamlessTranscriber(str(tmp_path), device=CPU)
