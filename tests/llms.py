"""Tiny random textual LLMs as transformers writes them: a shape of each family, with nothing at its default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

SHAPES: Final[dict[str, dict[str, Any]]] = {
    # As many key heads as query heads, and a head of its own.
    "qwen1_5": {"kls": "Qwen2", "num_key_value_heads": 4, "rms_norm_eps": 3e-5, "rope_theta": 20_000.0},
    "qwen2_5": {"kls": "Qwen2", "rms_norm_eps": 1e-4, "rope_theta": 1_000_000.0, "tie_word_embeddings": True},
    "qwen3": {
        "kls": "Qwen3",
        "rms_norm_eps": 2e-5,
        "rope_theta": 30_000.0,
        "head_dim": 12,
        "tie_word_embeddings": True,
    },
    "qwen3_untied": {"kls": "Qwen3", "rms_norm_eps": 2e-5, "rope_theta": 500_000.0, "head_dim": 4},
    "llama3": {"kls": "Llama", "rms_norm_eps": 1e-4, "rope_theta": 500_000.0},
    # Wavelengths below, between and above the two bounds.
    "llama3_2": {
        "kls": "Llama",
        "rms_norm_eps": 3e-5,
        "rope_theta": 1_000.0,
        "tie_word_embeddings": True,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
    "llama3_head_dim": {"kls": "Llama", "rms_norm_eps": 2e-5, "rope_theta": 10_000.0, "head_dim": 12},
}
"""By name, what differs from :data:`_COMMON`. ``kls`` is the begin of the names of transformers' classes."""

_COMMON: Final[dict[str, Any]] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "initializer_range": 0.15,
}


def write_llm(folder: Path, shape: str = "qwen2_5", *, max_shard_size: str = "1GB", **changes: object) -> Path:
    """Writes an LLM of a shape into a folder; returns the folder.

    :param changes: Keys of its ``config.json``.
    """
    import transformers

    keys = {**_COMMON, **SHAPES[shape], **changes}

    kls = keys.pop("kls")

    config = getattr(transformers, f"{kls}Config")(**keys)

    with torch.random.fork_rng():
        torch.manual_seed(0)

        llm = getattr(transformers, f"{kls}ForCausalLM")(config)

        # transformers starts with biases of zero and norms of one.
        for name, parameter in llm.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter)
            elif "norm" in name:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)

    llm.save_pretrained(folder, max_shard_size=max_shard_size)

    return folder


def load_llm(folder: Path) -> Any:
    """Loads an LLM with transformers."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def read_llm_state(folder: Path) -> dict[str, Tensor]:
    return {key: tensor for file in sorted(folder.glob("*.safetensors")) for key, tensor in load_file(file).items()}


def change_config(llm: Path, folder: Path, **values: object) -> Path:
    """Copies an LLM with other values in its ``config.json``; a value of ``None`` removes the key."""
    folder.mkdir(parents=True, exist_ok=True)

    config = {**json.loads((llm / "config.json").read_text()), **values}

    folder.joinpath("config.json").write_text(
        json.dumps({key: value for key, value in config.items() if value is not None})
    )

    for file in llm.glob("*.safetensors*"):
        folder.joinpath(file.name).symlink_to(file)

    return folder
