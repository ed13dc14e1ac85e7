"""The decoder for generation: fused projections, a static cache, and no more Python a step than it needs.

Legend: N row, B sequence, D width, H head, K width of a head, S step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from fairseq2.models.transformer import GLUFeedForwardNetwork, StandardMultiheadAttention
from fairseq2.models.transformer_lm import (
    StandardTransformerLMDecoder,
    StandardTransformerLMDecoderLayer,
    TransformerLMDecoder,
)
from fairseq2.nn import PositionEncoder, Projection, RMSNorm
from torch import Tensor
from torch.nn import Parameter, functional
from torch.nn.functional import scaled_dot_product_attention

from codec_s2st.models.codec_lm.decoding.cache import KeyValueCache
from codec_s2st.models.codec_lm.decoding.matrices import Matrix, MatrixMaker, join_parameters, lay_out
from codec_s2st.models.codec_lm.decoding.rotation import Rotation
from codec_s2st.models.codec_lm.lora import LORA, LoRA


class _Norm:
    """An RMS norm. In float32 on CPUs it is written out, since torch's own takes twice the time there."""

    def __init__(self, weight: Tensor, dim: int, eps: float) -> None:
        """
        :param weight: *Shape:* [.., dim].
        """
        self._weight, self._shape, self._eps = weight, (dim,), eps

        self._written_out = weight.dtype == torch.float32 and weight.device.type == "cpu"

        # x / sqrt(|x|^2 / dim + eps), where |x| is one operation.
        self._scaled_weight = weight * math.sqrt(dim)
        self._root_of_eps = torch.tensor(math.sqrt(dim * eps), device=weight.device)

    def __call__(self, x: Tensor) -> Tensor:
        if not self._written_out:
            return functional.rms_norm(x, self._shape, None, self._eps) * self._weight

        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).hypot_(self._root_of_eps)

        return x.div(length).mul_(self._scaled_weight)


@dataclass(frozen=True, slots=True)
class _Layer:
    attn_norm: _Norm
    qkv: Matrix
    qk_norm: _Norm | None
    attn_output: Matrix
    ffn_norm: _Norm
    gate_up: Matrix
    down: Matrix


class FusedDecoder:
    """Computes what fairseq2's decoder does, for a model that :func:`~.known.why_unknown` has nothing against."""

    def __init__(self, decoder: TransformerLMDecoder, make: MatrixMaker) -> None:
        """
        :param decoder: In evaluation mode. Some of its parameters become views of larger tensors.
        :param make: Makes the products of weights.
        """
        decoder = cast(StandardTransformerLMDecoder, decoder)

        attention = _attention_of(cast(StandardTransformerLMDecoderLayer, decoder.layers[0]))

        self.num_heads, self.num_key_value_heads = attention.num_heads, attention.num_key_value_heads
        self.head_dim = attention.q_proj.output_dim // attention.num_heads

        self._groups = self.num_heads // self.num_key_value_heads

        self._rotation = Rotation(cast(PositionEncoder, attention.pos_encoder))

        self._layers = [self._fuse(cast(StandardTransformerLMDecoderLayer, layer), make) for layer in decoder.layers]

        self._norm = _norm_of(cast(RMSNorm, decoder.layer_norm))

        weight = cast(Parameter, attention.q_proj.weight)

        self.device, self._dtype = weight.device, weight.dtype

    def _fuse(self, layer: StandardTransformerLMDecoderLayer, make: MatrixMaker) -> _Layer:
        attention, ffn = _attention_of(layer), cast(GLUFeedForwardNetwork, layer.ffn)

        qk_norm = None

        if attention.q_norm is not None:
            query, key = cast(RMSNorm, attention.q_norm), cast(RMSNorm, attention.k_norm)

            weights = [query.weight] * self.num_heads + [key.weight] * self.num_key_value_heads

            qk_norm = _Norm(
                torch.stack([cast(Tensor, weight).detach() for weight in weights]), self.head_dim, query.eps
            )

        return _Layer(
            attn_norm=_norm_of(cast(RMSNorm, layer.self_attn_layer_norm)),
            qkv=make(*_join([attention.q_proj, attention.k_proj, attention.v_proj])),
            qk_norm=qk_norm,
            attn_output=make(*_join([attention.output_proj])),
            ffn_norm=_norm_of(cast(RMSNorm, layer.ffn_layer_norm)),
            gate_up=make(*_join([ffn.gate_proj, ffn.inner_proj])),
            down=make(*_join([ffn.output_proj])),
        )

    def make_cache(self, lengths: Sequence[int], num_new: int) -> KeyValueCache:
        """Allocates the cache of a batch.

        :param lengths: The number of steps of each row's prompt. Length B.
        :param num_new: The largest number of steps that are read after them.
        """
        return KeyValueCache(
            len(self._layers),
            lengths,
            self.num_key_value_heads,
            num_new,
            self.head_dim,
            device=self.device,
            dtype=self._dtype,
        )

    def read(self, x: Tensor, cache: KeyValueCache) -> Tensor:
        """Reads the prompts of all rows in one pass.

        :param x: The prompts, one after the other. *Shape:* [N, D], where N is the sum of their lengths.

        :returns: *Shape:* [N, D].
        """
        lengths = cache.lengths

        table = self._rotation.table(max(lengths), x.device)

        turns = torch.cat([table[:length] for length in lengths])

        for idx, layer in enumerate(self._layers):
            query, key, value = self._project(layer, x, turns)

            outputs = []

            # Padding would be computed, and a mask be built.
            parts = zip(query.split(lengths), key.split(lengths), value.split(lengths), strict=True)

            for row, (q, k, v) in enumerate(parts):
                # [S, H, K] -> [H, S, K]
                q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)

                cache.write_prompt(idx, row, k, v)

                if self._groups > 1:
                    k, v = k.repeat_interleave(self._groups, dim=0), v.repeat_interleave(self._groups, dim=0)

                output = scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)

                outputs.append(output[0].transpose(0, 1).flatten(1))

            x = self._finish(layer, x, torch.cat(outputs))

        return self._norm(x)

    def step(self, x: Tensor, cache: KeyValueCache) -> Tensor:
        """Reads one more step of each row.

        :param x: *Shape:* [B, D].

        :returns: *Shape:* [B, D].
        """
        num_rows = x.size(0)

        position = cache.position

        table = self._rotation.table(position + 1, x.device)

        turns = table[position : position + 1] if cache.positions is None else table[cache.positions]

        places, columns, mask = cache.columns()

        for idx, layer in enumerate(self._layers):
            query, key, value = self._project(layer, x, turns)

            places[2 * idx].copy_(key)
            places[2 * idx + 1].copy_(value)

            # The heads that share keys are queries of the same keys.
            query = query.view(num_rows, self.num_key_value_heads, self._groups, self.head_dim)

            output = scaled_dot_product_attention(query, columns[2 * idx], columns[2 * idx + 1], mask)

            x = self._finish(layer, x, output.reshape(num_rows, -1))

        cache.advance()

        return self._norm(x)

    def _project(self, layer: _Layer, x: Tensor, turns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries, keys and values. *Shape:* [N, H, K] each."""
        num_turned = self.num_heads + self.num_key_value_heads

        projected = layer.qkv(layer.attn_norm(x)).view(x.size(0), -1, self.head_dim)

        turned, value = projected.split([num_turned, self.num_key_value_heads], dim=1)

        if layer.qk_norm is not None:
            turned = layer.qk_norm(turned)

        query, key = self._rotation(turned, turns).split([self.num_heads, self.num_key_value_heads], dim=1)

        return query, key, value

    def _finish(self, layer: _Layer, x: Tensor, attended: Tensor) -> Tensor:
        x = layer.attn_output.add_to(x, attended)

        gate, up = layer.gate_up(layer.ffn_norm(x)).chunk(2, dim=-1)

        return layer.down.add_to(x, functional.silu(gate).mul_(up))


def _attention_of(layer: StandardTransformerLMDecoderLayer) -> StandardMultiheadAttention:
    return cast(StandardMultiheadAttention, layer.self_attn)


def _norm_of(norm: RMSNorm) -> _Norm:
    weight = cast(Parameter, norm.weight)

    return _Norm(weight.detach(), weight.size(-1), norm.eps)


def _join(projections: Sequence[Projection]) -> tuple[Tensor, Tensor | None]:
    """Returns the weights of several projections of the same input in one, their updates merged, and the biases."""
    if any(hasattr(projection, LORA) for projection in projections):
        weight = lay_out([_merged(projection) for projection in projections])
    else:
        weight = join_parameters([cast(Parameter, projection.weight) for projection in projections])

    biases = [cast("Parameter | None", projection.bias) for projection in projections]

    # Either all have one, or none.
    given = [bias for bias in biases if bias is not None]

    return weight, join_parameters(given) if given else None


def _merged(projection: Projection) -> Tensor:
    weight = cast(Parameter, projection.weight).detach()

    if not hasattr(projection, LORA):
        return weight

    update = cast(LoRA, projection.get_submodule(LORA))

    product = update.weight_b.detach() @ update.weight_a.detach()

    return (weight.float() + update.scale * product).to(weight.dtype)
