"""A codec of finite scalar quantization, with one code book or several, of any sizes.

Each code book rounds a few coordinates of the frame to a few levels each; a code is the number with those digits.
Legend: B batch, N sample, T codec frame, Q stream, D coordinate.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, final

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import pad
from typing_extensions import override

from codec_s2st.codecs.codec import Codec
from codec_s2st.tokens.streams import StreamSpec

if TYPE_CHECKING:
    from fairseq2.runtime.dependency import DependencyContainer


@dataclass(kw_only=True)
class FsqConfig:
    levels: list[list[int]] = field(default_factory=lambda: [[8, 5, 5, 5]])
    """Of each code book, the number of levels of each of its coordinates."""

    hop_length: int = 800

    sample_rate: int = 8_000

    @property
    def spec(self) -> StreamSpec:
        return StreamSpec(tuple(prod(levels) for levels in self.levels), self.hop_length, self.sample_rate)


@final
class FsqCodec(Codec):
    def __init__(self, config: FsqConfig) -> None:
        super().__init__(config.spec)

        self.config = config

        # (D, hop)
        self.basis = Parameter(torch.empty(sum(len(levels) for levels in config.levels), config.hop_length))

        self.reset_parameters()

    def reset_parameters(self) -> None:
        torch.nn.init.orthogonal_(self.basis)

    @override
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        hop_length = self.config.hop_length

        frames = pad(wave, (0, -wave.size(-1) % hop_length)).unflatten(-1, (-1, hop_length))[:, 0]

        # (B, T, D), in [0, 1)
        coordinates = (0.5 + torch.tanh(frames @ self.basis.T) / 2).clamp(max=0.999999)

        codes = []

        for levels, part in zip(self.config.levels[:num_streams], self._split(coordinates), strict=False):
            digits = (part * torch.tensor(levels)).long()

            codes.append((digits * torch.tensor([prod(levels[:i]) for i in range(len(levels))])).sum(-1))

        return torch.stack(codes, dim=1)

    @override
    def _do_decode(self, codes: Tensor) -> Tensor:
        parts = []

        for levels, code in zip(self.config.levels, codes.unbind(1), strict=False):
            digits = [code // prod(levels[:i]) % level for i, level in enumerate(levels)]

            # The middle of each level.
            middles = torch.stack([(d + 0.5) / level for d, level in zip(digits, levels, strict=True)], dim=-1)

            parts.append(torch.atanh(2 * middles - 1))

        coordinates = torch.cat(parts, dim=-1)

        return (coordinates @ self.basis[: coordinates.size(-1)]).flatten(1)[:, None]

    def _split(self, coordinates: Tensor) -> tuple[Tensor, ...]:
        return coordinates.split([len(levels) for levels in self.config.levels], dim=-1)


def register(container: DependencyContainer) -> None:
    from fairseq2.composition.models import register_model_family
    from fairseq2.runtime.config_registry import ConfigRegistrar

    register_model_family(container, "codec_s2st_test_fsq", kls=FsqCodec, config_kls=FsqConfig, factory=FsqCodec)

    arch = ConfigRegistrar(container, FsqConfig)

    @arch("base")
    def base() -> FsqConfig:
        return FsqConfig()


def write_fsq_codec(folder: Path, name: str, levels: list[list[int]]) -> None:
    """Writes a card and its weights."""
    folder.mkdir(parents=True, exist_ok=True)

    with torch.random.fork_rng():
        torch.manual_seed(0)

        save_file(FsqCodec(FsqConfig(levels=levels)).state_dict(), folder / f"{name}.safetensors")

    card = {
        "name": name,
        "model_family": "codec_s2st_test_fsq",
        "model_arch": "base",
        "model_config": {"levels": levels},
        "checkpoint": f"{name}.safetensors",
    }

    # JSON is YAML.
    (folder / f"{name}.yaml").write_text(json.dumps(card))
