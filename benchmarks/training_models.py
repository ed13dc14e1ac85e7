"""What the training benchmarks train: our model, its peers, and batches that say the same to all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import fairseq2.recipe  # noqa: F401  (first: fairseq2's modules import each other in a circle)
import torch
from fairseq2.recipe.config import AdamWConfig
from fairseq2.recipe.internal.optim import _AdamWFactory
from torch import Tensor
from torch.nn import Module, functional

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub

NUM_STREAMS, CODEBOOK_SIZE = 8, 1_032

TEXT_SHARE = 0.1

LEARNING_RATE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a backbone, and the rows of the text."""

    model_dim: int
    num_layers: int
    num_heads: int
    ffn_dim: int
    text_size: int

    max_seq_len: int = 4_096


def make_ours(shape: Shape, *, num_streams: int = NUM_STREAMS) -> Any:
    config = get_codec_lm_hub().get_arch_config("tiny")

    decoder = config.decoder

    decoder.model_dim, decoder.num_layers, decoder.ffn_inner_dim = shape.model_dim, shape.num_layers, shape.ffn_dim
    decoder.num_attn_heads = decoder.num_key_value_heads = shape.num_heads
    decoder.vocab_size, decoder.max_seq_len = shape.text_size, shape.max_seq_len

    config.codebook_sizes = [CODEBOOK_SIZE] * num_streams

    config.new_rows_std = 0.02

    torch.manual_seed(0)

    return get_codec_lm_hub().create_new_model(config).train()


def make_batch(vocabulary: Any, lens: Sequence[int], *, text_share: float, packed: bool) -> SpeechTextBatch:
    """Returns sequences whose steps are text or codes by chance; all but a sequence's first are targets."""
    generator = torch.Generator().manual_seed(0)

    num_steps, num_streams = sum(lens), vocabulary.num_streams

    is_text = torch.rand(num_steps, generator=generator) < text_share

    codes = torch.randint(0, CODEBOOK_SIZE, (num_steps, num_streams), generator=generator)

    ids = codes + torch.tensor(vocabulary.codebook_offsets())

    ids[is_text] = vocabulary.pad

    ids[is_text, 0] = torch.randint(0, vocabulary.text_size, (int(is_text.sum()),), generator=generator)

    mask = ids != vocabulary.pad

    rows, masks = ids.split(list(lens)), mask.split(list(lens))

    for part in masks:
        part[0] = False

    if packed:
        shape, packed_lens = (1, num_steps), list(lens)

        rows, masks = (ids,), (mask,)
    else:
        shape, packed_lens = (len(lens), max(lens)), None

    all_ids = torch.full((*shape, num_streams), vocabulary.pad)

    all_masks = torch.zeros_like(all_ids, dtype=torch.bool)

    for i, (one, marks) in enumerate(zip(rows, masks, strict=True)):
        all_ids[i, : len(one)], all_masks[i, : len(one)] = one, marks

    names = ["cpt"] * len(lens)

    return SpeechTextBatch(all_ids, all_masks, names, names, num_steps, num_steps, packed_lens)


def optimizer_of(model: Module) -> Any:
    return _AdamWFactory(model).create(AdamWConfig(lr=LEARNING_RATE, betas=(0.9, 0.95), impl="fused"))


def step_of(model: Module, loss_of: Callable[[], Tensor]) -> Callable[[], None]:
    """Returns a function that does one step of training.

    :param loss_of: Returns the mean loss of a target.
    """
    optimizer = optimizer_of(model)

    def step() -> None:
        loss_of().backward()

        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

        optimizer.step()

        optimizer.zero_grad(set_to_none=True)

    return step


def step_of_ours(model: Any, batch: SpeechTextBatch) -> Callable[[], None]:
    def loss_of() -> Tensor:
        loss = model(batch.ids, loss_mask=batch.loss_mask, packed_lens=batch.packed_lens).loss

        mean: Tensor = loss.total / int(loss.num_targets)

        return mean

    return step_of(model, loss_of)


class StreamsOverQwen(Module):
    """transformers' Qwen2 over sums of embeddings, and one head with the rows of all streams, at every position."""

    def __init__(self, shape: Shape, vocabulary: Any) -> None:
        super().__init__()

        self.vocabulary = vocabulary

        self.embed = torch.nn.EmbeddingBag(vocabulary.size, shape.model_dim, mode="sum", padding_idx=vocabulary.pad)

        self.backbone = make_qwen(shape, vocab_size=1).model

        num_rows = vocabulary.stream0_size + sum(vocabulary.codebook_sizes[1:])

        self.head = torch.nn.Linear(shape.model_dim, num_rows, bias=False)

    def hidden_of(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        embeds = self.embed(ids.flatten(0, 1)).view(*ids.shape[:2], -1)

        # [B, S - 1, D]
        hidden: Tensor = self.backbone(inputs_embeds=embeds, attention_mask=attention_mask, use_cache=False)[0][:, :-1]

        return hidden

    def loss(self, ids: Tensor, mask: Tensor, attention_mask: Tensor) -> Tensor:
        """Masks the losses of what is no target, as transformers does with labels of -100."""
        hidden, vocabulary = self.hidden_of(ids, attention_mask), self.vocabulary

        logits = self.head(hidden).flatten(0, 1)

        first, *others = logits.split([vocabulary.stream0_size, *vocabulary.codebook_sizes[1:]], dim=-1)

        targets = ids[:, 1:].masked_fill(~mask[:, 1:], -100).flatten(0, 1)

        losses = [functional.cross_entropy(first, targets[:, 0], reduction="sum")]

        for stream, part in enumerate(others, start=1):
            local = targets[:, stream] - vocabulary.codebook_offsets()[stream]

            losses.append(
                functional.cross_entropy(part, local.masked_fill(targets[:, stream] < 0, -100), reduction="sum")
            )

        total: Tensor = sum(losses) / mask[:, 1:].any(dim=-1).sum()  # type: ignore[assignment]

        return total

    def loss_where_needed(self, ids: Tensor, mask: Tensor, attention_mask: Tensor) -> Tensor:
        """Computes each head where it has a target, over the same classes as we do."""
        hidden, vocabulary = self.hidden_of(ids, attention_mask), self.vocabulary

        targets, is_target = ids[:, 1:], mask[:, 1:]

        in_text = vocabulary.is_text_space(targets[..., 0])

        total = hidden.new_zeros(())

        for chosen, space in ((in_text, vocabulary.text_space), (~in_text, vocabulary.speech_space)):
            rows = chosen & is_target[..., 0]

            logits = functional.linear(hidden[rows], self.head.weight[space.start : space.stop])

            total = total + functional.cross_entropy(logits, targets[..., 0][rows] - space.start, reduction="sum")

        rows = is_target[..., 1:].all(dim=-1)

        logits = functional.linear(hidden[rows], self.head.weight[vocabulary.stream0_size :])

        local = targets[rows][:, 1:] - torch.tensor(vocabulary.codebook_offsets()[1:])

        total = total + functional.cross_entropy(logits.view(-1, CODEBOOK_SIZE), local.flatten(), reduction="sum")

        return total / is_target.any(dim=-1).sum()


def make_qwen(shape: Shape, vocab_size: int) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=shape.model_dim,
        intermediate_size=shape.ffn_dim,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_heads,
        max_position_embeddings=shape.max_seq_len,
        tie_word_embeddings=False,
        pad_token_id=None,
    )

    torch.manual_seed(0)

    return Qwen2ForCausalLM(config).train()


def make_fairseq2_qwen(shape: Shape, vocab_size: int) -> Any:
    from fairseq2.models.qwen import QwenConfig, QwenFactory

    config = QwenConfig(
        model_dim=shape.model_dim,
        max_seq_len=shape.max_seq_len,
        vocab_size=vocab_size,
        num_layers=shape.num_layers,
        num_attn_heads=shape.num_heads,
        num_key_value_heads=shape.num_heads,
        ffn_inner_dim=shape.ffn_dim,
    )

    torch.manual_seed(0)

    return QwenFactory(config).create_model().train()


def make_musicgen(shape: Shape) -> Any:
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig
    from transformers.models.musicgen.modeling_musicgen import MusicgenForCausalLM

    config = MusicgenDecoderConfig(
        vocab_size=CODEBOOK_SIZE,
        max_position_embeddings=shape.max_seq_len,
        num_hidden_layers=shape.num_layers,
        # Two matrices where ours has three.
        ffn_dim=3 * shape.ffn_dim // 2,
        num_attention_heads=shape.num_heads,
        hidden_size=shape.model_dim,
        dropout=0.0,
        num_codebooks=NUM_STREAMS,
        pad_token_id=CODEBOOK_SIZE,
        bos_token_id=CODEBOOK_SIZE,
    )

    torch.manual_seed(0)

    model = MusicgenForCausalLM(config).train()

    # It stands for a text encoder's output, which there is none of here; its weights would be of no use.
    for layer in model.model.decoder.layers:
        del layer.encoder_attn, layer.encoder_attn_layer_norm

    return model
