"""Makes the numbers that the golden files hold. To accept a change: python tests/golden/golden.py"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).parent


def special_slots() -> str:
    """The slot of each special token: a slot once given keeps its name forever."""
    from codec_s2st.tokens.vocabulary import STANDARD_SPECIALS

    return "".join(f"{slot:3d} {name}\n" for slot, name in STANDARD_SPECIALS)


def sequence_picture() -> str:
    """One S2ST sequence in each stream pattern, by name of token; ``*`` marks what is in the loss."""
    import torch

    from codec_s2st.data.templates import condition_segment
    from codec_s2st.tokens.delay import parse_pattern
    from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder
    from codec_s2st.tokens.vocabulary import Vocabulary, task_tag

    vocabulary = Vocabulary(text_size=100, codebook_sizes=(8, 8, 8))

    source = torch.tensor([[0, 1, 2], [3, 4, 5]])
    target = torch.tensor([[7, 6, 5], [4, 3, 2], [1, 0, 7]])

    lines = []

    for name in ("parallel", "delay", "flatten"):
        sequence = SequenceBuilder(vocabulary, parse_pattern(name, 3)).build(
            [
                condition_segment(vocabulary, task_tag("s2st"), "spa", "eng"),
                Segment(Modality.SPEECH, source, in_loss=False),
                Segment(Modality.SPEECH, target, in_loss=True),
            ]
        )

        lines.append(f"{name}\n")

        for ids, mask in zip(sequence.ids.tolist(), sequence.loss_mask.tolist(), strict=True):
            cells = [
                f"{vocabulary.name_of(token)}{'*' if marked else ''}" for token, marked in zip(ids, mask, strict=True)
            ]

            lines.append("  " + "".join(f"{cell:16}" for cell in cells).rstrip() + "\n")

    return "".join(lines)


def loss_curve() -> str:
    """The losses of the first ten steps of a tiny model on fixed data, as JSON."""
    import torch

    from codec_s2st.models.codec_lm.config import CodecLMConfig
    from codec_s2st.models.codec_lm.factory import create_codec_lm
    from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder

    config = CodecLMConfig(codebook_sizes=[8, 8])

    for key, value in {
        "model_dim": 32,
        "max_seq_len": 64,
        "vocab_size": 20,
        "num_layers": 2,
        "num_attn_heads": 4,
        "num_key_value_heads": 2,
        "ffn_inner_dim": 64,
    }.items():
        setattr(config.decoder, key, value)

    torch.manual_seed(1)

    model = create_codec_lm(config)

    builder = SequenceBuilder(model.vocabulary, model.pattern)

    codes = torch.arange(24).view(12, 2) % 8

    sequence = builder.build(
        [
            Segment(Modality.SPEECH, codes, in_loss=False),
            Segment(Modality.TEXT, torch.arange(5), in_loss=True),
            Segment(Modality.SPEECH, codes.flip(0), in_loss=True),
        ]
    )

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    losses = []

    for _ in range(10):
        loss = model(sequence.ids[None], loss_mask=sequence.loss_mask[None]).loss

        mean = loss.total / loss.num_targets

        losses.append(round(mean.item(), 5))

        mean.backward()

        optimizer.step()

        optimizer.zero_grad()

    return json.dumps(losses) + "\n"


def sbatch_file(preset: str, array: int | None = None) -> str:
    """What sbatch gets by a launch preset that is shipped, or by a file in this folder."""
    from codec_s2st.launch.preset import load_preset
    from codec_s2st.launch.record import Record
    from codec_s2st.launch.slurm import make_executor, sbatch_text

    file = FOLDER / f"{preset}.yaml"

    loaded = load_preset(str(file) if file.is_file() else preset)

    if loaded.python is None:
        # Else it is the one that runs this.
        loaded = replace(loaded, python="python3")

    record = Record(Path("/runs/cpt/launch/001"))

    needs = [] if array is None else ["41", "42"]

    return sbatch_text(make_executor(loaded, record, "cpt-run", array=array, needs=needs), array)


FILES = {
    "special_slots.txt": special_slots,
    "sequences.txt": sequence_picture,
    "loss_curve.json": loss_curve,
    "sbatch_debug.sh": partial(sbatch_file, "debug"),
    "sbatch_1x8.sh": partial(sbatch_file, "1x8"),
    "sbatch_4x8.sh": partial(sbatch_file, "4x8"),
    "sbatch_array.sh": partial(sbatch_file, "debug", array=4),
    "sbatch_every_key.sh": partial(sbatch_file, "every_key"),
    "sbatch_apptainer.sh": partial(sbatch_file, "apptainer"),
}


if __name__ == "__main__":
    for name, make in FILES.items():
        FOLDER.joinpath(name).write_text(make())
