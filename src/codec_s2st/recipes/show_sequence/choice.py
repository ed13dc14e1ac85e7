"""Which sequences of a training are shown, and what is said of them."""

from __future__ import annotations

from codec_s2st.data.slots import InterleavedSlot, LossPolicy, VoiceSlot
from codec_s2st.data.templates import TaskTemplate, count_steps, render
from codec_s2st.recipes.common.config import SpeechTextTrainConfig
from codec_s2st.recipes.common.training_data import TrainingData
from codec_s2st.recipes.show_sequence.picture import ShownSequence, name_ids


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
