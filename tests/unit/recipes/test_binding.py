from __future__ import annotations

import json
from pathlib import Path

import pytest
from fairseq2.recipe.config import ModelSection

from codec_s2st.data.text import TextTokenizer, load_text_tokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.recipes.common.binding import bind_vocabulary
from codec_s2st.recipes.common.initial import InitialModel
from codec_s2st.tokens.compatibility import VocabularyFingerprint
from codec_s2st.tokens.vocabulary import OWN_SLOTS, STANDARD_SPECIALS, own_task_tag
from tests.factories import toy_fingerprint, write_toy_tokenizer

ONE, TWO = own_task_tag("one"), own_task_tag("two")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return load_text_tokenizer(
        str(write_toy_tokenizer(tmp_path_factory.mktemp("tokenizer"), "binding").with_suffix(".model"))
    )


def bind(tokenizer: TextTokenizer, *own_tags: str, known: tuple[tuple[int, str], ...] | None = None) -> CodecLMConfig:
    """Returns the configuration of a run's model.

    :param known: The specials of the model that the run starts from.
    """
    config = get_codec_lm_hub().get_arch_config("tiny")

    vocabulary = ""

    if known is not None:
        fingerprint = VocabularyFingerprint(
            tokenizer.name, tokenizer.hash, tokenizer.size, toy_fingerprint(), "parallel", known
        )

        vocabulary = fingerprint.to_json()

        config.decoder.vocab_size = tokenizer.size

    initial = InitialModel(
        config.decoder, path=None if known is None else Path("/a/model"), vocabulary=vocabulary, config=config
    )

    section = ModelSection()

    bound = bind_vocabulary(section, initial, tokenizer, toy_fingerprint(), own_tags)

    overrides = section.config_overrides

    assert isinstance(overrides, dict) and json.loads(overrides["vocabulary"]) == json.loads(
        bound.fingerprint.to_json()
    )

    config.decoder.vocab_size, config.codebook_sizes = tokenizer.size, overrides["codebook_sizes"]

    config.vocabulary = overrides["vocabulary"]

    assert config.make_vocabulary() == bound.builder.vocabulary

    return config


def own(config: CodecLMConfig) -> dict[str, int]:
    return {name: slot for slot, name in config.make_vocabulary().specials if slot in OWN_SLOTS}


def test_runs_without_own_tasks_have_everybodys_tags(tokenizer: TextTokenizer) -> None:
    assert bind(tokenizer).make_vocabulary().specials == STANDARD_SPECIALS


def test_own_tags_are_added_to_them(tokenizer: TextTokenizer) -> None:
    config = bind(tokenizer, ONE, TWO)

    assert set(STANDARD_SPECIALS) < set(config.make_vocabulary().specials) and set(own(config)) == {ONE, TWO}


def test_those_of_the_model_stay_where_they_are(tokenizer: TextTokenizer) -> None:
    known = (*STANDARD_SPECIALS, (200, TWO))

    assert own(bind(tokenizer, known=known)) == {TWO: 200}

    assert own(bind(tokenizer, TWO, known=known)) == {TWO: 200}

    assert own(bind(tokenizer, ONE, known=known)) == {TWO: 200, **own(bind(tokenizer, ONE))}


def test_models_of_before_a_tag_was_given_are_read(tokenizer: TextTokenizer) -> None:
    assert bind(tokenizer, known=STANDARD_SPECIALS[:14]).make_vocabulary().specials == STANDARD_SPECIALS


def test_models_with_tags_that_nobody_knows_are_refused(tokenizer: TextTokenizer) -> None:
    with pytest.raises(UserInputError, match=r"model '/a/model': special tokens \[\(60, '<task:sing>'\)\] are not in"):
        bind(tokenizer, known=(*STANDARD_SPECIALS, (60, "<task:sing>")))


def test_more_than_there_is_room_for_are_refused(tokenizer: TextTokenizer) -> None:
    known = (*STANDARD_SPECIALS, *((slot, own_task_tag(f"t{slot}")) for slot in OWN_SLOTS))

    with pytest.raises(UserInputError, match=r"and 64 of the model .* are more than the 64 that there is room for"):
        bind(tokenizer, ONE, known=known)
