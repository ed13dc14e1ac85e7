"""Which implementation of AdamW a training has."""

from __future__ import annotations

from typing import Final

import torch
from fairseq2.logging import log
from fairseq2.recipe.base import RecipeContext
from fairseq2.recipe.config import AdamWConfig, ModelSection, OptimizerSection, TrainerSection

_DEVICES: Final = ("cpu", "cuda")


def prefer_fused_adamw(context: RecipeContext) -> None:
    """Lets ``optimizer.config.impl: auto`` mean the fused implementation, where it can be had.

    torch takes it for nobody who has not asked. It goes over the weights once, and differs from the others in rounding.
    A run that goes on has the implementation that it was begun with, which its checkpoints hold.
    """
    # Of the resolver, as the command line reads the configuration anew at every look.
    section = context.resolver.resolve(OptimizerSection)

    if not isinstance(section.config, AdamWConfig) or section.config.impl != "auto":
        return

    dtype = _dtype_of(context.resolver.resolve(TrainerSection), context.resolver.resolve(ModelSection))

    reason = why_not_fused(section.config, dtype, context.gangs.device.type)

    if reason is None:
        section.config.impl = "fused"
    else:
        log.info("AdamW is not fused: {}.", reason)


def why_not_fused(config: AdamWConfig, dtype: torch.dtype, device_type: str) -> str | None:
    """Returns why AdamW cannot be fused; ``None`` if it can.

    :param dtype: In which the training multiplies.
    """
    if device_type not in _DEVICES:
        return f"torch has it for {' and '.join(_DEVICES)}, and not for {device_type}"

    # It takes the scale of the loss upon itself, which fairseq2 refuses under FSDP.
    if dtype == torch.float16:
        return "float16 scales the loss"

    if config.differentiable:
        return "`optimizer.config.differentiable` is set"

    return None


def _dtype_of(trainer: TrainerSection, model: ModelSection) -> torch.dtype:
    mixed = trainer.mixed_precision

    return model.dtype if mixed.mode == "off" else mixed.dtype
