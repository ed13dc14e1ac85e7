"""Finds the card of a translation model: by name, in a card file, or in a published folder; and what belongs to it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from fairseq2.assets import AssetCard, AssetCardError, AssetStore
from fairseq2.runtime.dependency import get_dependency_resolver

from codec_s2st.card_files import local_path, to_asset_card
from codec_s2st.cards import read_cards
from codec_s2st.codecs.download import download_weights
from codec_s2st.codecs.weights import hash_weights, safetensors_files
from codec_s2st.data.task_entries import parse_tasks
from codec_s2st.data.templates import TaskTemplate
from codec_s2st.data.text import TextTokenizer
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.integrity import CHECKPOINT_SHA256, check_sha256
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY
from codec_s2st.models.codec_lm.loader import lazy_checkpoint_path
from codec_s2st.share import CARD_PREFIX, card_name
from codec_s2st.tokens.compatibility import VocabularyFingerprint

CODEC_CARD: Final = "codec_card"
"""The field with the file of a codec's card that came with a model; relative to the file of the model's card."""

OWN_TASKS: Final = "own_tasks"
"""The field with the entries of ``data.tasks`` that a model was trained with."""

_HINT: Final = "see: codec-s2st ls --kind cards"


def find_model_card(model: str) -> AssetCard:
    """Returns the card that ``model`` names.

    :param model: The name of a card (our prefix may be left out), a card file (``.yaml``), or a folder that holds one
        card of a translation model, as :mod:`codec_s2st.exchange.publish` writes it. Paths in a card are relative to
        its file.

    :raises UserInputError: it is none of these, or the card is not a translation model's.
    """
    path = Path(model).expanduser()

    if "/" in model or path.suffix in (".yaml", ".yml"):
        card = _card_of_path(path)
    else:
        store = get_dependency_resolver().resolve(AssetStore)

        found = store.maybe_retrieve_card(model) or store.maybe_retrieve_card(card_name(model))

        if found is None and path.is_dir():
            found = _card_of_path(path)

        if found is None:
            raise unknown_name("model card", model, known_model_names(store, model), hint=_HINT)

        card = found

    family = card.maybe_get_field("model_family")

    if family is None or family.value != CODEC_LM_FAMILY:
        raise UserInputError(f"card '{card.name}' is not a translation model", hint=_HINT)

    return card


def card_strings(card: AssetCard, field: str) -> list[str]:
    """Returns a list of strings that a card may hold; it is empty where the card says nothing.

    :raises UserInputError: the field is something else.
    """
    found = card.maybe_get_field(field)

    if found is None:
        return []

    if not isinstance(found.value, list) or not all(isinstance(item, str) for item in found.value):
        # Written out, aliases of YAML would fill the screen.
        shown = "another list" if isinstance(found.value, list) else repr(found.value)

        raise UserInputError(f"field `{field}` of card '{card.name}' must be a list of strings, but is {shown:.100}")

    return found.value


def own_tasks_of(card: AssetCard) -> dict[str, TaskTemplate]:
    """Returns those of the model's tasks that whoever trained it has defined, by name.

    :raises UserInputError: a definition cannot be read.
    """
    found = card.maybe_get_field(OWN_TASKS)

    return {} if found is None else parse_tasks(found.value, where=f"{OWN_TASKS} of card '{card.name}'")


def hash_model(card: AssetCard) -> str:
    """Returns the SHA-256 that identifies the weights of a card, in hex.

    :raises UserInputError: as :func:`checkpoint_of`.
    """
    return hash_weights(safetensors_files(checkpoint_of(card)))


def checkpoint_of(card: AssetCard) -> Path:
    """Returns the safetensors file, or the folder of them, that a card names; what is on the hub is fetched.

    :raises UserInputError: there is none, it is of another format, it is not for everybody, or it is not the one that
        the card promises.
    """
    try:
        uri = card.field("checkpoint").as_uri()
    except AssetCardError:
        # fairseq2's cards of gated models say where to ask for them, and nothing else.
        url = card.maybe_get_field("url")

        if url is not None:
            raise UserInputError(
                f"card '{card.name}' names no checkpoint, because its model is gated; ask for it at {url.value}",
                hint="fetch it, then name its folder: --init FOLDER",
            ) from None

        raise UserInputError(
            f"card '{card.name}' names no checkpoint", hint="give it a line `checkpoint: FOLDER`, in quotes"
        ) from None

    path = local_path(uri) if uri.scheme == "file" else download_weights(card.name, uri)

    if card.has_field("checkpoint_path"):
        path = _inside(path, card)

    if not path.exists():
        raise UserInputError(
            f"the checkpoint '{path}' of card '{card.name}' does not exist", hint="bring it there, or mend the card"
        )

    files = safetensors_files(path)

    if not files:
        raise UserInputError(
            f"the checkpoint '{path}' of card '{card.name}' is not safetensors", hint="pickled checkpoints are not read"
        )

    if card.has_field(CHECKPOINT_SHA256):
        check_sha256(card, CHECKPOINT_SHA256, hash_weights(files), path)

    return path


def loadable_path(path: Path) -> Path:
    """Returns the path under which fairseq2 loads what :func:`checkpoint_of` returned: the safetensors, whatever other
    formats are in their folder."""
    files = safetensors_files(path)

    return files[0] if len(files) == 1 else lazy_checkpoint_path(path)


def codec_of(card: AssetCard) -> str:
    """Returns what names the codec of a codec_lm model: a card, or the file of one that came with the model.

    :raises UserInputError: the card names none.
    """
    if card.has_field(CODEC_CARD):
        return str(local_path(card.field(CODEC_CARD).as_uri()))

    if not card.has_field("codec"):
        raise UserInputError(f"card '{card.name}' names no codec", hint="give it a line `codec: CARD`")

    return card.field("codec").as_(str)


def tokenizer_of(card: AssetCard, vocabulary: str) -> str | AssetCard | None:
    """Returns what names the text tokenizer of a codec_lm model: its card itself, or what its vocabulary says.

    :param vocabulary: The model's vocabulary fingerprint in JSON; may be empty.

    :returns: ``None`` if the model was never bound to a tokenizer.
    """
    if card.has_field("tokenizer"):
        return card

    return tokenizer_in(vocabulary, where=f"card '{card.name}'")


def check_tokenizer(tokenizer: TextTokenizer, vocabulary: VocabularyFingerprint, *, where: str) -> None:
    """
    :param where: The model that has the vocabulary.

    :raises UserInputError: the model was trained with another tokenizer; both are shown.
    """
    if tokenizer.hash != vocabulary.tokenizer_hash:
        found = replace(vocabulary, tokenizer=tokenizer.name, tokenizer_hash=tokenizer.hash)

        raise UserInputError(
            f"{where} was trained with the text tokenizer {vocabulary.shown_tokenizer}, but found is"
            f" {found.shown_tokenizer} in {tokenizer.path}",
            hint="bring back the tokenizer's files that it was trained with, or ask for them where it comes from",
        )


def tokenizer_in(vocabulary: str, *, where: str) -> str | None:
    """Returns the name of the text tokenizer in a vocabulary fingerprint; ``None`` if it names none."""
    if not vocabulary:
        return None

    return VocabularyFingerprint.from_json(vocabulary, where=where).tokenizer or None


def _inside(path: Path, card: AssetCard) -> Path:
    inner = path.joinpath(card.field("checkpoint_path").as_(str)).resolve()

    if not inner.is_relative_to(path.resolve()):
        raise UserInputError(f"`checkpoint_path` of card '{card.name}' leads out of {path}")

    return inner


def known_model_names(store: AssetStore, model: str, families: Collection[str] = (CODEC_LM_FAMILY,)) -> list[str]:
    """Returns the names of the cards of models of ``families``, as the user who wrote ``model`` writes them."""
    names = []

    # fairseq2 keeps a card for each environment, as `name@environment`.
    for name in {name.partition("@")[0] for name in store.asset_names}:
        try:
            card = store.maybe_retrieve_card(name)
        except AssetCardError:
            continue  # Somebody else's broken card; fairseq2 itself ships one.

        family = None if card is None else card.maybe_get_field("model_family")

        if family is not None and family.value in families:
            names.append(name)

    return names if model.startswith(CARD_PREFIX) else [name.removeprefix(CARD_PREFIX) for name in names]


def _card_of_path(path: Path) -> AssetCard:
    if not path.exists():
        raise UserInputError(f"model '{path}' does not exist", hint="give a card's name, a card file or its folder")

    if path.joinpath("checkpoints").is_dir():
        raise UserInputError(
            f"'{path}' is a run, not a published model", hint=f"publish it: codec-s2st publish {path} OUT --name NAME"
        )

    if not path.is_dir():
        cards = read_cards(path)
    else:
        # Cards of a codec or a tokenizer may have been put beside the model's.
        files = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and file.is_file())

        cards = [card for file in files for card in read_cards(file)]

        cards = [card for card in cards if card.metadata.get("model_family") == CODEC_LM_FAMILY]

    if len(cards) != 1:
        found = f"{len(cards)} cards of translation models" if cards else "no card of a translation model"

        raise UserInputError(f"'{path}' holds {found}", hint="name the card's file")

    return to_asset_card(cards[0])
