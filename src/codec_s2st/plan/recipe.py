"""Reads the configuration of a training recipe, and plans instead of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, cast, final

import torch
from fairseq2.recipe.base import Recipe, RecipeContext
from fairseq2.recipe.config import ModelSection
from fairseq2.runtime.dependency import get_dependency_resolver
from fairseq2.task import Task
from fairseq2.utils.structured import StructureError, ValueConverter
from typing_extensions import override

from codec_s2st.codecs.codec import load_codec
from codec_s2st.data.slots import LossPolicy
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.binding import AUTO_TOKENIZER, choose_tokenizer
from codec_s2st.recipes.common.config import SpeechTextTrainConfig
from codec_s2st.recipes.common.finetuning import setup_finetuning
from codec_s2st.recipes.common.initial import ROWS_MULTIPLE_OF, InitialModel, find_initial_model
from codec_s2st.recipes.common.training import SpeechTextTrainRecipe
from codec_s2st.tokens.sequence import SequenceBuilder

_DEFAULT_BOOK: Final = 1_024


@dataclass(frozen=True)
class PlannedRun:
    """What a preset trains, without a number of it."""

    config: SpeechTextTrainConfig

    model_config: CodecLMConfig

    model: CodecLM
    """On the meta device; what is frozen is frozen."""

    loss: LossPolicy
    """What is scored where the mixture does not say."""

    assumptions: tuple[str, ...]
    """What the preset does not say."""

    @property
    def builder(self) -> SequenceBuilder:
        return SequenceBuilder(self.model.vocabulary, self.model.pattern)


@final
class PlanRecipe(Recipe):
    def __init__(self, recipe: SpeechTextTrainRecipe, arch: str | None, plan: Callable[[PlannedRun], None]) -> None:
        """
        :param recipe: The training recipe, whose configuration is read.
        :param arch: The architecture of what ``init`` is to name, where it names nothing.
        :param plan: Is given what would be trained.
        """
        self._recipe = recipe
        self._arch = arch
        self._plan = plan

    @override
    def create_task(self, context: RecipeContext) -> Task:
        config = context.get_config_as(SpeechTextTrainConfig)

        if config.gang.tensor_parallel_size > 1:
            raise UserInputError(
                f"`gang.tensor_parallel_size` is {config.gang.tensor_parallel_size}, which is not planned",
                hint="leave it at 1; trainer.data_parallelism=fsdp splits all weights",
            )

        run = read_run(config, context.resolver.resolve(ModelSection), self._arch, self._recipe.loss)

        return _PlanTask(lambda: self._plan(run))

    @property
    @override
    def config_kls(self) -> type[object]:
        return self._recipe.config_kls


def read_run(config: SpeechTextTrainConfig, section: ModelSection, arch: str | None, loss: LossPolicy) -> PlannedRun:
    """
    :raises UserInputError: neither the configuration nor ``arch`` says which model is trained, or it says nonsense.
    """
    assumptions: list[str] = []

    initial = _find_initial(config, section, arch, assumptions)

    overrides: dict[str, Any] = {}

    if isinstance(section.config_overrides, Mapping):
        overrides = dict(section.config_overrides)

    model_config = _merge(replace(initial.config, decoder=initial.decoder), overrides)

    if not initial.vocabulary and "codebook_sizes" not in overrides:
        model_config = replace(model_config, codebook_sizes=_codebook_sizes(config, assumptions))

    if (result := model_config.validate()).has_error():
        raise UserInputError(f"the model of the preset cannot be built: {result}")

    model = get_codec_lm_hub().create_new_model(model_config, dtype=section.dtype, meta=True)

    assert isinstance(model, CodecLM)

    with torch.device("meta"):
        setup_finetuning(model, config.lora, config.trainable)

    return PlannedRun(config, model_config, model, loss, tuple(assumptions))


def _find_initial(
    config: SpeechTextTrainConfig, section: ModelSection, arch: str | None, assumptions: list[str]
) -> InitialModel:
    hub = get_codec_lm_hub()

    if config.init is not None or section.arch is not None or section.name is not None:
        initial = find_initial_model(config.init, section)

        if initial.path is None and initial.name is None and config.tokenizer.name != AUTO_TOKENIZER:
            tokenizer = choose_tokenizer(config.tokenizer.name, initial)

            return replace(initial, decoder=replace(initial.decoder, vocab_size=tokenizer.size))

        return initial

    if arch is None:
        raise UserInputError(
            "the preset does not say which model it trains", hint=f"--arch {' or '.join(sorted(hub.get_archs()))}"
        )

    if arch not in hub.get_archs():
        raise unknown_name("architecture", arch, hub.get_archs())

    assumptions.append(f"`init`, which is to be set, is of the architecture {arch}")

    decoder = hub.get_arch_config(arch).decoder

    return InitialModel(decoder, config=CodecLMConfig(rows_multiple_of=ROWS_MULTIPLE_OF))


def _merge(config: CodecLMConfig, overrides: Mapping[str, Any]) -> CodecLMConfig:
    data = asdict(config)

    for key, value in overrides.items():
        data[key] = data[key] | dict(value) if isinstance(value, Mapping) and key in data else value

    converter = get_dependency_resolver().resolve(ValueConverter)

    try:
        return cast(CodecLMConfig, converter.structure(data, CodecLMConfig))
    except StructureError as ex:
        raise UserInputError(f"`model.config_overrides` cannot be read: {ex}") from ex


def _codebook_sizes(config: SpeechTextTrainConfig, assumptions: list[str]) -> list[int]:
    if config.codec is not None:
        return list(load_codec(config.codec, num_streams=config.num_streams).fingerprint.codebook_sizes)

    num_streams = config.num_streams or len(CodecLMConfig().codebook_sizes)

    assumptions.append(f"the shards have {num_streams} code books of {_DEFAULT_BOOK:,} entries")

    return [_DEFAULT_BOOK] * num_streams


@final
class _PlanTask(Task):
    def __init__(self, plan: Callable[[], None]) -> None:
        self._plan = plan

    @override
    def run(self) -> None:
        self._plan()

    @override
    def request_stop(self) -> None:
        pass

    @property
    @override
    def step_nr(self) -> int:
        return 0

    @override
    def close(self) -> None:
        pass
