from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from codec_s2st.models.codec_lm.factory import create_codec_lm
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.plan.memory import MemoryParts, Settings, bytes_of_layer, memory_of
from codec_s2st.plan.shape import BatchShape

CONFIG = get_codec_lm_hub().get_arch_config("tiny")

SHAPE = BatchShape(
    num_steps=256, sum_of_squares=256.0**2, num_text_targets=26, num_speech_targets=230, num_code_targets=230
)

PLAIN = Settings(precision="float32", num_devices=1)


def parts_of(settings: Settings) -> MemoryParts:
    with torch.device("meta"):
        model = create_codec_lm(CONFIG)

    return memory_of(model, CONFIG.decoder, SHAPE, settings)


def test_states_are_those_of_the_parameters() -> None:
    num = sum(p.numel() for p in create_codec_lm(CONFIG).parameters())

    parts = parts_of(PLAIN)

    assert (parts.weights, parts.gradients, parts.optimizer) == (4 * num, 4 * num, 8 * num)


def test_sharding_divides_states_and_copies_double_gradients() -> None:
    one, copies = parts_of(PLAIN), parts_of(replace(PLAIN, num_devices=8))

    sharded = parts_of(replace(PLAIN, num_devices=8, sharded=True))

    assert copies.optimizer == one.optimizer and copies.gradients == 2 * one.gradients
    assert sharded.optimizer == one.optimizer / 8
    assert sharded.weights > one.weights / 8


def test_checkpointing_leaves_the_inputs_of_layers_and_one_layer() -> None:
    layer = bytes_of_layer(CONFIG.decoder, "float32")

    assert parts_of(PLAIN).activations == pytest.approx(256 * 2 * layer)

    expected = 256 * (2 * 4 * CONFIG.decoder.model_dim + layer)

    assert parts_of(replace(PLAIN, checkpoint_every=1)).activations == pytest.approx(expected)


def test_layer_is_what_the_backbone_keeps_for_each_of_its_layers() -> None:
    decoder = replace(CONFIG.decoder, num_layers=4)

    model = create_codec_lm(replace(CONFIG, decoder=decoder)).train()

    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor

        return tensor

    ids = torch.randint(64, (1, 256, 2))

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        model(ids, packed_lens=[256])

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    total = sum(t.untyped_storage().nbytes() for pointer, t in kept.items() if pointer not in weights)

    # The final norm and the ids come to it.
    assert 4 * 256 * bytes_of_layer(decoder, "float32") == pytest.approx(total, rel=0.1)


def test_half_precision_keeps_less() -> None:
    sizes = [bytes_of_layer(CONFIG.decoder, precision) for precision in ("float32", "autocast", "bfloat16")]

    assert sizes == sorted(sizes, reverse=True) and sizes[2] < 0.7 * sizes[0]


def test_peak_is_the_larger_of_both_ends_of_the_backward() -> None:
    parts = MemoryParts(
        weights=1.0,
        gradients=10.0,
        optimizer=2.0,
        activations=4.0,
        logits=1.0,
        layer_gradients=0.5,
        head_gradients=2.0,
        accumulates=False,
    )

    assert parts.peak == 3 + 10
    assert replace(parts, activations=20.0).peak == 3 + 20 + 1 + 2
    assert replace(parts, activations=20.0, layer_gradients=3.0).peak == 3 + 20 + 3 + 2
    assert replace(parts, accumulates=True).peak == 3 + 4 + 1 + 2 + 10
