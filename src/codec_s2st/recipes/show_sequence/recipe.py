"""Opens what a training recipe would, and shows sequences instead of training on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from fairseq2.recipe.base import Recipe, RecipeContext
from fairseq2.task import Task
from typing_extensions import override

from codec_s2st.data.slots import InterleavedSlot, LossPolicy, VoiceSlot
from codec_s2st.data.templates import TaskTemplate, count_steps, render
from codec_s2st.recipes.common.config import SpeechTextTrainConfig
from codec_s2st.recipes.common.training import SpeechTextTrainRecipe
from codec_s2st.recipes.common.training_data import TrainingData, open_training_data
from codec_s2st.recipes.show_sequence.picture import ShownSequence, name_ids
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


def choose_sequences(config: SpeechTextTrainConfig, data: TrainingData, num: int) -> list[ShownSequence]:
    """Returns the first ``num`` sequences of the training's order; the first of each task come before the others."""
    section, maker = config.data, data.maker

    mixture = data.dataset.mix(section)

    sources = mixture.sources

    draws = mixture.draw(0, max(section.num_drawn_together, num), [0] * len(sources))

    first = {source: (source, i) for source, i in reversed(draws)}

    chosen = [draw for draw in draws if first[draw[0]] == draw]

    chosen += [draw for draw in draws if draw not in chosen]

    output = []

    for source_idx, position in chosen[:num]:
        source = sources[source_idx]

        example = source.example(position)

        sequence = render(source.template, example, maker.builder, maker.encode_text, source.loss or maker.loss)

        length = count_steps(source.template, example, maker.builder, maker.encode_text)

        title = (
            f"{source.name}, row '{example.id}', {length} steps, {int(sequence.loss_mask.any(-1).sum())} in the loss"
        )

        if length > maker.max_seq_len:
            fate = "cropped" if maker.can_crop(source) else "left out"

            title += f"; {fate}, since `data.max_seq_len` is {maker.max_seq_len}"

        title += f"\n{describe(source.template, source.loss or maker.loss)}"

        names = name_ids(sequence.ids, maker.builder.vocabulary, data.tokenizer.decode)

        output.append(ShownSequence(title, sequence, names))

    return output


def describe(template: TaskTemplate, loss: LossPolicy) -> str:
    """Returns the segments of a task in one line; ``*`` marks those in the loss."""
    names = []

    for slot in template.slots:
        match slot:
            case VoiceSlot():
                name = f"voice of the {slot.side} ({slot.seconds:g} s of the {slot.utterance} utterance)"
            case InterleavedSlot():
                name = f"{slot.side} text and speech in turn"
            case _:
                name = f"{slot.side} {' '.join(modality.value for modality in slot.modalities)}"

        names.append(f"{name}{'*' if slot.role.in_loss(loss) else ''}")

    return ", ".join(names)


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
