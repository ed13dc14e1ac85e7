"""Says which models tensor parallelism cannot split, before fairseq2's layers fail over it."""

from __future__ import annotations

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.config import CodecLMConfig


def check_splits(config: CodecLMConfig, tp_size: int) -> None:
    """Checks what does not show when the model's modules are built; for its tables, see :mod:`sharding`.

    :raises UserInputError: the number of heads or an inner width cannot be split evenly over ``tp_size`` ranks, or
        there is dropout, which would differ between ranks that must compute the same.
    """
    if tp_size == 1:
        return

    where = f"`gang.tensor_parallel_size` is {tp_size}, but"

    decoder, depth = config.decoder, config.depth

    sizes = {
        "decoder.num_attn_heads": decoder.num_attn_heads,
        "decoder.num_key_value_heads": decoder.num_key_value_heads,
        "decoder.ffn_inner_dim": decoder.ffn_inner_dim,
    }

    if config.heads == "depth":
        sizes["depth.num_attn_heads"] = depth.num_attn_heads
        sizes["depth.ffn_inner_dim"] = depth.ffn_inner_dim

    for name, size in sizes.items():
        if size % tp_size:
            raise UserInputError(f"{where} must divide the model's `{name}`, {size}")

    if decoder.dropout_p > 0:
        raise UserInputError(
            f"{where} the model has dropout, which would differ between its ranks",
            hint="set model.config_overrides.decoder.dropout_p=0",
        )
