"""What is frozen stays as it is to the last bit; what has a learning rate of its own moves by it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from fairseq2.recipe.config import AdamWGroupConfig, ModelSection, TrainerSection
from fairseq2.recipe.optim import prepare_parameter_groups
from ruamel.yaml import YAML
from torch import Tensor
from torch.optim import AdamW, Optimizer

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.adapted import Adapters
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.entry import run_recipe
from codec_s2st.recipes.common.finetuning import check_finetuning, setup_finetuning
from codec_s2st.recipes.common.patterns import check_groups, names_matching
from codec_s2st.recipes.common.trainable import LoRASection, TrainableSection
from codec_s2st.recipes.cpt.recipe import CptRecipe
from tests.small_batches import loss_of, make_batch, make_model

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "your-llm.md"

NUM_TEXT = 64

# With a smaller epsilon, Adam blows up the rounding errors in gradients that are zero but for them.
LR, TEXT_LR, BETAS, EPS, DECAY = 0.01, 0.001, (0.9, 0.95), 1e-3, 0.1

EMBED, HEAD = "decoder_frontend.embed", "heads"


def train(model: CodecLM, optimizer: Optimizer, num_steps: int = 5) -> None:
    batch = make_batch(model)

    for _ in range(num_steps):
        optimizer.zero_grad()

        loss_of(model, batch).backward()

        optimizer.step()


def adamw(model: CodecLM, groups: list[AdamWGroupConfig] | None = None) -> AdamW:
    # As fairseq2 does.
    return AdamW(prepare_parameter_groups(model, groups or []), lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY)


def copies(model: CodecLM) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def state_size(optimizer: Optimizer) -> int:
    """Returns the number of elements of the optimizer's state, but for the count of steps."""
    return sum(value.numel() for state in optimizer.state.values() for value in state.values() if value.dim() > 0)


class TestFrozen:
    @pytest.mark.parametrize(
        ("lora", "trainable", "pattern"),
        [
            (LoRASection(rank=2), TrainableSection(text_rows="frozen"), r"lora|embed\.weight|stream0|codebook"),
            (LoRASection(rank=2), TrainableSection(freeze=["embed", "^heads"]), r"lora"),
            (
                LoRASection(rank=2, targets=[r"1\..*q_proj"]),
                TrainableSection(),
                r"1\.self_attn\.q_proj\.lora|embed|heads",
            ),
            (LoRASection(), TrainableSection(text_rows="frozen"), r"embed\.weight|stream0|codebook|^decoder\."),
            (LoRASection(), TrainableSection(freeze=["norm", r"embed\.weight$"]), r"proj|heads"),
        ],
    )
    def test_moves_what_is_trained_and_nothing_else(
        self, lora: LoRASection, trainable: TrainableSection, pattern: str
    ) -> None:
        model = make_model()

        setup_finetuning(model, lora, trainable)

        before = copies(model)

        optimizer = adamw(model)

        train(model, optimizer)

        trained = {name for name in before if re.search(pattern, name)}

        assert trained and trained != before.keys()

        assert {name for name, value in copies(model).items() if not torch.equal(value, before[name])} == trained

        # Two moments of what is trained, nothing of the rest.
        assert state_size(optimizer) == 2 * sum(before[name].numel() for name in trained)

    def test_text_rows_alone_are_frozen_of_a_table(self) -> None:
        model, whole = make_model(), copies(make_model())

        adapters = setup_finetuning(model, LoRASection(), TrainableSection(text_rows="frozen"))

        train(model, adamw(model))

        after = adapters.merge(copies(model))

        for name in (f"{EMBED}.weight", "heads.stream0_weight"):
            assert torch.equal(after[name][:NUM_TEXT], whole[name][:NUM_TEXT])

            assert not torch.equal(after[name][NUM_TEXT:], whole[name][NUM_TEXT:])

    def test_everything_is_trained_by_default(self) -> None:
        model = make_model()

        assert setup_finetuning(model, LoRASection(), TrainableSection()) == Adapters()

        assert copies(model).keys() == copies(make_model()).keys()

        assert all(parameter.requires_grad for parameter in model.parameters())


class TestLearningRates:
    def test_rows_of_a_table_learn_at_their_own_rate(self) -> None:
        """Against AdamW written out, row by row, over the gradients of whole tables."""
        reference = make_model()

        batch = make_batch(reference)

        first = {name: torch.zeros_like(value) for name, value in reference.named_parameters()}
        second = {name: torch.zeros_like(value) for name, value in reference.named_parameters()}

        for step in range(1, 6):
            reference.zero_grad()

            loss_of(reference, batch).backward()

            with torch.no_grad():
                for name, parameter in reference.named_parameters():
                    assert parameter.grad is not None

                    for row in range(parameter.size(0)):
                        is_text = name in (f"{EMBED}.weight", "heads.stream0_weight") and row < NUM_TEXT

                        lr, grad = TEXT_LR if is_text else LR, parameter.grad[row]

                        m, v = first[name], second[name]

                        m[row] = BETAS[0] * m[row] + (1 - BETAS[0]) * grad
                        v[row] = BETAS[1] * v[row] + (1 - BETAS[1]) * grad**2

                        scale = (v[row] / (1 - BETAS[1] ** step)).sqrt() + EPS

                        parameter[row] *= 1 - lr * DECAY
                        parameter[row] -= lr * (m[row] / (1 - BETAS[0] ** step)) / scale

        model = make_model()

        adapters = setup_finetuning(model, LoRASection(), TrainableSection(text_rows="separate"))

        groups = [AdamWGroupConfig(params=r".*text_weight", lr=TEXT_LR)]

        check_groups(groups, model)

        train(model, adamw(model, groups))

        merged = adapters.merge(copies(model))

        start = copies(make_model())

        for name, expected in copies(reference).items():
            # Adam divides by a gradient's size: of one that is near zero, the last bits count.
            torch.testing.assert_close(merged[name], expected, rtol=0, atol=5e-6)

            assert (expected - start[name]).abs().max() > 1e-3 or "k_proj.bias" in name

    def test_pattern_has_its_rate(self) -> None:
        model = make_model()

        start = copies(model)

        groups = [
            AdamWGroupConfig(params=[r".*layer_norm.*", r".*codebook_weight"], lr=0.0),
            AdamWGroupConfig(params=r"decoder\.layers\.1\.", lr=LR / 10),
        ]

        check_groups(groups, model)

        train(model, adamw(model, groups), num_steps=1)

        for name, value in copies(model).items():
            # The first step of Adam is as long as the rate, and decay is in proportion to the weight.
            step = float((value - start[name] * (1 - DECAY * LR)).abs().max())

            if "layer_norm" in name or "codebook" in name:
                assert torch.equal(value, start[name])
            elif "layers.1." in name:
                assert step < 0.3 * LR
            else:
                assert step == pytest.approx(LR, rel=0.05)


class TestHalfPrecision:
    def test_only_frozen_matrices_stay_in_half_precision(self) -> None:
        model = make_model().bfloat16()

        setup_finetuning(model, LoRASection(rank=2), TrainableSection(text_rows="frozen"))

        halves = {name for name, value in model.named_parameters() if value.dtype == torch.bfloat16}

        assert halves == {
            name for name, value in model.named_parameters() if not value.requires_grad and value.dim() == 2
        }

        assert f"{EMBED}.text_weight" in halves and "decoder.layers.0.ffn.gate_proj.weight" in halves

        with torch.autocast("cpu", torch.bfloat16):
            before = float(loss_of(model, make_batch(model)))

            train(model, adamw(model))

            assert float(loss_of(model, make_batch(model))) < before

    def test_wholly_trained_model_is_left_as_it_is(self) -> None:
        model = make_model().bfloat16()

        setup_finetuning(model, LoRASection(), TrainableSection(text_rows="separate"))

        assert {value.dtype for value in model.parameters()} == {torch.bfloat16}

    def test_needs_mixed_precision(self) -> None:
        model = ModelSection(dtype=torch.bfloat16)

        trainer = TrainerSection()

        trainer.mixed_precision.mode = "off"

        with pytest.raises(UserInputError, match=r"`trainer.mixed_precision.mode` is off"):
            check_finetuning(LoRASection(rank=2), TrainableSection(), model, trainer, 1)

        check_finetuning(LoRASection(), TrainableSection(), model, trainer, 1)


class TestRefusals:
    @pytest.mark.parametrize(
        ("lora", "trainable", "message"),
        [
            (LoRASection(rank=2, targets=["q_porj"]), TrainableSection(), r"decoder\.layers\.0\.self_attn\.q_proj"),
            (LoRASection(), TrainableSection(freeze=["embd"]), r"nearest are decoder_frontend\.embed\.weight"),
            (LoRASection(), TrainableSection(freeze=[""]), r"nothing is left to train"),
        ],
    )
    def test_pattern(self, lora: LoRASection, trainable: TrainableSection, message: str) -> None:
        with pytest.raises(UserInputError, match=message):
            setup_finetuning(make_model(), lora, trainable)

    def test_one_pattern_of_several(self) -> None:
        with pytest.raises(UserInputError, match=r"'c' matches none of the letters; nearest are "):
            names_matching("letters", ["a", "c"], ["a", "b"], "letters")

    @pytest.mark.parametrize("pattern", ["layer_norm", r"^heads\.codebok", "("])
    def test_group(self, pattern: str) -> None:
        # fairseq2 looks at the begin of a name alone.
        with pytest.raises(UserInputError, match=r"`optimizer.config.groups`"):
            check_groups([AdamWGroupConfig(params=pattern)], make_model())

    @pytest.mark.parametrize(
        ("section", "message"),
        [
            (LoRASection(rank=0), "`lora.rank` must be at least 1"),
            (LoRASection(rank=-4), "is -4"),
            (LoRASection(rank=2, alpha=0), "`lora.alpha` must be positive"),
            (LoRASection(rank=2, alpha=math.nan), "`lora.alpha` must be positive and finite"),
            (LoRASection(rank=2, alpha=math.inf), "`lora.alpha` must be positive and finite"),
            (LoRASection(rank=2, dropout_p=1), "`lora.dropout_p` must be"),
            (LoRASection(rank=2, targets=[]), "`lora.targets` must not be empty"),
            (LoRASection(rank=2, targets=["("]), "no regular expression"),
            (TrainableSection(freeze=["*"]), "no regular expression"),
        ],
    )
    def test_section(self, section: LoRASection | TrainableSection, message: str) -> None:
        assert message in str(section.validate())

    def test_sections_are_valid_by_default(self) -> None:
        assert not LoRASection().validate().has_error() and not TrainableSection().validate().has_error()

    @pytest.mark.parametrize(
        ("lora", "trainable", "key"),
        [
            (LoRASection(rank=2), TrainableSection(), "lora.rank"),
            (LoRASection(), TrainableSection(text_rows="separate"), "trainable.text_rows"),
        ],
    )
    def test_tensor_parallelism(self, lora: LoRASection, trainable: TrainableSection, key: str) -> None:
        with pytest.raises(UserInputError, match=f"`{key}` is set, but `gang.tensor_parallel_size` is 2"):
            check_finetuning(lora, trainable, ModelSection(), TrainerSection(), 2)

        check_finetuning(lora, trainable, ModelSection(), TrainerSection(), 1)

    @pytest.mark.parametrize("text", ["", "[]", '{"lora_rank": 2}', "{}"])
    def test_record_that_cannot_be_read(self, tmp_path: Path, text: str) -> None:
        tmp_path.joinpath("adapters.json").write_text(text)

        with pytest.raises(UserInputError, match=r"adapters\.json cannot be read"):
            Adapters.read(tmp_path)


def test_configuration_of_the_guide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [block] = re.findall(r"^# file: my_lora\.yaml\n.*?(?=^```$)", GUIDE.read_text(), flags=re.DOTALL | re.MULTILINE)

    file = tmp_path / "my_lora.yaml"

    file.write_text(block)

    run_recipe(CptRecipe(), ["--dump-config", "--config-file", str(file)])

    merged = YAML(typ="safe").load(capsys.readouterr().out)

    assert merged["lora"] == {"rank": 16, "alpha": 32.0, "dropout_p": 0.05, "targets": ["_proj$"]}

    assert merged["trainable"] == {"freeze": [], "text_rows": "frozen"}
