"""Loads what belongs to a model card: the model, its codec and its tokenizer."""

from __future__ import annotations

from fairseq2.assets import AssetCard
from fairseq2.device import Device

from codec_s2st.codecs.codec import Codec, load_codec
from codec_s2st.data.text import TextTokenizer, load_text_tokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.model_cards import (
    check_tokenizer,
    checkpoint_of,
    codec_of,
    find_model_card,
    loadable_path,
    tokenizer_of,
)
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.compatibility import VocabularyFingerprint


def load_parts(name: str, *, device: Device | None) -> tuple[AssetCard, CodecLM, Codec, TextTokenizer]:
    """
    :param name: The name of a card, a card file, or a published folder.

    :raises UserInputError: there is no such card, or model, codec and tokenizer do not belong together.
    """
    card = find_model_card(name)

    hub = get_codec_lm_hub()

    # Not by the card, since fairseq2 checks no hash and reads pickles too.
    path = loadable_path(checkpoint_of(card))

    where = f"model '{card.name}'"

    model = hub.load_custom_model(path, hub.get_model_config(card), device=device)

    fingerprint = VocabularyFingerprint.from_json(model.vocabulary_fingerprint, where=where)

    codec = load_codec(codec_of(card), num_streams=model.vocabulary.num_streams, device=device)

    fingerprint.codec.check_reads(
        codec.fingerprint,
        where=f"the codec of {where}, as it is on this machine,",
        hint="ask for the codec's card and weights where the model comes from; publish --with-codec adds them",
    )

    tokenizer_name = tokenizer_of(card, model.vocabulary_fingerprint)

    if tokenizer_name is None:
        raise UserInputError(f"{where} is bound to no text tokenizer", hint="train it with one: `tokenizer.name`")

    tokenizer = load_text_tokenizer(tokenizer_name)

    check_tokenizer(tokenizer, fingerprint, where=where)

    return card, model, codec, tokenizer
