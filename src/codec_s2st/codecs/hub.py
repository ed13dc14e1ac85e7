"""Finds codecs among fairseq2's asset cards and loads them."""

from __future__ import annotations

from pathlib import Path

import torch
from fairseq2.assets import (
    AssetCard,
    AssetCardError,
    AssetMetadataError,
    AssetStore,
)
from fairseq2.error import OperationalError
from fairseq2.model_checkpoint import CorruptModelCheckpointError
from fairseq2.models import ModelFamily, ModelHub
from fairseq2.runtime.dependency import get_dependency_resolver
from safetensors import SafetensorError
from torch import device as Device

from codec_s2st.card_files import local_path, to_asset_card
from codec_s2st.cards import read_cards
from codec_s2st.codecs.codec import Codec
from codec_s2st.codecs.download import download_weights
from codec_s2st.codecs.weights import hash_weights, safetensors_files
from codec_s2st.errors import CodecS2STError, UserInputError, unknown_name
from codec_s2st.integrity import CHECKPOINT_SHA256, check_sha256
from codec_s2st.share import CARD_PREFIX, card_name


def load_codec_model(name: str, *, device: Device) -> Codec:
    """Loads the codec of the card ``name``; see :func:`codec_s2st.codecs.load_codec`."""
    card = find_codec_card(name)

    hub = ModelHub[Codec, object](_family_of(card), get_asset_store())

    path = _weights_path(card)

    files = safetensors_files(path)
    if not files:
        raise UserInputError(
            f"the checkpoint '{path}' of the card '{card.name}' is not a safetensors file or a folder of them",
            hint="pickled checkpoints are not read: convert it where you trust it, with safetensors.torch.save_file",
        )

    weights_hash = hash_weights(files)

    check_sha256(card, CHECKPOINT_SHA256, weights_hash, path)

    try:
        config = hub.get_model_config(card)

        # A folder may hold other formats too: a single file leaves fairseq2 nothing to choose.
        codec = hub.load_custom_model(files[0] if len(files) == 1 else path, config, device=device, dtype=torch.float32)
    except AssetCardError as ex:
        raise UserInputError(f"the card '{card.name}' cannot be used: {_root_message(ex)}") from ex
    except CorruptModelCheckpointError as ex:
        raise UserInputError(f"the weights {path} do not fit the card '{card.name}': {_root_message(ex)}") from ex
    except SafetensorError as ex:
        raise UserInputError(f"the weights {path} of the card '{card.name}' are corrupt: {ex}") from ex
    except (OSError, OperationalError) as ex:
        raise CodecS2STError(f"the weights {path} cannot be read: {_root_message(ex)}") from ex

    codec.requires_grad_(False)

    codec.eval()

    codec.set_fingerprint(card.name, weights_hash)

    return codec


def find_codec_card(name: str) -> AssetCard:
    """Returns the card of a codec.

    :param name: The name of a card, of which our prefix may be left out; or a file (``.yaml``) that holds one card.

    :raises UserInputError: there is no such card, or it is not a codec's.
    """
    store = get_asset_store()

    if name.endswith((".yaml", ".yml")):
        card: AssetCard | None = _card_in(Path(name).expanduser())
    else:
        card = store.maybe_retrieve_card(name) or store.maybe_retrieve_card(card_name(name))

    if card is None:
        known = codec_card_names()

        if not name.startswith(CARD_PREFIX):
            known = [known_name.removeprefix(CARD_PREFIX) for known_name in known]

        raise unknown_name("codec", name, known, hint="see: codec-s2st ls")

    family = _maybe_family_of(card)
    if family is None or not issubclass(family.kls, Codec):
        raise UserInputError(f"the card '{card.name}' is not a codec", hint="see: codec-s2st ls")

    return card


def _card_in(file: Path) -> AssetCard:
    if not file.is_file():
        raise UserInputError(f"the codec's card {file} does not exist", hint="give the name of a card, or a card file")

    cards = read_cards(file)

    if len(cards) != 1:
        raise UserInputError(f"{file} holds {len(cards)} cards, but must hold one")

    return to_asset_card(cards[0])


def codec_card_names() -> list[str]:
    """Returns the sorted names of the cards of codecs."""
    store = get_asset_store()

    names = []

    # fairseq2 keeps a card for each environment, as `name@environment`.
    for name in {name.partition("@")[0] for name in store.asset_names}:
        try:
            card = store.maybe_retrieve_card(name)
        except AssetCardError:
            continue  # Somebody else's broken card; fairseq2 itself ships one.

        if card is None:
            continue

        family = _maybe_family_of(card)

        if family is not None and issubclass(family.kls, Codec):
            names.append(name)

    return sorted(names)


def get_asset_store() -> AssetStore:
    """Returns fairseq2's store of cards.

    :raises UserInputError: a card file of this machine is malformed, which makes every card unreachable.
    """
    try:
        return get_dependency_resolver().resolve(AssetStore)
    except AssetMetadataError as ex:
        raise UserInputError(f"the asset cards cannot be read: {_root_message(ex)}") from ex


def _family_of(card: AssetCard) -> ModelFamily:
    family = _maybe_family_of(card)
    if family is None:
        raise UserInputError(f"the card '{card.name}' is not a codec", hint="see: codec-s2st ls")

    return family


def _maybe_family_of(card: AssetCard) -> ModelFamily | None:
    field = card.maybe_get_field("model_family")
    if field is None:
        return None

    return get_dependency_resolver().maybe_resolve(ModelFamily, key=field.value)


def _weights_path(card: AssetCard) -> Path:
    try:
        uri = card.field("checkpoint").as_uri()

        if uri.scheme == "file":
            path = local_path(uri)
        else:
            path = download_weights(card.name, uri)

        if card.has_field("checkpoint_path"):
            path = path / card.field("checkpoint_path").as_(str)
    except AssetCardError as ex:
        raise UserInputError(f"the card '{card.name}' cannot be used: {_root_message(ex)}") from ex

    if not path.exists():
        raise UserInputError(
            f"the checkpoint '{path}' of the card '{card.name}' does not exist", hint="bring it there, or mend the card"
        )

    return path


def _root_message(ex: BaseException) -> str:
    """Returns the first cause's words: fairseq2 wraps the error that names the key or file in ones that do not."""
    while ex.__cause__ is not None:
        ex = ex.__cause__

    message = str(ex) or type(ex).__name__

    return message if len(message) <= 400 else f"{message[:400]}…"
