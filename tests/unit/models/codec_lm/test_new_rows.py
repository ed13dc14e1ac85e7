"""How the rows of new tokens begin, and where rows of padding stand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.loader import lazy_checkpoint_path
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.models.codec_lm.tables import draw_new_rows, padded_rows
from codec_s2st.models.codec_lm.text_llm import read_text_llm
from tests.factories import tiny_config, tiny_model
from tests.llms import write_llm

NUM_TEXT, SIZES, STD = 50, [600, 300, 500], 0.07


@pytest.fixture(scope="module", params=["qwen1_5", "qwen2_5"])
def llm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llm(tmp_path_factory.mktemp("llm"), request.param)


def grow(folder: Path, **options: object) -> CodecLM:
    config = CodecLMConfig(
        decoder=read_text_llm(folder)[0],
        codebook_sizes=SIZES,
        new_rows_std=STD,
        **options,  # type: ignore[arg-type]
    )

    return get_codec_lm_hub().load_custom_model(lazy_checkpoint_path(folder), config).eval()


def tables(model: CodecLM) -> list[Tensor]:
    assert model.heads.codebook_weight is not None

    return [model.decoder_frontend.embed.weight, model.heads.stream0_weight, model.heads.codebook_weight]


def new_rows(model: CodecLM) -> list[Tensor]:
    embed, head, codebooks = tables(model)

    return [embed[NUM_TEXT:], head[NUM_TEXT:], codebooks]


def test_tables_hold_text_specials_and_codes(llm: Path) -> None:
    assert [tuple(table.shape) for table in tables(grow(llm))] == [
        (NUM_TEXT + 256 + sum(SIZES), 32),
        (NUM_TEXT + 256 + SIZES[0], 32),
        (sum(SIZES[1:]), 32),
    ]


def test_plain_rows_are_drawn_as_stated(llm: Path) -> None:
    for rows in new_rows(grow(llm)):
        assert abs(rows.mean().item()) < 0.05 * STD
        assert abs(rows.std().item() / STD - 1) < 0.02


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_rows_like_the_old_have_their_mean_and_covariance(llm: Path, scale: float) -> None:
    embed, head, _ = tables(model := grow(llm, new_rows_init="old_rows", new_rows_scale=scale))

    old_tables = (embed[:NUM_TEXT], head[:NUM_TEXT], head[:NUM_TEXT])

    for old, new in zip(old_tables, new_rows(model), strict=True):
        spread = float(old.std(dim=0).mean())

        assert (new.mean(dim=0) - old.mean(dim=0)).abs().max() < 0.25 * scale * spread

        torch.testing.assert_close(new.T.cov(), old.T.cov() * scale**2, rtol=0, atol=0.25 * (scale * spread) ** 2)


def test_covariance_is_the_old_rows_and_not_a_diagonal() -> None:
    generator = torch.Generator().manual_seed(0)

    # Both columns are the same number, around (3, -2).
    old = torch.randn((20_000, 1), generator=generator).repeat(1, 2) + torch.tensor([3.0, -2.0])

    new = torch.empty(10_000, 2)

    draw_new_rows(new, old, "old_rows", STD, 1.0, generator, precision=torch.float32)

    torch.testing.assert_close(new.mean(dim=0), torch.tensor([3.0, -2.0]), rtol=0, atol=0.05)
    torch.testing.assert_close(new.T.cov(), torch.ones(2, 2), rtol=0, atol=0.05)


@pytest.mark.parametrize("num_rows", [0, 3, 5, 4681, 10_001, 30_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_drawn_in_blocks_are_those_of_a_single_draw(num_rows: int, dtype: torch.dtype) -> None:
    rows = torch.empty((num_rows, 7), dtype=dtype)

    for precision in (torch.float32, torch.bfloat16):
        one, two = (torch.Generator().manual_seed(5) for _ in range(2))

        draw_new_rows(rows, rows[:0], "normal", STD, 1.0, one, precision=precision)

        assert torch.equal(rows, (torch.randn((num_rows, 7), generator=two) * STD).to(precision).to(dtype))

        # Nor do they differ in what they take.
        assert torch.equal(torch.randn(20, generator=one), torch.randn(20, generator=two))


@pytest.mark.parametrize("init", ["normal", "old_rows"])
def test_seed_decides(llm: Path, init: str) -> None:
    model, again, other = (grow(llm, new_rows_init=init, new_rows_seed=seed) for seed in (1, 1, 2))

    for one, same, different in zip(new_rows(model), new_rows(again), new_rows(other), strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, different)

    # Tables are drawn apart.
    embed, head, codebooks = new_rows(model)

    assert not torch.equal(embed[: len(codebooks)], codebooks[: len(embed)])
    assert not torch.equal(embed[:256], head[:256])

    for one, two in zip(tables(model)[:2], tables(other)[:2], strict=True):
        assert torch.equal(one[:NUM_TEXT], two[:NUM_TEXT])


class TestPadding:
    @pytest.mark.parametrize(("num_rows", "multiple", "expected"), [(64, 32, 64), (65, 32, 96), (7, 1, 7)])
    def test_rows_are_rounded_up(self, num_rows: int, multiple: int, expected: int) -> None:
        assert padded_rows(num_rows, multiple) == expected

    def test_text_and_new_rows_are_the_same_without(self, llm: Path) -> None:
        padded, plain = grow(llm, rows_multiple_of=64), grow(llm)

        for one, two in zip(tables(padded), tables(plain), strict=True):
            assert one.size(0) % 64 == 0 and two.size(0) < one.size(0) < two.size(0) + 64

            assert torch.equal(one[: two.size(0)], two)

            assert not one[two.size(0) :].any()

    def test_padding_is_never_predicted_and_never_learns(self) -> None:
        config, padded_config = tiny_config([16, 24, 8]), tiny_config([16, 24, 8])

        padded_config.rows_multiple_of = 100

        model, padded = tiny_model(config), tiny_model(padded_config)

        for one, two in zip(tables(padded), tables(model), strict=True):
            assert one.size(0) > two.size(0)

            with torch.no_grad():
                one.fill_(1e4)[: two.size(0)] = two

        padded.decoder.load_state_dict(model.decoder.state_dict())

        generator = torch.Generator().manual_seed(0)

        vocabulary = model.vocabulary

        begins = torch.tensor(vocabulary.codebook_offsets())

        ids = begins + torch.randint(0, 8, (2, 9, 3), generator=generator)

        ids[0, :4] = vocabulary.pad

        ids[0, :4, 0] = torch.tensor([1, 2, 3, vocabulary.special("</text>")])

        loss_mask = ids != vocabulary.pad

        output, padded_output = (m(ids, loss_mask=loss_mask) for m in (model, padded))

        assert output.loss is not None and padded_output.loss is not None

        assert torch.equal(output.loss.total, padded_output.loss.total)

        shapes = [tuple(logits.shape) for logits in padded.heads.logits(padded_output.hidden[0])]

        assert shapes == [(9, vocabulary.stream0_size), (9, 24), (9, 8)]

        padded_output.loss.total.backward()

        for one, two in zip(tables(padded), tables(model), strict=True):
            assert one.grad is not None

            assert one.grad[: two.size(0)].any() and not one.grad[two.size(0) :].any()


class TestConfig:
    @pytest.mark.parametrize(
        ("field", "value"),
        [("new_rows_init", "zeros"), ("new_rows_std", 0.0), ("new_rows_scale", -1.0), ("rows_multiple_of", 0)],
    )
    def test_values_that_make_no_sense_are_refused(self, field: str, value: object) -> None:
        config = tiny_config()

        assert not config.validate().has_error()

        setattr(config, field, value)

        result = config.validate()

        assert result.has_error() and f"`{field}`" in str(result)

    def test_unknown_backbone_is_refused(self) -> None:
        config = tiny_config()

        config.decoder.family = "rnn"

        assert "`decoder.family` must be qwen or llama, but is 'rnn'" in str(config.validate())
