"""Recognisers of fairseq2, with a tiny random one of its own family."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq2.models.wav2vec2.asr.config import Wav2Vec2AsrConfig
from fairseq2.models.wav2vec2.asr.factory import create_wav2vec2_asr_model
from fairseq2.nn import BatchLayout
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from codec_s2st.data.text import load_text_tokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.listeners.fairseq2_ctc import Fairseq2Transcriber
from codec_s2st.file_hashes import sha256_of_file
from codec_s2st.share import assets_dir

RATE = 16_000

CPU = torch.device("cpu")


def make_config() -> Wav2Vec2AsrConfig:
    config = Wav2Vec2AsrConfig(target_vocab_size=load_text_tokenizer("demo_tokenizer").size, use_masking=False)

    encoder = config.encoder_config

    encoder.model_dim = 16
    encoder.num_encoder_layers = 1
    encoder.num_encoder_attn_heads = 2
    encoder.ffn_inner_dim = 32
    encoder.feature_dim = 16
    encoder.feature_extractor_layer_descs = [(16, 10, 160), (16, 8, 4)]
    encoder.pos_conv_kernel_size = 16
    encoder.num_pos_conv_groups = 2

    return config


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asr")

    config = make_config()

    torch.manual_seed(0)

    model = create_wav2vec2_asr_model(config)

    with torch.no_grad():
        # Drawn small, it would say the same of any speech.
        model.final_proj.weight.normal_()

    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")

    fields = {
        "name": "tiny_asr",
        "model_family": "wav2vec2_asr",
        "model_config": json.loads(json.dumps(asdict(config), default=lambda choice: choice.name)),
        "checkpoint": "model.safetensors",
        "tokenizer_family": "char_tokenizer",
        "tokenizer": str(assets_dir() / "tokenizers" / "demo_tokenizer.model"),
    }

    with folder.joinpath("tiny.yaml").open("w") as fp:
        YAML(typ="safe", pure=True).dump(fields, fp)

    return folder / "tiny.yaml"


def speech(seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(RATE)).astype(np.float32)


def test_hears_the_most_likely_pieces(card: Path) -> None:
    listener = Fairseq2Transcriber(str(card), device=CPU)

    network = create_wav2vec2_asr_model(make_config())

    network.load_state_dict(load_file(card.parent / "model.safetensors"))

    network.eval()

    said = []

    for seed in range(3):
        wave = torch.from_numpy(speech(seed))[None]

        with torch.inference_mode():
            logits, _ = network(wave, BatchLayout.of(wave))

        # Collapsed by hand: what follows itself is one, and 0 is none.
        ids: list[int] = []

        last = 0

        for id_ in logits[0].argmax(-1).tolist():
            if id_ not in (last, 0):
                ids.append(id_)

            last = id_

        theirs = load_text_tokenizer("demo_tokenizer").decode(torch.tensor(ids)).strip()

        assert listener.transcribe(speech(seed), RATE, "eng") == theirs

        said.append(theirs)

    assert len(set(said)) == 3 and all(said)


def test_name_and_weights(card: Path) -> None:
    listener = Fairseq2Transcriber(str(card), device=CPU)

    assert listener.instrument is not None and listener.name.startswith("fairseq2:tiny_asr (fairseq2 ")

    assert listener.instrument.weights_hash == sha256_of_file(card.parent / "model.safetensors")


def test_refused(card: Path, tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="unknown card of a recogniser 'wav2vec2_asr_base_10'"):
        Fairseq2Transcriber("wav2vec2_asr_base_10", device=CPU)

    with pytest.raises(UserInputError, match="is of no recogniser of fairseq2's"):
        Fairseq2Transcriber("wav2vec2_base", device=CPU)

    with pytest.raises(UserInputError, match="there is no such file"):
        Fairseq2Transcriber(str(tmp_path / "absent.yaml"), device=CPU)

    file = tmp_path / "pickled.yaml"

    file.write_text(card.read_text().replace("model.safetensors", "model.pt"))

    tmp_path.joinpath("model.pt").write_bytes(b"")

    with pytest.raises(UserInputError, match="is not safetensors"):
        Fairseq2Transcriber(str(file), device=CPU)
