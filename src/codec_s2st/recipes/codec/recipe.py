"""Trains the embedded codec."""

from __future__ import annotations

from typing import final

import torch
from fairseq2.recipe.base import Recipe, RecipeContext
from fairseq2.runtime.dependency import DependencyContainer
from fairseq2.task import Task
from torch import Tensor
from typing_extensions import override

from codec_s2st.codecs.melcodec.loss import SpectralLoss
from codec_s2st.codecs.melcodec.model import MelCodec
from codec_s2st.errors import UserInputError
from codec_s2st.recipes.codec.config import CodecDataSection, CodecRecipeConfig
from codec_s2st.recipes.codec.data import ClipReader, CropReader, PhonemeGrid
from codec_s2st.recipes.codec.metrics import register_codec_metrics
from codec_s2st.recipes.codec.speech import SpeechSplits, demo_speech, manifest_speech
from codec_s2st.recipes.codec.unit import CodecTrainUnit, CodecValidUnit
from codec_s2st.recipes.common.guards import BatchNote
from codec_s2st.recipes.common.survival import create_surviving_task, open_run, register_survival


@final
class CodecRecipe(Recipe):
    @override
    def register(self, container: DependencyContainer) -> None:
        register_codec_metrics(container)

        register_survival(container)

    @override
    def create_task(self, context: RecipeContext) -> Task:
        config = context.get_config_as(CodecRecipeConfig)

        open_run(context, config, config.checkpoints, {})

        codec = context.get_model_as(MelCodec)

        spec = codec.spec

        gangs = context.gangs

        # One rank synthesises, the others then find the cache.
        if gangs.root.rank == 0:
            speech = _load_speech(config.data, sample_rate=spec.sample_rate, seed=config.common.seed)

            gangs.root.barrier()
        else:
            gangs.root.barrier()

            speech = _load_speech(config.data, sample_rate=spec.sample_rate, seed=config.common.seed)

        criterion = SpectralLoss(sample_rate=spec.sample_rate).to(gangs.device)

        grid = None

        if codec.config.phonetic_codebook_size:
            if config.data.manifest is not None:
                raise UserInputError(
                    "the codec has a phonetic level, but no manifest says which phonemes are heard",
                    hint="train it on the demo world, or set model.config_overrides.phonetic_codebook_size to 0",
                )

            grid = PhonemeGrid(hop_length=spec.hop_length, per_frame=codec.config.phonemes_per_frame)

        reader = CropReader(
            speech.train,
            batch_size=config.data.batch_size,
            crop_size=config.data.crop_frames * spec.hop_length,
            silence_size=int(config.data.silence_seconds * spec.sample_rate),
            seed=config.common.seed,
            rank=gangs.dp.rank,
            grid=grid,
        )

        def init_wave() -> Tensor:
            return torch.cat([reader.batch(idx).wave for idx in range(config.loss.num_init_batches)])

        unit = CodecTrainUnit(context.get_data_parallel_model(), codec, criterion, config.loss, init_wave)

        valid_units = [CodecValidUnit(name, codec, criterion) for name in speech.valid]

        valid_readers = [ClipReader(clips, hop_length=spec.hop_length, grid=grid) for clips in speech.valid.values()]

        return create_surviving_task(
            context,
            unit,
            reader,
            valid_units,
            valid_readers,
            guards=config.guards,
            describe=lambda batch: BatchNote(tuple(batch.wave.shape)),
        )

    @override
    def has_static_autograd_graph(self, context: RecipeContext) -> bool:
        # The quantizer joins in the middle of the training.
        return False

    @property
    @override
    def config_kls(self) -> type[object]:
        return CodecRecipeConfig


def _load_speech(section: CodecDataSection, *, sample_rate: int, seed: int) -> SpeechSplits:
    if section.manifest is not None:
        return manifest_speech(section.manifest, section.num_valid_sentences, sample_rate=sample_rate)

    return demo_speech(section.num_train_sentences, section.num_valid_sentences, world=section.world, seed=seed)
