"""The peers of decoding.py, with random weights: transformers' MusicGen and CSM. Legend: B row, T frame, Q stream."""

from __future__ import annotations

from typing import Any

import torch


def make_musicgen(num_streams: int, num_codes: int) -> Any:
    """Returns MusicGen of width 256 with 4 layers, a one-layer T5 and a codec that takes no time."""
    from transformers import EncodecConfig, MusicgenConfig, MusicgenDecoderConfig, T5Config
    from transformers.models.musicgen.modeling_musicgen import MusicgenForConditionalGeneration

    text = T5Config(vocab_size=64, d_model=256, d_kv=64, d_ff=256, num_layers=1, num_heads=4)

    # 50 frames a second of 8 books of 11 bits; two samples a step of its convolutions.
    codec = EncodecConfig(
        sampling_rate=200,
        audio_channels=1,
        num_filters=2,
        num_residual_layers=1,
        upsampling_ratios=[2, 2],
        codebook_size=2_048,
        codebook_dim=8,
        hidden_size=8,
        num_lstm_layers=1,
        target_bandwidths=[0.55 * num_streams],
    )

    decoder = MusicgenDecoderConfig(
        vocab_size=num_codes,
        num_hidden_layers=4,
        ffn_dim=1_056,
        num_attention_heads=4,
        hidden_size=256,
        num_codebooks=num_streams,
        audio_channels=1,
        pad_token_id=num_codes,
        bos_token_id=num_codes,
    )

    torch.manual_seed(0)

    model = MusicgenForConditionalGeneration(MusicgenConfig.from_sub_models_config(text, codec, decoder)).eval()

    for name in ("decoder_start_token_id", "pad_token_id", "bos_token_id"):
        setattr(model.generation_config, name, num_codes)

    return model


@torch.inference_mode()
def run_musicgen(model: Any, batch_size: int, num_frames: int) -> None:
    num_steps = num_frames + model.decoder.num_codebooks - 1

    wave = model.generate(
        input_ids=torch.ones((batch_size, 4), dtype=torch.int64),
        do_sample=False,
        max_new_tokens=num_steps,
        guidance_scale=1.0,
    )

    # Four samples a frame.
    assert len(wave) == batch_size and wave.size(-1) // 4 in range(num_frames - 1, num_frames + 2)


@torch.inference_mode()
def bare_musicgen(model: Any, batch_size: int, num_steps: int) -> None:
    ids = torch.zeros((batch_size * model.decoder.num_codebooks, 1), dtype=torch.int64)

    cache = None

    for _ in range(num_steps):
        output = model.decoder(input_ids=ids, past_key_values=cache, use_cache=True)

        cache = output.past_key_values

        ids = output.logits[:, -1:].argmax(dim=-1)


def make_csm(num_streams: int, num_codes: int, text_size: int) -> Any:
    """Returns CSM of width 256 with 4 layers, and a depth transformer of 2 layers as wide."""
    from transformers import CsmConfig
    from transformers.models.csm.modeling_csm import CsmForConditionalGeneration

    layers = {
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "vocab_size": num_codes,
        "num_codebooks": num_streams,
    }

    codec = {
        "model_type": "mimi",
        "num_filters": 2,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "intermediate_size": 8,
        "codebook_dim": 8,
        "vector_quantization_hidden_dimension": 8,
        "upsample_groups": 8,
    }

    config = CsmConfig(
        **layers,
        num_hidden_layers=4,
        text_vocab_size=text_size,
        pad_token_id=text_size - 1,
        audio_eos_token_id=text_size - 2,
        audio_token_id=text_size - 3,
        bos_token_id=1,
        eos_token_id=None,
        codebook_pad_token_id=num_codes - 2,
        codebook_eos_token_id=num_codes - 1,
        depth_decoder_config={**layers, "num_hidden_layers": 2, "backbone_hidden_size": 256},
        codec_config=codec,
    )

    torch.manual_seed(0)

    return CsmForConditionalGeneration(config).eval()


@torch.inference_mode()
def run_csm(model: Any, prompt_length: int, num_frames: int) -> None:
    codes = model.generate(
        input_ids=torch.full((1, prompt_length), 5),
        do_sample=False,
        depth_decoder_do_sample=False,
        max_new_tokens=num_frames,
        output_audio=False,
    )

    assert codes.size(1) == num_frames
