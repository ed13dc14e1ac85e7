"""What of a training stands in the memory of one device at its peak, by part.

Weights, gradients and optimizer state are those of the model's own parameters. What autograd keeps of a layer is found
by running one. The allocator's own waste, the libraries' contexts and kernels' workspaces are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from fairseq2.models.transformer import AttentionBiasCache
from fairseq2.nn import BatchLayout
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from codec_s2st.models.codec_lm.backbones import BackboneConfig, backbone_of
from codec_s2st.models.codec_lm.chunked_loss import rows_of_chunk
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.plan.shape import BatchShape

Precision: TypeAlias = Literal["float32", "autocast", "bfloat16"]
"""What forward and backward compute in: float32; bfloat16 by autocast, from weights in float32; or bfloat16 weights,
which FSDP gathers from shards in float32."""

_FP32, _BF16 = 4, 2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is trained, as far as memory goes."""

    precision: Precision

    num_devices: int
    """Over which data are split."""

    sharded: bool = False
    """``True`` for FSDP, which splits states over the devices; ``False`` for copies of all, as DDP has them."""

    checkpoint_every: int = 0
    """Every n-th layer is computed again in the backward, and keeps its input alone; 0 for none."""

    accumulates: bool = False
    """Whether gradients of earlier batches are there when a batch is computed."""


@dataclass(frozen=True, kw_only=True)
class MemoryParts:
    """Bytes on one device."""

    weights: float
    """In the type that is trained, with what is gathered of other devices or cast to another type."""

    gradients: float
    """With the buckets in which DDP sends them."""

    optimizer: float
    """Both moments of AdamW."""

    activations: float
    """What the backbone keeps for the backward."""

    logits: float
    """The largest chunk of them, in all types in which it is needed."""

    layer_gradients: float
    """Of what one layer keeps, while its backward is computed; by then, the logits are gone."""

    head_gradients: float
    """Of the tables of the heads, which are there with the loss; else a part of ``gradients``."""

    accumulates: bool

    @property
    def peak(self) -> float:
        """The larger of the begin of the backward, where all activations are kept, and of its end."""
        first = self.head_gradients + (self.gradients if self.accumulates else 0.0)

        first += self.activations + max(self.logits, self.layer_gradients)

        return self.weights + self.optimizer + max(first, self.gradients)


def memory_of(
    model: CodecLM, decoder: BackboneConfig, shape: BatchShape, settings: Settings, *, on_cpu: bool = False
) -> MemoryParts:
    """
    :param model: May be on the meta device.
    :param decoder: The configuration of its backbone.
    :param shape: Of the batch of one device, padding included.
    :param on_cpu: Whether the device is a processor, where chunks of logits are smaller.
    """
    parameters = list(model.parameters())

    num_all = sum(p.numel() for p in parameters)

    num_trained = sum(p.numel() for p in parameters if p.requires_grad)

    shards = settings.num_devices if settings.sharded else 1

    weights = sum(p.numel() * p.element_size() for p in parameters) / shards

    gradients = _FP32 * num_trained / shards

    num_layer = sum(p.numel() for p in model.decoder.layers[0].parameters())

    num_outside = num_all - num_layer * len(model.decoder.layers)

    if settings.sharded and shards > 1:
        # What is outside of the layers stays gathered; a layer is gathered while another is computed.
        weights += _BF16 * (num_outside + 2 * num_layer)

        # Whole in bfloat16 before they are sent, and in float32 while they are added.
        gradients += (_BF16 + _FP32) * max(num_outside, num_layer)
    elif settings.precision == "autocast":
        # Casts of the matrices, which the backward reads again.
        weights += _BF16 * sum(p.numel() for p in model.decoder.parameters() if p.dim() == 2)
        weights += _BF16 * sum(p.numel() for p in model.heads.parameters() if p.dim() == 2)

    if not settings.sharded and settings.num_devices > 1:
        gradients *= 2

    kept, width = bytes_of_layer(decoder, settings.precision), decoder.model_dim

    compute_bytes = _FP32 if settings.precision == "float32" else _BF16

    num_layers = len(model.decoder.layers)

    num_checkpointed = -(-num_layers // settings.checkpoint_every) if settings.checkpoint_every else 0

    # Between layers, autocast leaves what is added up in float32.
    between = width * (_BF16 if settings.precision == "bfloat16" else _FP32)

    a_step = (num_layers - num_checkpointed) * kept + num_checkpointed * between

    # One of those is whole again while its backward is computed.
    a_step += kept if num_checkpointed else 0

    heads = sum(p.numel() for p in model.heads.parameters() if p.requires_grad)

    return MemoryParts(
        weights=weights,
        gradients=gradients,
        optimizer=2 * _FP32 * num_trained / shards,
        activations=shape.num_steps * a_step,
        logits=_logits(model, shape, compute_bytes, "cpu" if on_cpu else "cuda"),
        layer_gradients=shape.num_steps * kept,
        # Added up in float32, then in the type of the tables.
        head_gradients=heads * (_FP32 if compute_bytes == _FP32 else _FP32 + _BF16),
        accumulates=settings.accumulates,
    )


def _logits(model: CodecLM, shape: BatchShape, compute_bytes: int, kind: str) -> float:
    # In float32, where all is done in place; and, in half precision, as computed and as gradients.
    num_bytes = _FP32 if compute_bytes == _FP32 else _FP32 + 2 * compute_bytes

    vocabulary = model.vocabulary

    widths = {
        len(vocabulary.text_space): shape.num_text_targets,
        len(vocabulary.speech_space): shape.num_speech_targets,
        sum(vocabulary.codebook_sizes[1:]): shape.num_code_targets,
    }

    return max(
        num_bytes * width * min(num_targets, rows_of_chunk(kind, width))
        for width, num_targets in widths.items()
        if width
    )


def bytes_of_layer(decoder: BackboneConfig, precision: Precision) -> float:
    """Returns what autograd keeps of one layer, in bytes a step.

    One layer of that size is run forward, on the processor, at two lengths: what does not grow is no activation.
    """
    short, long = 32, 96

    config = replace(decoder, num_layers=1, max_seq_len=long)

    with torch.random.fork_rng(devices=[]):
        layer = backbone_of(config).create_decoder(config).train().layers[0]

    if precision == "bfloat16":
        layer = layer.to(torch.bfloat16)

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32

    def kept(num_steps: int) -> int:
        storages: dict[int, Tensor] = {}

        def pack(tensor: Tensor) -> Tensor:
            # Held, so that no other gets its address.
            storages[tensor.untyped_storage().data_ptr()] = tensor

            return tensor

        seqs = torch.randn((num_steps, config.model_dim), dtype=dtype, requires_grad=True)

        layout = BatchLayout.of(seqs, [num_steps], packed=True)

        with (
            torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"),
            saved_tensors_hooks(pack, lambda tensor: tensor),
        ):
            layer(seqs, layout, AttentionBiasCache())

        weights = {p.untyped_storage().data_ptr() for p in layer.parameters()}

        return sum(t.untyped_storage().nbytes() for pointer, t in storages.items() if pointer not in weights)

    return (kept(long) - kept(short)) / (long - short)
