from __future__ import annotations

import pytest
import torch

from codec_s2st.models.codec_lm.factory import create_codec_lm
from codec_s2st.models.codec_lm.meta import without_fills
from tests.factories import tiny_config


def test_model_on_the_meta_device_has_the_parameters_of_a_real_one() -> None:
    with torch.device("meta"):
        model = create_codec_lm(tiny_config())

    real = create_codec_lm(tiny_config())

    state, expected = model.state_dict(), real.state_dict()

    assert list(state) == list(expected)

    for name, tensor in expected.items():
        assert state[name].is_meta and state[name].shape == tensor.shape and state[name].dtype == tensor.dtype, name

        assert tensor.device.type == "cpu"


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_repeated_layers_are_those_that_are_built_one_by_one(family: str) -> None:
    config = tiny_config()

    config.decoder.num_layers, config.decoder.family = 3, family

    if family == "llama":
        config.decoder.qkv_proj_bias = False

    with torch.device("meta"):
        model = create_codec_lm(config)

    real = create_codec_lm(config)

    assert str(model) == str(real)

    layers = list(model.decoder.layers)

    for name, layer in ((name, layer) for name in ("self_attn", "ffn", "self_attn_layer_norm") for layer in layers):
        assert vars(getattr(layer, name)).keys() == vars(getattr(real.decoder.layers[0], name)).keys()

    # Each has modules and parameters of its own, but for the positions.
    assert len(set(model.parameters())) == len(set(real.parameters())) == len(list(real.named_parameters()))

    assert len(list(model.modules())) == len(list(real.modules()))

    assert len({layer.self_attn.pos_encoder for layer in layers}) == 1

    hook = layers[0].self_attn.q_proj.register_forward_hook(lambda *_: None)

    assert not layers[1].self_attn.q_proj._forward_hooks

    hook.remove()


def test_real_tensors_are_filled_everywhere() -> None:
    for device in ("cpu", "meta"):
        with torch.device(device), without_fills():
            weight = torch.nn.init.trunc_normal_(torch.zeros(100, device="cpu"))

            assert weight.std() > 0.1

            assert float(torch.nn.init.ones_(weight).sum()) == 100
