"""fairseq2's own families and its trainer work beside us: a Qwen model trains, is saved and is loaded again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from fairseq2.assets import get_asset_store
from fairseq2.data.data_pipeline import read_sequence
from fairseq2.datasets import DataPipelineReader
from fairseq2.metrics import Mean, MetricBag
from fairseq2.models.qwen import get_qwen_model_hub
from fairseq2.nn import BatchLayout
from fairseq2.recipe import run
from fairseq2.recipe.base import Recipe, RecipeContext
from fairseq2.recipe.config import (
    ADAMW_OPTIMIZER,
    PASSTHROUGH_LR,
    AdamWConfig,
    CommonSection,
    GangSection,
    LRSchedulerSection,
    ModelSection,
    OptimizerSection,
    RegimeSection,
    TrainerSection,
)
from fairseq2.task import Task
from fairseq2.trainer import TrainUnit
from torch import Tensor
from torch.nn import Module
from typing_extensions import override

TINY = {
    "model_dim": 16,
    "num_layers": 2,
    "num_attn_heads": 2,
    "num_key_value_heads": 2,
    "ffn_inner_dim": 32,
    "vocab_size": 40,
    "max_seq_len": 16,
}


@dataclass(kw_only=True)
class StockConfig:
    model: ModelSection = field(
        default_factory=lambda: ModelSection(family="qwen", arch="qwen25_7b", config_overrides=dict(TINY))
    )

    gang: GangSection = field(default_factory=GangSection)

    trainer: TrainerSection = field(default_factory=TrainerSection)

    optimizer: OptimizerSection = field(
        default_factory=lambda: OptimizerSection(name=ADAMW_OPTIMIZER, config=AdamWConfig(lr=1e-2))
    )

    lr_scheduler: LRSchedulerSection = field(
        default_factory=lambda: LRSchedulerSection(name=PASSTHROUGH_LR, config=None)
    )

    regime: RegimeSection = field(
        default_factory=lambda: RegimeSection(
            num_steps=20, checkpoint_every_n_steps=20, publish_metrics_every_n_steps=5
        )
    )

    common: CommonSection = field(default_factory=lambda: CommonSection(no_sweep_dir=True))


class StockUnit(TrainUnit[Tensor]):
    def __init__(self, model: Module) -> None:
        self._model = model

    @override
    def prepare_metric_bag(self, metric_bag: MetricBag) -> None:
        metric_bag.add("loss", Mean())

    @override
    def process_batch(self, batch: Tensor, metric_bag: MetricBag) -> tuple[Tensor, int | None]:
        seqs, targets = batch[:, :-1], batch[:, 1:]

        loss = self._model(seqs, BatchLayout.of(seqs), targets=targets, reduction="mean")

        metric_bag.get("loss", Mean).update(loss.detach())

        return loss, None


class StockRecipe(Recipe):
    @override
    def create_task(self, context: RecipeContext) -> Task:
        # Counting: what comes next is always the same.
        batch = torch.arange(10).repeat(4, 1)

        pipeline = read_sequence([batch]).repeat().and_return()

        reader = DataPipelineReader[Tensor](pipeline, context.gangs)

        return context.create_trainer(StockUnit(context.get_data_parallel_model()), reader)

    @property
    @override
    def config_kls(self) -> type[object]:
        return StockConfig


def test_a_stock_model_trains_and_loads_beside_us(tmp_path: Path) -> None:
    run(StockRecipe(), StockConfig(), tmp_path)

    lines = tmp_path.joinpath("metrics/train.jsonl").read_text().splitlines()

    losses = [json.loads(line)["Loss"] for line in lines]

    assert len(losses) == 4
    assert losses[-1] < 0.5 * losses[0]

    hub = get_qwen_model_hub()

    config = hub.get_arch_config("qwen25_7b")

    for name, value in TINY.items():
        setattr(config, name, value)

    checkpoint = tmp_path / "checkpoints/step_20/model"

    model = hub.load_custom_model(checkpoint, config, device=torch.device("cpu"), dtype=torch.float32)

    seqs = torch.arange(9).unsqueeze(0)

    logits = model(seqs, BatchLayout.of(seqs))

    assert torch.equal(logits.argmax(dim=-1)[:, 4:], seqs[:, 4:] + 1)


def test_stock_cards_and_archs_are_still_there() -> None:
    card = get_asset_store().retrieve_card("qwen25_7b")

    assert card.field("model_family").as_(str) == "qwen"

    assert get_qwen_model_hub().get_model_config(card).num_layers == 28
