"""CTC recognisers of transformers, with a tiny random wav2vec 2.0 of single letters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
)

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.evaluation.listeners.ctc import CtcTranscriber
from codec_s2st.file_hashes import sha256_of_file

RATE = 16_000

CPU = torch.device("cpu")


def write_wav2vec2(folder: Path, *, safe: bool = True) -> Path:
    folder.mkdir(parents=True)

    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghij"]

    vocab = folder / "vocab.json"

    vocab.write_text(json.dumps({letter: idx for idx, letter in enumerate(letters)}))

    Wav2Vec2Processor(
        Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True), Wav2Vec2CTCTokenizer(str(vocab))
    ).save_pretrained(folder)

    config = Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16, 16),
        conv_kernel=(10, 8),
        conv_stride=(160, 4),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        pad_token_id=0,
    )

    torch.manual_seed(0)

    network = Wav2Vec2ForCTC(config)

    with torch.no_grad():
        # Drawn small, it would say the same of any speech.
        network.lm_head.weight.normal_()

    network.save_pretrained(folder, safe_serialization=safe)

    return folder


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav2vec2(tmp_path_factory.mktemp("wav2vec2") / "tiny one")


def speech(seed: int, rate: int = RATE) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(rate)).astype(np.float32)


def test_hears_the_most_likely_letters(wav2vec2: Path) -> None:
    listener = CtcTranscriber(str(wav2vec2), device=CPU)

    network = Wav2Vec2ForCTC.from_pretrained(wav2vec2).eval()

    processor = Wav2Vec2Processor.from_pretrained(wav2vec2)

    said = []

    for seed in range(3):
        inputs = processor(speech(seed), sampling_rate=RATE, return_tensors="pt")

        with torch.inference_mode():
            theirs = processor.batch_decode(network(**inputs).logits.argmax(-1))[0]

        assert listener.transcribe(speech(seed), RATE, "eng") == theirs.strip()

        said.append(theirs.strip())

    assert len(set(said)) == 3 and all(said)


def test_rate_is_resampled(wav2vec2: Path) -> None:
    listener = CtcTranscriber(str(wav2vec2), device=CPU)

    assert listener.transcribe(np.zeros(8_000, np.float32), 8_000, None) == listener.transcribe(
        np.zeros(RATE, np.float32), RATE, None
    )


def test_name_and_weights(wav2vec2: Path) -> None:
    listener = CtcTranscriber(str(wav2vec2), device=CPU)

    assert listener.instrument is not None

    assert listener.instrument.weights_hash == sha256_of_file(wav2vec2 / "model.safetensors")

    assert listener.name.startswith("wav2vec2:tiny_one (transformers ")
    assert listener.name.endswith(f"sha256 {listener.instrument.weights_hash[:12]})")


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="transcriber 'wav2vec2:/absent': there is no such folder"):
        CtcTranscriber("/absent", device=CPU)

    with pytest.raises(CodecS2STError, match="cannot be fetched"):
        CtcTranscriber("nobody/nothing", device=CPU)

    with pytest.raises(UserInputError, match="cannot be loaded"):
        CtcTranscriber(str(write_wav2vec2(tmp_path / "pickled", safe=False)), device=CPU)
