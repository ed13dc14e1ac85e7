"""Prepares a model for what a run trains of it: all of it, some parameters, or low-rank updates."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from fairseq2.checkpoint import CheckpointDir
from fairseq2.logging import log
from fairseq2.recipe.base import RecipeContext
from fairseq2.recipe.config import ModelSection, TrainerSection

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.adapted import Adapters
from codec_s2st.models.codec_lm.lora import LORA, add_lora, projections_of
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.models.codec_lm.text_rows import TEXT_ROWS
from codec_s2st.recipes.common.patterns import names_matching
from codec_s2st.recipes.common.trainable import LoRASection, TrainableSection

_BACKBONE: Final = "decoder."


def check_finetuning(
    lora: LoRASection, trainable: TrainableSection, model: ModelSection, trainer: TrainerSection, tp_size: int
) -> None:
    """
    :raises UserInputError: tensor parallelism would have to split an update or a part of a table; or frozen weights are
        in half precision, but what is computed with them is not.
    """
    if tp_size > 1:
        keys = ["lora.rank"] * (lora.rank is not None) + ["trainable.text_rows"] * (trainable.text_rows != "joint")

        if keys:
            raise UserInputError(
                f"`{keys[0]}` is set, but `gang.tensor_parallel_size` is {tp_size}: tensor parallelism splits neither"
                " updates nor parts of tables",
                hint="set gang.tensor_parallel_size=1; trainer.data_parallelism=fsdp splits all weights",
            )

    is_partial = lora.rank is not None or trainable.text_rows == "frozen" or trainable.freeze

    in_half = model.dtype in (torch.bfloat16, torch.float16)

    if is_partial and in_half and trainer.mixed_precision.mode == "off":
        raise UserInputError(
            "`model.dtype` is half precision and parts of the model are frozen, but `trainer.mixed_precision.mode` is"
            " off",
            hint="set trainer.mixed_precision.mode=auto: what is trained stays in float32",
        )


def setup_finetuning(model: CodecLM, lora: LoRASection, trainable: TrainableSection) -> Adapters:
    """Freezes what is not to be trained and adds the updates.

    Where a part of a model in half precision is frozen, the rest and all vectors are brought to float32: only frozen
    matrices, which are never written to, stay as they are.

    :returns: What a checkpoint of the model now holds beyond an ordinary one's.

    :raises UserInputError: a pattern matches nothing, or nothing is left to train.
    """
    targets: list[str] = []

    if lora.rank is not None:
        known = projections_of(model.decoder)

        targets = names_matching("lora.targets", lora.targets, [_BACKBONE + name for name in known], "projections")

        add_lora(
            [known[name.removeprefix(_BACKBONE)] for name in targets],
            lora.rank,
            alpha=lora.alpha,
            dropout_p=lora.dropout_p,
        )

    cuts_text_rows = trainable.text_rows != "joint"

    if cuts_text_rows:
        model.decoder_frontend.embed.cut_text_rows(model.vocabulary.text_size)

        model.heads.cut_text_rows()

    parameters = dict(model.named_parameters())

    frozen = set(names_matching("trainable.freeze", trainable.freeze, parameters, "parameters"))

    if lora.rank is not None:
        frozen |= {name for name in parameters if name.startswith(_BACKBONE) and f".{LORA}." not in name}

    if trainable.text_rows == "frozen":
        frozen |= {name for name in parameters if name.rpartition(".")[2] == TEXT_ROWS}

    if frozen == parameters.keys():
        raise UserInputError("nothing is left to train", hint="freeze less: `trainable.freeze`, `trainable.text_rows`")

    for name in frozen:
        parameters[name].requires_grad_(False)

    if frozen:
        for parameter in parameters.values():
            if parameter.requires_grad or parameter.dim() < 2:
                parameter.data = parameter.data.float()

        sizes = {name: parameter.numel() for name, parameter in parameters.items()}

        num_trained = sum(sizes[name] for name in parameters.keys() - frozen)

        log.info("{:,} of {:,} parameters are trained.", num_trained, sum(sizes.values()))

    return Adapters(
        lora_rank=lora.rank,
        lora_alpha=None if lora.rank is None else lora.alpha,
        lora_targets=tuple(targets),
        cuts_text_rows=cuts_text_rows,
    )


def record_adapters(adapters: Adapters, context: RecipeContext) -> None:
    """Says beside the checkpoints of the run what they hold."""
    checkpoints: Path = context.resolver.resolve(CheckpointDir).path or context.output_dir / "checkpoints"

    root = context.gangs.root

    root.barrier()

    if root.rank == 0:
        adapters.write(checkpoints)

    root.barrier()
