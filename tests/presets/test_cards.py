"""Every asset card of the repository, through fairseq2's own store and families."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from fairseq2.assets import AssetCard, get_asset_store
from fairseq2.data.tokenizers import TokenizerFamily
from fairseq2.datasets import DatasetFamily
from fairseq2.models import ModelFamily
from fairseq2.runtime.dependency import get_dependency_resolver

from codec_s2st.cards import CardEntry, read_cards
from codec_s2st.catalog import list_cards
from codec_s2st.share import CARD_PREFIX, assets_dir

CARDS = read_cards(assets_dir())

every_card = pytest.mark.parametrize("entry", CARDS, ids=[entry.name for entry in CARDS])


def retrieve(entry: CardEntry) -> AssetCard:
    return get_asset_store().retrieve_card(entry.name)


def test_there_are_cards() -> None:
    assert CARDS


def test_the_store_and_our_list_agree() -> None:
    store = get_asset_store()

    source = f"path:{assets_dir()}"

    names = set()

    for name in store.asset_names:
        if name.startswith(CARD_PREFIX):
            card = store.retrieve_card(name)

            assert card.metadata["__source__"] == source

            names.add(name.removesuffix("@"))

    assert names == {card.name for card in list_cards()}


@every_card
def test_card_has_our_prefix_and_a_licence(entry: CardEntry) -> None:
    assert entry.name.startswith(CARD_PREFIX)

    assert retrieve(entry).field("license").as_(str)


@every_card
def test_card_has_a_family_that_reads_its_config(entry: CardEntry) -> None:
    card = retrieve(entry)

    resolver = get_dependency_resolver()

    configs: list[object] = []

    if card.has_field("model_family"):
        family = resolver.resolve(ModelFamily, key=card.field("model_family").as_(str))

        configs.append(family.get_model_config(card))

    if card.has_field("tokenizer_family"):
        tokenizer_family = resolver.resolve(TokenizerFamily, key=card.field("tokenizer_family").as_(str))

        configs.append(tokenizer_family.get_tokenizer_config(card))

    if card.has_field("dataset_family"):
        dataset_family = resolver.resolve(DatasetFamily, key=card.field("dataset_family").as_(str))

        configs.append(dataset_family.get_dataset_config(card))

    assert configs, f"{entry.name} names no family."


@every_card
def test_files_of_the_card_are_there_and_none_is_a_pickle(entry: CardEntry) -> None:
    card = retrieve(entry)

    for field in ("checkpoint", "tokenizer"):
        if not card.has_field(field):
            continue

        uri = card.field(field).as_uri()

        assert uri.scheme in ("file", "hg")

        if uri.scheme == "file":
            path = uri.to_path()

            assert path.exists(), path

            files = path.rglob("*") if path.is_dir() else [path]

            assert _pickles(list(files)) == []


def _pickles(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if file.suffix in (".pt", ".pth", ".bin", ".pkl", ".ckpt", ".th")]
