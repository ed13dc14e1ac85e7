"""A base LLM may have more rows of text than its tokenizer has ids: the rest is padding, and is never generated."""

from __future__ import annotations

import torch
from fairseq2.device import CPU

from codec_s2st.generation.generator import SegmentGenerator
from codec_s2st.generation.options import GenerationOptions, GenerationRequest
from codec_s2st.generation.sampling import StreamSampling
from codec_s2st.generation.target import TextTarget
from codec_s2st.tokens.sequence import Modality, SequenceBuilder
from codec_s2st.tokens.vocabulary import Vocabulary
from tests.factories import tiny_config, tiny_model


def test_rows_behind_the_tokenizers_ids_are_illegal() -> None:
    vocabulary = Vocabulary(10, (4, 4))

    end = vocabulary.special("</text>")

    for num_text_ids, num_legal in ((7, 7), (None, 10), (12, 10)):
        target = TextTarget(vocabulary, [5], num_text_ids=num_text_ids, device=CPU)

        assert [id_ for space in target.spaces for id_ in space] == [*range(num_legal), end]


def test_they_are_not_generated_however_likely() -> None:
    model = tiny_model(tiny_config(text_size=64))

    builder = SequenceBuilder(model.vocabulary, model.pattern)

    # The head says these, and nothing else.
    with torch.no_grad():
        model.heads.stream0_weight[40:64] *= 100.0

    request = GenerationRequest(prompt=builder.opening(Modality.TEXT), modality=Modality.TEXT, max_length=30)

    options = GenerationOptions(text=StreamSampling(temperature=1.0))

    [free] = SegmentGenerator(model, options).generate([request])
    [bound] = SegmentGenerator(model, options, num_text_ids=40).generate([request])

    assert int(free.ids.max()) >= 40

    assert len(bound.ids) and int(bound.ids.max()) < 40
