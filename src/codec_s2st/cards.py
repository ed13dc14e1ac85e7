"""Reads asset cards as they stand in their files, without fairseq2, whose import takes seconds.

fairseq2 names the *source* of a faulty card, which is a folder or a package; what is read here knows the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codec_s2st.errors import UserInputError
from codec_s2st.yaml_limits import check_size, safe_yaml

_FAMILY_FIELDS: Final = ("model_family", "tokenizer_family", "dataset_family")


@dataclass(frozen=True, kw_only=True)
class CardEntry:
    """A card as it stands in its file; what it inherits from its base is not in it."""

    name: str

    kind: str
    """``codec``, ``model``, ``tokenizer`` or ``dataset``; ``other`` where the card names no family."""

    file: Path

    metadata: dict[str, object]


def read_cards(path: Path) -> list[CardEntry]:
    """Returns the cards of a YAML file, or of all YAML files below a folder, in order of their paths.

    :raises UserInputError: if a file is not YAML, or a card is no mapping or has no name; the file is named.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml") and file.is_file())
    else:
        files = [path]

    return [card for file in files for card in _read_file(file)]


def duplicate_cards(cards: Iterable[CardEntry]) -> Iterator[tuple[CardEntry, CardEntry]]:
    """Yields each pair of a card and the first one that has the same name, the first one in front."""
    seen: dict[str, CardEntry] = {}

    for card in cards:
        other = seen.setdefault(card.name, card)

        if other is not card:
            yield other, card


def well_known_dirs() -> list[Path]:
    """Returns the folders of the administrator's and of the user's own cards, those that exist."""
    config_dir = os.environ.get("XDG_CONFIG_HOME") or "~/.config"

    # As in fairseq2: a variable that points nowhere falls back to the default.
    choices = (
        (os.environ.get("FAIRSEQ2_ASSET_DIR"), "/etc/fairseq2/assets"),
        (os.environ.get("FAIRSEQ2_USER_ASSET_DIR"), f"{config_dir}/fairseq2/assets"),
    )

    output = []

    for chosen, default in choices:
        for name in (chosen, default):
            if name and (folder := Path(name).expanduser()).exists():
                output.append(folder)

                break

    return output


def _read_file(file: Path) -> list[CardEntry]:
    from ruamel.yaml.error import YAMLError

    try:
        with file.open(encoding="utf-8") as fp:
            documents = list(safe_yaml().load_all(fp))
    except OSError as ex:
        raise UserInputError(f"asset card file {file} cannot be read: {ex.strerror}") from ex
    except (YAMLError, ValueError) as ex:
        mark = getattr(ex, "problem_mark", None)

        place = "" if mark is None else f" at line {mark.line + 1}"

        raise UserInputError(f"asset card file {file} is not valid YAML{place}") from ex

    check_size(documents, f"asset card file {file}")

    return [_to_card(file, idx, document) for idx, document in enumerate(documents)]


def _to_card(file: Path, idx: int, document: object) -> CardEntry:
    if not isinstance(document, dict):
        raise UserInputError(f"asset card {idx} in {file} must be a mapping, but is of type {type(document).__name__}")

    name = document.get("name")

    if not isinstance(name, str) or not name.strip() or name.strip().startswith("@"):
        raise UserInputError(f"asset card {idx} in {file} has no name", hint="give it a line `name: ...`")

    kinds = [field.removesuffix("_family") for field in _FAMILY_FIELDS if field in document]

    # To fairseq2 a codec is a model like any other; the folder says which models are codecs.
    if file.parent.name == "codecs":
        kinds = ["codec"]

    return CardEntry(name=name.strip(), kind=kinds[0] if kinds else "other", file=file, metadata=document)
