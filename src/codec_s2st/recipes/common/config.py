"""The configuration that the training recipes cpt and s2st share."""

from __future__ import annotations

from dataclasses import dataclass, field

from fairseq2.recipe.config import (
    AdamWConfig,
    CommonSection,
    CosineAnnealingLRConfig,
    DatasetSection,
    GangSection,
    LRSchedulerSection,
    ModelSection,
    OptimizerSection,
    RegimeSection,
    TokenizerSection,
    TrainerSection,
)

from codec_s2st.data.dataset import SHARDS_FAMILY, DataSection
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY
from codec_s2st.recipes.common.binding import AUTO_TOKENIZER
from codec_s2st.recipes.common.sections import (
    CheckpointsSection,
    GuardsSection,
    MonitoringSection,
    TextRetentionSection,
    ValidationSamplesSection,
)
from codec_s2st.recipes.common.trainable import LoRASection, TrainableSection


@dataclass(kw_only=True)
class SpeechTextTrainConfig:
    """The configuration of a training recipe. fairseq2 fixes the names of the sections."""

    model: ModelSection = field(default_factory=lambda: ModelSection(family=CODEC_LM_FAMILY))

    init: str | None = None
    """The weights to start from: a model card, the folder of a run, or a Hugging Face folder of a textual LLM."""

    codec: str | None = None
    """The codec's card; needed where the shards hold no codes, otherwise checked against them."""

    num_streams: int | None = None
    """If given, the first so many code books of the shards are used."""

    dataset: DatasetSection = field(default_factory=lambda: DatasetSection(family=SHARDS_FAMILY))

    data: DataSection = field(default_factory=lambda: DataSection())

    tokenizer: TokenizerSection = field(default_factory=lambda: TokenizerSection(name=AUTO_TOKENIZER))
    """``name`` is a card's, or a path; ``auto`` is the tokenizer of ``init``, or the demo's for random weights."""

    lora: LoRASection = field(default_factory=lambda: LoRASection())

    trainable: TrainableSection = field(default_factory=lambda: TrainableSection())

    gang: GangSection = field(default_factory=lambda: GangSection())

    trainer: TrainerSection = field(default_factory=lambda: TrainerSection(max_grad_norm=1.0))

    optimizer: OptimizerSection = field(
        default_factory=lambda: OptimizerSection(name="adamw", config=AdamWConfig(lr=1e-5, betas=(0.9, 0.95)))
    )

    lr_scheduler: LRSchedulerSection = field(
        default_factory=lambda: LRSchedulerSection(
            name="cosine_annealing",
            config=CosineAnnealingLRConfig(num_warmup_steps=0, final_lr=None, final_lr_scale=0.1),
        )
    )

    regime: RegimeSection = field(default_factory=lambda: RegimeSection(num_steps=1000))

    checkpoints: CheckpointsSection = field(default_factory=lambda: CheckpointsSection())

    guards: GuardsSection = field(default_factory=lambda: GuardsSection())

    monitoring: MonitoringSection = field(default_factory=lambda: MonitoringSection())

    text_retention: TextRetentionSection = field(default_factory=lambda: TextRetentionSection())

    validation_samples: ValidationSamplesSection = field(default_factory=lambda: ValidationSamplesSection())

    common: CommonSection = field(default_factory=lambda: CommonSection(no_sweep_dir=True))
