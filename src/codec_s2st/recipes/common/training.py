"""The part that the training recipes cpt and s2st share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from fairseq2.recipe.base import Recipe, RecipeContext
from fairseq2.runtime.dependency import DependencyContainer
from fairseq2.task import Task
from torch.nn import Module
from typing_extensions import override

from codec_s2st.data.templates import LossPolicy, find_template
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.config import SpeechTextTrainConfig
from codec_s2st.recipes.common.finetuning import check_finetuning, record_adapters, setup_finetuning
from codec_s2st.recipes.common.fused import prefer_fused_adamw
from codec_s2st.recipes.common.guards import BatchNote
from codec_s2st.recipes.common.monitoring.wiring import monitor_training, register_monitoring
from codec_s2st.recipes.common.parallelism import check_parallelism, clip_across_tensor_parallel
from codec_s2st.recipes.common.patterns import check_groups
from codec_s2st.recipes.common.survival import create_surviving_task, open_run, register_survival
from codec_s2st.recipes.common.training_data import open_training_data
from codec_s2st.recipes.common.unit import CodecLMEvalUnit, CodecLMTrainUnit, LossMetrics, register_metric_descriptors
from codec_s2st.tokens.sequence import Modality


class SpeechTextTrainRecipe(Recipe):
    """Trains a codec_lm model on a mixture of tasks."""

    def __init__(self, config_kls: type[SpeechTextTrainConfig], loss: LossPolicy) -> None:
        self._config_kls = config_kls

        self.loss: LossPolicy = loss
        """What is scored where the mixture does not say."""

    @final
    @override
    def register(self, container: DependencyContainer) -> None:
        register_metric_descriptors(container)

        register_survival(container)

        register_monitoring(container)

    @final
    @override
    def create_task(self, context: RecipeContext) -> Task:
        config = context.get_config_as(SpeechTextTrainConfig)

        check_parallelism(config.trainer, context.gangs)

        check_finetuning(config.lora, config.trainable, config.model, config.trainer, context.gangs.tp.size)

        # As it was given: what is not set is completed next.
        given = context.get_config_as(SpeechTextTrainConfig)

        data = open_training_data(config, context, self.loss)

        open_run(context, given, config.checkpoints, data.facts)

        prefer_fused_adamw(context)

        reader = data.dataset.create_reader(
            config.data, data.maker, context.gangs, num_accumulate=config.trainer.grad_accumulation.num_batches
        )

        valid_readers = data.dataset.create_valid_readers(config.data, data.maker, context.gangs)

        model = context.get_data_parallel_model()

        clip_across_tensor_parallel(model, context.gangs)

        check_groups(getattr(config.optimizer.config, "groups", ()), model)

        own = config.data.own_tasks()

        scored: dict[str, set[Modality]] = {}

        for entry in config.data.mixture:
            slots = find_template(entry.task, own).slots_in_loss(entry.loss or self.loss)

            scored.setdefault(entry.name, set()).update(*(slot.modalities for slot in slots))

        def make_metrics(names: Sequence[str]) -> LossMetrics:
            return LossMetrics(data.spec.num_streams, names, set().union(*(scored[name] for name in names)))

        unit = CodecLMTrainUnit(model, make_metrics(list(scored)), data.spec)

        valid_units = [CodecLMEvalUnit(model, name, make_metrics([name])) for name in valid_readers]

        monitored = monitor_training(
            context, config, given, data, model, reader, unit, valid_units, list(valid_readers.values())
        )

        return create_surviving_task(
            context,
            monitored.unit,
            reader,
            monitored.valid_units,
            monitored.valid_readers,
            guards=config.guards,
            describe=lambda batch: BatchNote(tuple(batch.ids.shape), tuple(batch.row_ids)),
            begin=monitored.begin,
            end=monitored.end,
        )

    @final
    @override
    def setup_model(self, context: RecipeContext, model: Module, newly_initialized: bool) -> Module:
        config = context.get_config_as(SpeechTextTrainConfig)

        assert isinstance(model, CodecLM)

        record_adapters(setup_finetuning(model, config.lora, config.trainable), context)

        return model

    @property
    @final
    @override
    def config_kls(self) -> type[object]:
        return self._config_kls
