"""Floating-point operations of a training step, by part; a product of [m, k] and [k, n] is 2 m k n of them.

Sizes are those of the model's own modules. A linear layer of n weights costs 2 n a step forward, as much again for the
gradient of its input, and as much for that of its weights where these are trained (arXiv 2001.08361, section 2.1).
Attention is counted by pairs of steps: 2 products of 2 H K a pair forward, 4 backward (arXiv 2205.14135; appendix B of
arXiv 2204.02311 counts the whole square, we count the half that is seen as useful).

Norms, activations, softmax and the optimizer are left out: they are below a hundredth, and bound by memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fairseq2.models.transformer import StandardMultiheadAttention
from fairseq2.models.transformer_lm import TransformerLMDecoder
from fairseq2.nn import Projection
from torch import Tensor
from torch.nn import Module

from codec_s2st.models.codec_lm.lora import LORA
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.plan.shape import BatchShape


@dataclass(frozen=True, kw_only=True)
class PartFlops:
    """One part of a step, forward and backward."""

    name: str

    useful: float
    """What cannot be left out, and all that MFU counts."""

    executed: float
    """What the device does: recomputed layers, padding and recomputed scores included."""


def step_flops(
    model: CodecLM,
    shape: BatchShape,
    *,
    checkpointed: float = 0.0,
    padding: float = 0.0,
    fused_attention: bool = True,
) -> list[PartFlops]:
    """Returns the parts of forward and backward over one batch.

    :param model: May be on the meta device.
    :param checkpointed: The share of the backbone's layers that are computed again in the backward.
    :param padding: Steps of padding, a step of a sequence.
    :param fused_attention: ``True`` for kernels that leave out the half which is not seen, and compute scores again
        in the backward; ``False`` for plain products of whole squares, which keep them.
    """
    steps, computed = shape.num_steps, shape.num_steps * (1 + padding)

    again = 1 + checkpointed

    forward, trained = _linear_weights(model.decoder)

    backbone = PartFlops(
        name="backbone",
        useful=2 * steps * (2 * forward + trained),
        executed=2 * computed * ((again + 1) * forward + trained),
    )

    pairs = (shape.sum_of_squares + steps) / 2

    widths = _attention_widths(model.decoder)

    if fused_attention:
        executed_pairs = pairs * (again + 2.5)
    else:
        executed_pairs = shape.sum_of_squares * (again + 2)

    attention = PartFlops(name="attention", useful=4 * widths * pairs * 3, executed=4 * widths * executed_pairs)

    return [backbone, attention, *_heads(model, shape), _embeddings(model, steps, computed)]


def _heads(model: CodecLM, shape: BatchShape) -> Iterable[PartFlops]:
    heads, vocabulary = model.heads, model.vocabulary

    model_dim = heads.stream0_weight.size(1)

    text_rows = heads.stream0_weight if heads.text_weight is None else heads.text_weight

    def head(num_targets: float, num_rows: int, weight: Tensor) -> float:
        return 2 * num_targets * num_rows * model_dim * (3 if weight.requires_grad else 2)

    text = head(shape.num_text_targets, len(vocabulary.text_space), text_rows)

    yield PartFlops(name="text head", useful=text, executed=text)

    codes = head(shape.num_speech_targets, len(vocabulary.speech_space), heads.stream0_weight)

    if heads.codebook_weight is not None:
        codes += head(shape.num_code_targets, sum(vocabulary.codebook_sizes[1:]), heads.codebook_weight)

    yield PartFlops(name="code book heads", useful=codes, executed=codes)

    if heads.depth is None:
        return

    num_streams = vocabulary.num_streams - 1

    steps = shape.num_code_targets * num_streams

    linear, trained = _linear_weights(heads.depth.decoder)

    flops = 2 * steps * (2 * linear + trained) + 4 * _attention_widths(heads.depth.decoder) * 3 * (
        shape.num_code_targets * num_streams * (num_streams + 1) / 2
    )

    flops += 6 * shape.num_code_targets * heads.depth.hidden_proj.weight.numel()
    flops += 6 * steps * heads.depth.output_proj.weight.numel()

    yield PartFlops(name="depth transformer", useful=flops, executed=flops)


def _embeddings(model: CodecLM, steps: float, computed: float) -> PartFlops:
    # The vectors of the Q ids of a step are added, and their gradients to the rows.
    additions = 2 * model.vocabulary.num_streams * model.heads.stream0_weight.size(1)

    return PartFlops(name="embeddings", useful=additions * steps, executed=additions * computed)


def _linear_weights(decoder: TransformerLMDecoder) -> tuple[int, int]:
    """Returns the number of weights that each step is multiplied by, and that of those which are trained."""
    weights: list[Tensor] = []

    for module in decoder.modules():
        if isinstance(module, Projection):
            weights.append(_weight(module, "weight"))

            lora = getattr(module, LORA, None)

            if lora is not None:
                weights += [_weight(lora, "weight_a"), _weight(lora, "weight_b")]

    return sum(w.numel() for w in weights), sum(w.numel() for w in weights if w.requires_grad)


def _weight(module: Module, name: str) -> Tensor:
    weight = getattr(module, name)

    assert isinstance(weight, Tensor)

    return weight


def _attention_widths(decoder: TransformerLMDecoder) -> int:
    """Returns the sum over layers of H times K."""
    total = 0

    for module in decoder.modules():
        if isinstance(module, StandardMultiheadAttention):
            # The output is projected from all heads.
            total += _weight(module.output_proj, "weight").size(1)

    return total
