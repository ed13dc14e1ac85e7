"""The configuration of the recipe ``codec``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fairseq2.recipe.config import (
    ADAMW_OPTIMIZER,
    COSINE_ANNEALING_LR,
    AdamWConfig,
    CommonSection,
    CosineAnnealingLRConfig,
    GangSection,
    LRSchedulerSection,
    MixedPrecisionConfig,
    ModelSection,
    OptimizerSection,
    RegimeSection,
    TrainerSection,
)
from fairseq2.utils.validation import Validatable, ValidationResult
from typing_extensions import override

from codec_s2st.codecs.melcodec.config import MELCODEC_FAMILY
from codec_s2st.recipes.common.sections import CheckpointsSection, GuardsSection


@dataclass(kw_only=True)
class CodecDataSection(Validatable):
    """Where the speech comes from, and how it is cut."""

    manifest: Path | None = None
    """A manifest whose source and target audio is read; ``None`` synthesises speech of the demo world."""

    world: str = "demo"
    """The demo world, by name, whose sentences are said."""

    num_train_sentences: int = 1500
    """Sentence pairs of the demo world to synthesise for training."""

    num_valid_sentences: int = 20
    """Sentence pairs of the demo world, or files of the manifest, in each validation split."""

    crop_frames: int = 25
    """Codec frames of one training crop."""

    batch_size: int = 16
    """Crops of one batch of one rank."""

    silence_seconds: float = 0.3
    """Silence put round every utterance: at inference the codec hears some too."""

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        for name in ("num_train_sentences", "num_valid_sentences", "crop_frames", "batch_size"):
            if getattr(self, name) < 1:
                result.add_error(f"`{name}` must be greater than or equal to 1.")

        if self.silence_seconds < 0.0:
            result.add_error("`silence_seconds` must be greater than or equal to 0.")

        return result


@dataclass(kw_only=True)
class CodecLossSection:
    """The terms of the loss beside the reconstruction, and when the quantizer joins."""

    commitment_weight: float = 0.25
    """Weight of the distance between latent vectors and their codes."""

    phoneme_weight: float = 0.5
    """Weight of telling the phonemes, where the codec has a phonetic level."""

    num_free_steps: int = 200
    """Steps without quantization; then k-means sets the code books. Code books that are set earlier hold the latent
    vectors of an encoder that knows nothing yet: measured, 0.87 against 0.89 STOI after 200 steps."""

    num_init_batches: int = 8
    """Batches whose latent vectors are clustered."""

    level_dropout_p: float = 0.5
    """Share of the rows that are decoded from the first q levels only, q drawn evenly."""


@dataclass(kw_only=True)
class CodecRecipeConfig:
    """Trains the embedded codec."""

    model: ModelSection = field(default_factory=lambda: ModelSection(family=MELCODEC_FAMILY, arch="demo"))

    data: CodecDataSection = field(default_factory=CodecDataSection)

    loss: CodecLossSection = field(default_factory=CodecLossSection)

    gang: GangSection = field(default_factory=GangSection)

    trainer: TrainerSection = field(
        default_factory=lambda: TrainerSection(
            # The transforms and the running means of the code books want fp32.
            mixed_precision=MixedPrecisionConfig(mode="off"),
            max_grad_norm=1.0,
        )
    )

    optimizer: OptimizerSection = field(
        default_factory=lambda: OptimizerSection(
            name=ADAMW_OPTIMIZER, config=AdamWConfig(lr=2e-3, betas=(0.8, 0.99), weight_decay=0.01)
        )
    )

    lr_scheduler: LRSchedulerSection = field(
        default_factory=lambda: LRSchedulerSection(
            name=COSINE_ANNEALING_LR,
            config=CosineAnnealingLRConfig(num_warmup_steps=50, final_lr=None, final_lr_scale=0.02),
        )
    )

    regime: RegimeSection = field(
        default_factory=lambda: RegimeSection(
            num_steps=3000,
            validate_every_n_steps=250,
            checkpoint_every_n_steps=250,
            keep_last_n_checkpoints=2,
            publish_metrics_every_n_steps=25,
        )
    )

    checkpoints: CheckpointsSection = field(default_factory=CheckpointsSection)

    guards: GuardsSection = field(default_factory=GuardsSection)

    common: CommonSection = field(default_factory=CommonSection)
