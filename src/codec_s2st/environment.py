"""Looks for what is wrong in the fairseq2 environment around us: extensions and asset cards, ours and others'."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from codec_s2st.cards import CardEntry, duplicate_cards, read_cards
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.explain import explain_extension

EXTENSION_GROUP: Final = "fairseq2.extension"


def find_extension_problems() -> list[CodecS2STError]:
    """Runs each fairseq2 extension of the environment by itself; returns what fails, with the file at fault.

    fairseq2 itself says no more than "X extension failed", as a warning, and goes on without the extension; or it dies
    of the extension's ``TypeError`` without saying whose it is.
    """
    from fairseq2.runtime.dependency import DependencyContainer

    problems: list[CodecS2STError] = []

    for entry_point in extensions():
        try:
            entry_point.load()(DependencyContainer())
        except Exception as ex:
            owner = None if entry_point.dist is None else entry_point.dist.name

            problems.append(explain_extension(entry_point.value, owner, ex))

    return problems


def find_card_problems() -> list[CodecS2STError]:
    """Returns what is wrong with the asset cards that fairseq2 sees, each with the file or files at fault.

    :raises Exception: what ``fairseq2.init_fairseq2`` raises where an extension breaks it.
    """
    problems: list[CodecS2STError] = []

    cards: list[CardEntry] = []

    for folder in _card_folders():
        for file in sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml")):
            try:
                cards += read_cards(file)
            except UserInputError as ex:
                problems.append(ex)

    for first, second in duplicate_cards(cards):
        problems.append(
            UserInputError(
                f"two asset cards are named '{first.name}', one in {first.file} and one in {second.file}",
                hint="rename or remove one of them",
            )
        )

    return problems


def extensions() -> list[EntryPoint]:
    """Returns the fairseq2 extensions that are installed, in the order of their names."""
    return sorted(entry_points(group=EXTENSION_GROUP), key=lambda ep: ep.value)


def _card_folders() -> Iterator[Path]:
    from fairseq2.assets import AssetMetadataError, AssetMetadataSource
    from fairseq2.runtime.dependency import get_dependency_resolver

    names: list[str] = []

    for source in get_dependency_resolver().collection.resolve(AssetMetadataSource):
        # A source yields its providers one by one, and the first faulty one ends it.
        try:
            for provider in source.load():
                names.append(provider.source)
        except AssetMetadataError as ex:
            names.append(ex.source)

    for name in dict.fromkeys(names):
        scheme, _, place = name.partition(":")

        if scheme == "path":
            yield Path(place)

        if scheme == "package" and (spec := find_spec(place)) is not None:
            for location in spec.submodule_search_locations or ():
                yield Path(location)
