"""Writes down what a launch was made of: the commit and what differs from it, versions of packages, asset cards."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from io import StringIO
from pathlib import Path

import codec_s2st
from codec_s2st.cards import CardEntry
from codec_s2st.launch.record import write_whole
from codec_s2st.redaction import Secrets
from codec_s2st.share import card_name


def write_provenance(folder: Path, config: object | None) -> None:
    """Writes ``commit.txt``, ``changes.diff`` in a changed checkout, ``packages.txt``, and ``cards.yaml``.

    The values of environment variables that are secrets are struck out of all of them.

    :param config: the configuration that names the cards; ``None`` if there is none.
    :raises UserInputError: an asset card of the machine is faulty.
    """
    secrets = Secrets.of()

    root = Path(codec_s2st.__file__).resolve().parents[2]

    commit, changes = describe_commit(root)

    texts = {"commit.txt": commit, "changes.diff": changes, "packages.txt": describe_packages()}

    if config is not None:
        from codec_s2st.catalog import list_cards

        texts["cards.yaml"] = dump_cards(named_cards(config, list_cards()))

    for name, text in texts.items():
        if text:
            write_whole(folder / name, secrets.strike(text))


def describe_commit(root: Path) -> tuple[str, str]:
    """Returns what the code in ``root`` is, and how its files differ from the commit."""
    version = f"codec_s2st {codec_s2st.__version__}\n"

    if not root.joinpath(".git").exists():
        return f"{version}no checkout: {Path(codec_s2st.__file__).parent}\n", ""

    try:
        commit = _git(root, "rev-parse", "HEAD")
        status = _git(root, "status", "--porcelain")
        changes = _git(root, "diff", "HEAD")
    except (OSError, subprocess.CalledProcessError) as ex:
        reason = (getattr(ex, "stderr", None) or str(ex)).strip().splitlines()[0]

        return f"{version}checkout: {root}\nits commit could not be read: {reason}\n", ""

    return f"{version}checkout: {root}\ncommit: {commit}{status and 'changed:'}\n{status}", changes


def describe_packages() -> str:
    """Returns a line for Python and one for each package, ``name==version``."""
    lines = {f"{item.metadata['Name']}=={item.version}" for item in distributions()}

    return "\n".join(
        [f"# Python {platform.python_version()} on {platform.platform()}", *sorted(lines, key=str.lower), ""]
    )


def named_cards(config: object, cards: Iterable[CardEntry]) -> list[CardEntry]:
    """Returns the cards that a configuration names, and those that these name in turn, such as base and tokenizer."""
    known = {card.name: card for card in cards}

    found: dict[str, CardEntry] = {}

    values = list(_texts(config))

    while values:
        value = values.pop()

        card = known.get(value) or known.get(card_name(value))

        if card is not None and card.name not in found:
            found[card.name] = card

            values += _texts(card.metadata)

    return [found[name] for name in sorted(found)]


def dump_cards(cards: Iterable[CardEntry]) -> str:
    """Returns the cards as YAML documents, each with the file that it comes from."""
    from ruamel.yaml import YAML

    stream = StringIO()

    for card in cards:
        stream.write(f"---\n# {card.file}\n")

        YAML(typ="safe", pure=True).dump(card.metadata, stream)

    return stream.getvalue()


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _git(root: Path, *arguments: str) -> str:
    # A lock on the index would be in the way of whoever works in the checkout.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}

    return subprocess.run(
        ["git", "-C", str(root), *arguments],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        errors="replace",
    ).stdout
