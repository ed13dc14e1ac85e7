"""Opens what a training recipe would, and shows sequences instead of training on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from fairseq2.recipe.base import Recipe, RecipeContext
from fairseq2.task import Task
from typing_extensions import override

from codec_s2st.recipes.common.config import SpeechTextTrainConfig
from codec_s2st.recipes.common.training import SpeechTextTrainRecipe
from codec_s2st.recipes.common.training_data import open_training_data
from codec_s2st.recipes.show_sequence.choice import choose_sequences
from codec_s2st.recipes.show_sequence.picture import ShownSequence
from codec_s2st.tokens.vocabulary import Vocabulary


@final
class ShowSequenceRecipe(Recipe):
    def __init__(
        self, recipe: SpeechTextTrainRecipe, num: int, show: Callable[[list[ShownSequence], Vocabulary], None]
    ) -> None:
        """
        :param recipe: The training recipe, whose configuration is read.
        :param num: The number of sequences; those of different tasks come first.
        :param show: Is given the sequences.
        """
        self._recipe = recipe
        self._num = num
        self._show = show

    @override
    def create_task(self, context: RecipeContext) -> Task:
        config = context.get_config_as(SpeechTextTrainConfig)

        data = open_training_data(config, context, self._recipe.loss)

        shown = choose_sequences(config, data, self._num)

        return _ShowTask(lambda: self._show(shown, data.maker.builder.vocabulary))

    @property
    @override
    def config_kls(self) -> type[object]:
        return self._recipe.config_kls


@final
class _ShowTask(Task):
    def __init__(self, show: Callable[[], None]) -> None:
        self._show = show

    @override
    def run(self) -> None:
        self._show()

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
