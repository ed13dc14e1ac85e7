"""Opens what a training run reads, and decides what its ids mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from fairseq2.recipe.base import RecipeContext
from fairseq2.recipe.config import ModelSection

from codec_s2st.codecs.codec import load_codec
from codec_s2st.data.dataset import SpeechTextDataset
from codec_s2st.data.reader import BatchMaker
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.templates import LossPolicy
from codec_s2st.data.text import TextTokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.recipes.common.binding import bind_vocabulary, choose_tokenizer
from codec_s2st.recipes.common.config import SpeechTextTrainConfig
from codec_s2st.recipes.common.initial import find_initial_model
from codec_s2st.tokens.fingerprint import CodecFingerprint
from codec_s2st.tokens.streams import StreamSpec


@dataclass(frozen=True)
class TrainingData:
    dataset: SpeechTextDataset
    """With the code books that the run uses."""

    tokenizer: TextTokenizer

    maker: BatchMaker

    spec: StreamSpec
    """Of the codec."""

    facts: Mapping[str, object]
    """What identifies vocabulary and data, by its name in an error; JSON."""


def open_training_data(config: SpeechTextTrainConfig, context: RecipeContext, loss: LossPolicy) -> TrainingData:
    """Opens dataset and tokenizer, and completes the run's model section; the model is not built.

    :param loss: What is scored where the mixture does not say.

    :raises UserInputError: shards, codec, tokenizer and initial weights do not fit together.
    """
    # The model is built when it is first asked for: what is decided here about its section still counts. The section
    # must be the resolver's own, since the command line reads the configuration anew at every look.
    section = context.resolver.resolve(ModelSection)

    initial = find_initial_model(config.init, section)

    tokenizer = choose_tokenizer(config.tokenizer.name, initial)

    dataset = context.get_dataset_as(SpeechTextDataset)

    codec = _choose_codec(config, dataset)

    dataset = dataset.first_streams(codec.spec.num_streams)

    own_tags = [template.tag for template in config.data.own_tasks().values()]

    bound = bind_vocabulary(section, initial, tokenizer, codec, own_tags)

    if config.data.max_seq_len > bound.max_seq_len:
        raise UserInputError(
            f"`data.max_seq_len` is {config.data.max_seq_len}, but the model has positions for {bound.max_seq_len}"
        )

    maker = BatchMaker(
        bound.builder,
        tokenizer.encode,
        loss,
        config.data.max_batch_steps,
        config.data.max_seq_len,
        config.data.packing,
        config.data.over_long == "crop",
    )

    facts = {"the vocabulary": json.loads(bound.fingerprint.to_json()), "the data": _identify(dataset.shards)}

    return TrainingData(dataset, tokenizer, maker, codec.spec, facts)


def _identify(shards: ShardSet) -> dict[str, object]:
    """Returns what is the same of shards that hold the same rows, wherever they lie."""
    digest = hashlib.sha256()

    for side in ("source", "target"):
        digest.update(shards.num_frames(side).astype("<i8").tobytes())

    return {"rows": len(shards), "frames": digest.hexdigest()}


def _choose_codec(config: SpeechTextTrainConfig, dataset: SpeechTextDataset) -> CodecFingerprint:
    codec = None if config.codec is None else load_codec(config.codec).fingerprint

    in_shards = dataset.codec

    if codec is None and in_shards is None:
        raise UserInputError("the shards hold no codes, so that `codec` must name a codec's card")

    chosen = in_shards if codec is None else codec

    assert chosen is not None

    if config.num_streams is not None:
        if not 1 <= config.num_streams <= len(chosen.codebook_sizes):
            raise UserInputError(f"`num_streams` is {config.num_streams}, but the {chosen.describe()} is used")

        chosen = chosen.first(config.num_streams)

    # After that: shards may hold only the code books that are wanted.
    if in_shards is not None:
        chosen.check_reads(in_shards, where="the dataset")

    return chosen
