from __future__ import annotations

import pytest
import torch
from fairseq2.error import NotSupportedError
from fairseq2.models import ModelFamily
from fairseq2.runtime.dependency import get_dependency_resolver

from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.factory import create_codec_lm
from codec_s2st.models.codec_lm.frontend import StreamEmbedding
from codec_s2st.models.codec_lm.fsdp import apply_fsdp_to_codec_lm
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from tests.factories import tiny_config, tiny_model


def backbone_size(config: CodecLMConfig) -> int:
    """Counts the parameters of the layers, as Qwen's paper describes them."""
    decoder = config.decoder

    width, key_width = decoder.model_dim, decoder.model_dim // decoder.num_attn_heads * decoder.num_key_value_heads

    attention = (width + 1) * width + 2 * (width + 1) * key_width + width * width

    return decoder.num_layers * (attention + 3 * width * decoder.ffn_inner_dim + 2 * width) + width


class TestStreamEmbedding:
    def test_sums_the_vectors_of_a_step(self) -> None:
        embed = StreamEmbedding(20, 4, pad_idx=7, std=1.0)

        ids = torch.randint(0, 20, (3, 5, 2), generator=torch.Generator().manual_seed(0))

        ids[0, 0] = 7
        ids[1, 2, 1] = 7

        vectors = embed(ids)

        for row in range(3):
            for step in range(5):
                expected = sum((embed.weight[id_] for id_ in ids[row, step].tolist() if id_ != 7), torch.zeros(4))

                torch.testing.assert_close(vectors[row, step], expected)

        assert vectors[0, 0].tolist() == [0.0] * 4

    def test_padding_has_no_gradient(self) -> None:
        embed = StreamEmbedding(20, 4, pad_idx=7, std=1.0)

        embed(torch.tensor([[[7, 3], [7, 7]]])).sum().backward()

        assert embed.weight.grad is not None

        assert embed.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [3]


class TestArchitectures:
    # Published sizes; both tie their head to their embedding.
    @pytest.mark.parametrize(("arch", "num_published"), [("qwen1_5_0_5b", 463_987_712), ("qwen2_5_0_5b", 494_032_768)])
    def test_backbone_has_the_published_size(self, arch: str, num_published: int) -> None:
        config = get_codec_lm_hub().get_arch_config(arch)

        with torch.device("meta"):
            model = create_codec_lm(config)

        num_text = config.decoder.vocab_size * config.decoder.model_dim

        num_backbone = sum(parameter.numel() for parameter in model.decoder.parameters())

        assert num_backbone == backbone_size(config) == num_published - num_text

        # Two text tables and, in embedding and heads, 256 specials and 3 code books of 1,024.
        num_new = 2 * (256 + 3 * 1024) * config.decoder.model_dim

        assert sum(parameter.numel() for parameter in model.parameters()) == num_published + num_text + num_new

    def test_papers_base_model_has_626_million_parameters(self) -> None:
        with torch.device("meta"):
            model = create_codec_lm(get_codec_lm_hub().get_arch_config("qwen1_5_0_5b"))

        assert sum(parameter.numel() for parameter in model.parameters()) == 626_385_920

    @pytest.mark.parametrize("arch", ["tiny", "demo"])
    def test_small_architectures_can_be_built(self, arch: str) -> None:
        config = get_codec_lm_hub().get_arch_config(arch)

        model = get_codec_lm_hub().create_new_model(config)

        assert sum(parameter.numel() for parameter in model.decoder.parameters()) == backbone_size(config)


class TestConfig:
    @pytest.mark.parametrize(
        ("sizes", "pattern", "message"),
        [
            ([], "parallel", "`codebook_sizes`"),
            ([4, 0], "parallel", "`codebook_sizes`"),
            ([4, 4], "delay:0", "must hold 2 delays"),
            ([4, 4], "diagonal", "must be parallel, delay, flatten"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, sizes: list[int], pattern: str, message: str) -> None:
        result = CodecLMConfig(codebook_sizes=sizes, pattern=pattern).validate()

        assert message in str(result)

    @pytest.mark.parametrize(
        ("sizes", "pattern", "heads", "message"),
        [
            ([4], "parallel", "depth", "one code book"),
            ([4, 4], "flatten", "depth", "flatten"),
            ([4, 4], "delay", "serial", "must be parallel or depth"),
        ],
    )
    def test_refuses_heads_that_make_no_sense(self, sizes: list[int], pattern: str, heads: str, message: str) -> None:
        config = CodecLMConfig(codebook_sizes=sizes, pattern=pattern)

        config.heads = heads  # type: ignore[assignment]

        assert message in str(config.validate())

    @pytest.mark.parametrize(("weights", "message"), [([1.0], "must hold 3 values"), ([1.0, -1.0, 1.0], "negative")])
    def test_refuses_weights_that_make_no_sense(self, weights: list[float], message: str) -> None:
        assert message in str(CodecLMConfig(stream_loss_weights=weights).validate())

    def test_accepts_the_default(self) -> None:
        assert not CodecLMConfig().validate().has_error()


class TestFamily:
    def test_layers_can_be_checkpointed(self) -> None:
        model, ids = tiny_model(), torch.randint(0, 64, (2, 5, 2))

        hidden = model(ids).hidden

        checkpointed = get_codec_lm_hub().create_new_model(tiny_config()).eval()

        checkpointed.load_state_dict(model.state_dict())

        family = get_dependency_resolver().resolve(ModelFamily, key="codec_s2st_lm")

        assert family.apply_layerwise_ac(checkpointed, every_nth_layer=1) is checkpointed

        assert all("CheckpointWrapper" in type(layer).__name__ for layer in checkpointed.decoder.layers)

        torch.testing.assert_close(checkpointed(ids).hidden, hidden)

    def test_unknown_fsdp_granularity_is_refused(self) -> None:
        with pytest.raises(NotSupportedError, match=r"'layer' or 'stack', but is 'row'"):
            apply_fsdp_to_codec_lm(tiny_model(), "row", lambda module: module)

    @torch.inference_mode()
    def test_later_steps_do_not_reach_earlier_ones(self) -> None:
        model, ids = tiny_model(), torch.randint(0, 64, (1, 8, 2))

        changed = ids.clone()

        changed[0, 5:] = 63 - changed[0, 5:]

        before, after = model(ids).hidden, model(changed).hidden

        torch.testing.assert_close(before[:, :5], after[:, :5])

        assert not torch.allclose(before[:, 5:], after[:, 5:])
