from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fairseq2.nn import BatchLayout, IncrementalStateBag
from fairseq2.nn.position_encoder import ReferenceRotaryEncoder
from torch import Tensor

from codec_s2st.models.codec_lm.backbones.positions import HalvesRotaryEncoder, prepare_whole_tables
from codec_s2st.models.codec_lm.factory import create_codec_lm
from tests.factories import tiny_config

MAX_STEPS = 5000

LAYOUTS: dict[str, Callable[[Tensor], BatchLayout]] = {
    "plain": BatchLayout.of,
    "padded": lambda seqs: BatchLayout.of(seqs, [seqs.size(1), seqs.size(1) // 2 + 1]),
}


def make_encoders(head_dim: int, theta: float = 1e6) -> tuple[HalvesRotaryEncoder, ReferenceRotaryEncoder]:
    return (
        HalvesRotaryEncoder(head_dim, MAX_STEPS, theta=theta),
        ReferenceRotaryEncoder(head_dim, MAX_STEPS, theta=theta),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("head_dim", "theta"), [(2, 1e4), (6, 1e6), (64, 1e4), (128, 5e5)])
def test_numbers_are_those_of_tables_for_all_steps(
    head_dim: int, theta: float, layout: str, dtype: torch.dtype
) -> None:
    ours, theirs = make_encoders(head_dim, theta)

    # Up and down, over the bounds of what is filled at once.
    for num_steps in (1, 7, 1023, 1024, 1025, 3, 2500, 4999, 5000):
        seqs = torch.randn((2, num_steps, 3, head_dim), dtype=dtype)

        assert torch.equal(ours(seqs, LAYOUTS[layout](seqs)), theirs(seqs, LAYOUTS[layout](seqs))), num_steps


def test_packed_sequences_count_from_their_begin() -> None:
    ours, theirs = make_encoders(64)

    seqs = torch.randn((100, 3, 64))

    layout = BatchLayout.of(seqs, [40, 3, 50], packed=True)

    assert torch.equal(ours(seqs, layout), theirs(seqs, layout))


def test_steps_go_on_in_generation_and_not_in_training() -> None:
    ours, theirs = make_encoders(64)

    state_bag = IncrementalStateBag(MAX_STEPS)

    for _ in range(1100):
        state_bag.increment_step_nr()

    seqs = torch.randn((2, 5, 3, 64))

    for training in (False, True):
        layout = BatchLayout.of(seqs)

        outputs = [encoder.train(training)(seqs, layout, state_bag=state_bag) for encoder in (ours, theirs)]

        assert torch.equal(*outputs)


def test_more_steps_than_the_model_knows_are_refused() -> None:
    ours, _ = make_encoders(64)

    seqs = torch.randn((1, MAX_STEPS + 1, 1, 64))

    with pytest.raises(ValueError, match="5000 steps, but was given 5001"):
        ours(seqs, BatchLayout.of(seqs))


def test_tables_do_not_depend_on_where_they_were_filled() -> None:
    _, theirs = make_encoders(64)

    seqs = torch.randn((1, 30, 1, 64), requires_grad=True)

    expected = theirs(seqs, BatchLayout.of(seqs))

    for context in (torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), torch.device("meta")):
        ours, _ = make_encoders(64)

        with context:
            ours(seqs, BatchLayout.of(seqs))

        output = ours(seqs, BatchLayout.of(seqs))

        assert torch.equal(output, expected)

        output.sum().backward()


def test_tables_are_no_part_of_what_is_saved_moved_or_broadcast() -> None:
    model = create_codec_lm(tiny_config())

    assert not list(model.decoder.layers[0].self_attn.pos_encoder.buffers())


def test_whole_tables_are_prepared_below_a_module() -> None:
    model = create_codec_lm(tiny_config())

    handle = model.decoder.register_forward_pre_hook(prepare_whole_tables)

    model(torch.zeros((1, 3, model.vocabulary.num_streams), dtype=torch.long))

    encoder = model.decoder.layers[0].self_attn.pos_encoder

    assert isinstance(encoder, HalvesRotaryEncoder) and encoder._num_steps == encoder.max_seq_len

    handle.remove()
