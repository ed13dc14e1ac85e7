"""Runs that train a part of their model: resumed, started from, and published like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from codec_s2st.exchange.publish import publish_model
from codec_s2st.model_cards import find_model_card
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from tests.checkpoints import read_kind
from tests.toy_runs import Toy, assert_equal_weights, last_step, read_losses, read_metrics, read_weights

LORA = ("lora.rank=4", "lora.dropout_p=0.1", "trainable.text_rows=frozen", "regime.num_steps=20")

TABLES = ("decoder_frontend.embed.weight", "heads.stream0_weight")

NUM_TEXT = 800


def read_states(run: Path, kind: str) -> dict[str, Any]:
    """Returns what a checkpoint of one process holds."""
    return read_kind(run / "checkpoints" / f"step_{last_step(run)}", kind)


def count_optimizer_state(run: Path) -> int:
    states = read_states(run, "optimizer")["state"]

    assert isinstance(states, dict)

    return sum(value.numel() for state in states.values() for value in state.values() if value.dim() > 0)


@pytest.fixture(scope="module")
def lora_run(toy: Toy, cpt_run: Path) -> Path:
    run = toy.folder / "lora"

    assert toy.cpt(run, f"init={cpt_run}", *LORA) == 0

    return run


def test_learns(lora_run: Path, cpt_run: Path) -> None:
    losses = read_losses(lora_run)

    # It goes on where the whole model has come to.
    assert losses[0] < 1.5 * read_losses(cpt_run)[-1] and losses[-1] < losses[0]


def test_moves_the_backbone_by_its_updates_and_keeps_the_text(lora_run: Path, cpt_run: Path) -> None:
    before, after, trained = read_weights(cpt_run), read_weights(lora_run), read_states(lora_run, "model")

    assert before.keys() == after.keys()

    for name, weight in before.items():
        raw = trained[name]

        assert isinstance(raw, Tensor)

        if name.startswith("decoder."):
            # What a checkpoint holds of the backbone is what it was.
            assert torch.equal(raw, weight)

            assert torch.equal(after[name], weight) == ("_proj.weight" not in name)

        if name in TABLES:
            assert torch.equal(after[name][:NUM_TEXT], weight[:NUM_TEXT])

            assert not torch.equal(after[name][NUM_TEXT:], weight[NUM_TEXT:])

    down = trained["decoder.layers.0.ffn.output_proj.lora.weight_a"]
    up = trained["decoder.layers.0.ffn.output_proj.lora.weight_b"]

    assert isinstance(down, Tensor) and isinstance(up, Tensor) and down.shape == (4, 64) and up.shape == (32, 4)

    name = "decoder.layers.0.ffn.output_proj.weight"

    torch.testing.assert_close(after[name], before[name] + 32 / 4 * up @ down, rtol=0, atol=1e-6)


def test_optimizer_keeps_state_of_what_is_trained(lora_run: Path, cpt_run: Path) -> None:
    assert count_optimizer_state(cpt_run) == 2 * sum(value.numel() for value in read_weights(cpt_run).values())

    states = read_states(lora_run, "model")

    trained = [
        value.numel()
        for name, value in states.items()
        if isinstance(value, Tensor) and (".lora." in name or name in (*TABLES, "heads.codebook_weight"))
    ]

    assert count_optimizer_state(lora_run) == 2 * sum(trained)


def test_resumed_run_goes_on_as_if_nothing_had_happened(
    toy: Toy, lora_run: Path, cpt_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    assert toy.cpt(run, f"init={cpt_run}", *LORA, "regime.num_steps=10") == 0

    assert toy.cpt(run, f"init={cpt_run}", *LORA) == 0

    assert read_metrics(run) == read_metrics(lora_run)

    for kind in ("model", "optimizer"):
        one, two = read_states(run, kind), read_states(lora_run, kind)

        if kind == "optimizer":
            one, two = ({str(i): s for i, s in enumerate(flat(state["state"]))} for state in (one, two))

        assert_equal_weights(one, two)  # type: ignore[arg-type]

    assert_equal_weights(read_weights(run), read_weights(lora_run))


def flat(states: object) -> list[Tensor]:
    assert isinstance(states, dict)

    return [value for state in states.values() for value in state.values()]


def test_resumed_run_must_have_the_same_updates(
    toy: Toy, lora_run: Path, cpt_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for overrides, message in [
        ((*LORA, "lora.rank=8"), "`lora.rank` is 4 in the checkpoint, 8 now"),
        ((*LORA, "lora.alpha=8"), "`lora.alpha` is 32.0 in the checkpoint, 8.0 now"),
        ((*LORA, "trainable.freeze=[heads]"), '`trainable.freeze` is [] in the checkpoint, ["heads"] now'),
        (("regime.num_steps=20",), '`trainable.text_rows` is "frozen" in the checkpoint, "joint" now'),
    ]:
        capfd.readouterr()

        assert toy.cpt(lora_run, f"init={cpt_run}", *overrides) == 2

        lines = [line for line in capfd.readouterr().err.splitlines() if ": error: " in line]

        assert len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize("options", [(), ("lora.rank=2", "lora.alpha=4")], ids=["whole", "again"])
def test_another_run_starts_from_its_merged_weights(
    toy: Toy, lora_run: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    run = tmp_path / "run"

    stay = ("optimizer.config.lr=0", "regime.num_steps=2", "regime.validate_every_n_steps=2")

    assert toy.s2st(run, f"init={lora_run}", *stay, *options, "regime.checkpoint_every_n_steps=2") == 0

    assert_equal_weights(read_weights(run), read_weights(lora_run))


def test_published_model_is_an_ordinary_one(toy: Toy, lora_run: Path, tmp_path: Path) -> None:
    card = publish_model(lora_run, tmp_path, "merged", tasks=["s2st"], languages=["spa-eng"], notes={"license": "MIT"})

    model = get_codec_lm_hub().load_model(find_model_card(str(card)))

    assert_equal_weights(dict(model.state_dict()), read_weights(lora_run))


def test_text_rows_learn_at_their_own_rate(toy: Toy, cpt_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    overrides = (
        "trainable.text_rows=separate",
        "optimizer.config.groups=[{params: '.*text_weight', lr: 1e-5}]",
        # One step of Adam is as long as the rate.
        *("regime.num_steps=2", "regime.validate_every_n_steps=2", "regime.checkpoint_every_n_steps=2"),
    )

    assert toy.cpt(run, f"init={cpt_run}", *overrides) == 0

    before, after = read_weights(cpt_run), read_weights(run)

    for name in TABLES:
        change = (after[name] - before[name]).abs()

        # Two steps, and weight decay.
        assert 5e-6 < float(change[:NUM_TEXT].max()) < 2.5e-5 < 5e-3 < float(change[NUM_TEXT:].max())
