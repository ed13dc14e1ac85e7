"""Small audio tokenizers of transformers with random weights, written as transformers writes them, and their cards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import Conv1d, ConvTranspose1d, Embedding, Linear
from torch.nn.functional import normalize


@dataclass(frozen=True, kw_only=True)
class Reference:
    """How to make a small network of transformers, and the configuration with which our card describes it."""

    adapter: str

    sample_rate: int = 16_000

    hop_length: int

    codebook_sizes: tuple[int, ...]

    network: dict[str, Any] = field(default_factory=dict)

    pads: bool = False
    """Whether transformers' feature extractor fills the last frame."""

    def card(self, name: str, checkpoint: str) -> dict[str, object]:
        return {
            "name": name,
            "model_family": "codec_s2st_hg",
            "model_config": {
                "adapter": self.adapter,
                "sample_rate": self.sample_rate,
                "hop_length": self.hop_length,
                "codebook_sizes": list(self.codebook_sizes),
                "network": self.network,
            },
            "checkpoint": checkpoint,
        }


_HUBERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def _dac(sample_rate: int, ratios: list[int], hop_length: int) -> Reference:
    return Reference(
        adapter="dac",
        sample_rate=sample_rate,
        hop_length=hop_length,
        codebook_sizes=(1024,) * 4,
        pads=True,
        network={
            "sampling_rate": sample_rate,
            "downsampling_ratios": ratios,
            "n_codebooks": 4,
            "encoder_hidden_size": 4,
            "decoder_hidden_size": 48,
        },
    )


def _xcodec(semantic: dict[str, Any]) -> Reference:
    return Reference(
        adapter="xcodec",
        hop_length=320,
        codebook_sizes=(1024,) * 4,
        pads=True,
        network={
            "target_bandwidths": [0.5, 2],
            "acoustic_model_config": {
                "encoder_hidden_size": 4,
                "decoder_hidden_size": 48,
                "hidden_size": 32,
                "downsampling_ratios": [8, 5, 4, 2],
                "upsampling_ratios": [8, 5, 4, 2],
            },
            "semantic_model_config": {**semantic, **_HUBERT},
        },
    )


REFERENCES = {
    "encodec": Reference(
        adapter="encodec",
        hop_length=80,
        codebook_sizes=(256,) * 4,
        network={
            "sampling_rate": 16_000,
            "upsampling_ratios": [5, 4, 4],
            "num_filters": 4,
            "hidden_size": 24,
            "codebook_size": 256,
            "target_bandwidths": [1.6, 6.4],
        },
    ),
    "mimi": Reference(
        adapter="mimi",
        hop_length=240,
        codebook_sizes=(512,) * 4,
        network={
            "sampling_rate": 16_000,
            "upsampling_ratios": [6, 5, 4],
            "num_filters": 8,
            "hidden_size": 32,
            "num_quantizers": 4,
            "codebook_size": 512,
            "codebook_dim": 16,
            "vector_quantization_hidden_dimension": 16,
            "upsample_groups": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 48,
            "sliding_window": 40,
            "layer_scale_initial_scale": 0.5,
        },
    ),
    "dac_16khz": _dac(16_000, [2, 4, 5, 8], 320),
    "dac_44khz": _dac(44_100, [2, 4, 8, 8], 512),
    "xcodec_hubert": _xcodec({"model_type": "hubert"}),
    "xcodec_wavlm": _xcodec({"model_type": "wavlm"}),
}


def make_wave(seconds: float, seed: int, sample_rate: int = 16_000) -> Tensor:
    """Noise and tones whose loudness changes twenty times a second. *Shape:* [1, 1, N]."""
    generator = torch.Generator().manual_seed(seed)

    num_samples, num_parts = int(seconds * sample_rate), int(seconds * 20) + 1

    def per_part(low: float, high: float) -> Tensor:
        values = torch.rand(num_parts, generator=generator) * (high - low) + low

        return values.repeat_interleave(sample_rate // 20 + 1)[:num_samples]

    tones = torch.sin((2 * torch.pi / sample_rate * per_part(80.0, 2_000.0)).cumsum(0))

    noise = torch.randn(num_samples, generator=generator)

    return (per_part(0.0, 0.5) * tones + per_part(0.0, 0.2) * noise).clamp(-1, 1)[None, None]


@torch.no_grad()
def make_network(reference: Reference, *, seed: int = 0) -> Any:
    """Returns transformers' model. Signals keep their size from layer to layer, and many codes are used."""
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(seed)

        network = _NETWORKS[reference.adapter](transformers, reference.network).eval()

        for module in network.modules():
            # As transformers initialises them, attention hardly has an effect.
            if isinstance(module, Linear):
                module.weight.normal_(std=2.0 * module.in_features**-0.5)
            elif isinstance(module, Embedding):
                module.weight.normal_()

            if isinstance(module, Conv1d | ConvTranspose1d):
                stride = module.stride[0] if isinstance(module, ConvTranspose1d) else 1

                gain = (module.groups * stride / (module.in_channels * module.kernel_size[0])) ** 0.5

                _set_weight(module, torch.randn_like(module.weight) * 1.4 * gain)

        wave = make_wave(30.0, seed + 1, reference.sample_rate)

        wave = wave[..., : wave.size(-1) // reference.hop_length * reference.hop_length]

        if reference.adapter == "xcodec":
            # Both parts count.
            for conv in (network.acoustic_encoder.conv2, network.encoder_semantic.conv_blocks[-1].conv):
                _scale_output(conv, 1.0, lambda: network.encode(wave))

        for level, residual in enumerate(_residuals(network, reference, wave)):
            _draw_codebook(network, reference, level, residual)

        codes = torch.stack([torch.randint(size, (1, 50)) for size in reference.codebook_sizes], dim=1)

        # The size of speech; where a tanh follows, it must not saturate.
        _scale_output(_last_conv(network, reference), 0.3, lambda: decode(network, reference, codes))

    return network


@torch.no_grad()
def decode(network: Any, reference: Reference, codes: Tensor) -> Tensor:
    """Returns what transformers makes of codes [B, Q, T]. *Shape:* [B, 1, N]."""
    if reference.adapter == "dac":
        wave: Tensor = network.decode(audio_codes=codes).audio_values[:, None]
    elif reference.adapter == "encodec":
        wave = network.decode(codes[None], [None]).audio_values
    else:
        wave = network.decode(codes).audio_values

    return wave


def read_network(reference: Reference, folder: Path) -> Any:
    """Returns the model that transformers reads from ``folder``."""
    import transformers

    if reference.adapter == "xcodec":
        # Its `from_pretrained` takes every semantic model for a HuBERT if the configuration does not name it.
        network = _NETWORKS[reference.adapter](transformers, reference.network)

        network.load_state_dict(load_file(folder / "model.safetensors"))
    else:
        names = {"dac": "DacModel", "encodec": "EncodecModel", "mimi": "MimiModel"}

        network = getattr(transformers, names[reference.adapter]).from_pretrained(folder)

    return network.eval()


def write_network(network: Any, folder: Path) -> Path:
    """Writes the checkpoint into ``folder`` as transformers does."""
    network.save_pretrained(folder, safe_serialization=True)

    return folder


def write_card(folder: Path, reference: Reference, name: str, checkpoint: str, **fields: object) -> Path:
    path = folder / f"{name}.yaml"

    # JSON is YAML.
    path.write_text(json.dumps({**reference.card(name, checkpoint), **fields}))

    return path


def _make_xcodec(transformers: Any, network: dict[str, Any]) -> Any:
    semantic = dict(network["semantic_model_config"])

    kls = {"hubert": transformers.HubertConfig, "wavlm": transformers.WavLMConfig}[semantic.pop("model_type")]

    config = transformers.XcodecConfig(
        target_bandwidths=network["target_bandwidths"],
        acoustic_model_config=transformers.DacConfig(**network["acoustic_model_config"]),
        semantic_model_config=kls(**semantic),
    )

    return transformers.XcodecModel(config)


_NETWORKS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "dac": lambda library, network: library.DacModel(library.DacConfig(**network)),
    "encodec": lambda library, network: library.EncodecModel(library.EncodecConfig(**network)),
    "mimi": lambda library, network: library.MimiModel(library.MimiConfig(**network)),
    "xcodec": _make_xcodec,
}


def _set_weight(module: Any, weight: Tensor) -> None:
    if hasattr(module, "parametrizations"):
        # To assign a normalised weight sets its magnitude and its direction.
        module.weight = weight
    else:
        module.weight.copy_(weight)


def _scale_output(conv: Any, size: float, call: Callable[[], object]) -> None:
    """Scales ``conv`` so that its output has the standard deviation ``size``."""
    seen: list[Tensor] = []

    handle = conv.register_forward_hook(lambda module, inputs, output: seen.append(output))

    call()

    handle.remove()

    factor = size / seen[-1].std()

    _set_weight(conv, conv.weight * factor)

    conv.bias.mul_(factor)


def _last_conv(network: Any, reference: Reference) -> Any:
    if reference.adapter == "dac":
        return network.decoder.conv2

    if reference.adapter == "xcodec":
        return network.acoustic_decoder.conv2

    return network.decoder.layers[-1].conv


def _residuals(network: Any, reference: Reference, wave: Tensor) -> Iterator[Tensor]:
    """Yields what each level quantizes, once the levels below have their code books. *Shape:* [T, D]."""
    for level in range(len(reference.codebook_sizes)):
        seen: list[Tensor] = []

        module = _level(network, reference, level)

        if reference.adapter == "dac":
            handle = module.in_proj.register_forward_hook(
                lambda module, inputs, output, seen=seen: seen.append(output.transpose(1, 2).flatten(0, 1))
            )

            network.encode(wave)

            handle.remove()
        else:
            encode = module.encode

            def record(hidden: Tensor, seen: list[Tensor] = seen, encode: Any = encode) -> Tensor:
                seen.append(hidden.transpose(1, 2).flatten(0, 1))

                result: Tensor = encode(hidden)

                return result

            module.encode = record

            if reference.adapter == "mimi":
                network.encode(wave)
            else:
                network.encode(wave, bandwidth=reference.network["target_bandwidths"][-1])

            del module.encode

        yield seen[0]


def _level(network: Any, reference: Reference, level: int) -> Any:
    quantizer = network.quantizer

    if reference.adapter == "encodec":
        return quantizer.layers[level]

    if reference.adapter != "mimi":
        return quantizer.quantizers[level]

    if level == 0:
        return quantizer.semantic_residual_vector_quantizer.layers[0]

    return quantizer.acoustic_residual_vector_quantizer.layers[level - 1]


def _draw_codebook(network: Any, reference: Reference, level: int, residual: Tensor) -> None:
    codebook = _level(network, reference, level).codebook

    chosen = residual[torch.randint(residual.size(0), (reference.codebook_sizes[level],))]

    drawn = chosen + 0.5 * residual.std(0) * torch.randn_like(chosen)

    if reference.adapter == "dac":
        # Its search is by direction, and its vectors are used as they are.
        codebook.weight.copy_(normalize(drawn) * residual.norm(dim=1).mean())
    elif reference.adapter == "mimi":
        # A vector is a sum divided by a count.
        codebook.cluster_usage.uniform_(0.5, 2.0)
        codebook.embed_sum.copy_(drawn * codebook.cluster_usage[:, None])
        codebook._embed = None
    else:
        codebook.embed.copy_(drawn)
