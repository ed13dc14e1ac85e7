from __future__ import annotations

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


def test_real_tensors_are_filled_everywhere() -> None:
    for device in ("cpu", "meta"):
        with torch.device(device), without_fills():
            weight = torch.nn.init.trunc_normal_(torch.zeros(100, device="cpu"))

            assert weight.std() > 0.1

            assert float(torch.nn.init.ones_(weight).sum()) == 100
