"""``codec-s2st ls`` and ``codec-s2st cp``: what cards and presets there are, and a copy of one to start from."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

from codec_s2st.arguments import CommandParser, path_argument
from codec_s2st.cards import CardEntry, duplicate_cards, read_cards, well_known_dirs
from codec_s2st.errors import CodecS2STError, UserInputError, unknown_name
from codec_s2st.share import assets_dir, experiments_dir, recipes_dir, slurm_dir


def main_ls(argv: Sequence[str]) -> int:
    """Lists our cards, those of the well-known folders, and our presets, with the file each comes from."""
    parser = CommandParser(prog="codec-s2st ls", description="List asset cards and presets with their files.")

    parser.add_argument("--kind", choices=["cards", "presets"], help="list only these")

    args = parser.parse_args(argv)

    if args.kind != "presets":
        _print_section("cards", [(card.kind, card.name, card.file) for card in list_cards()])

    if args.kind is None:
        print()

    if args.kind != "cards":
        _print_section("presets", [("", name, file) for name, file in list_presets().items()])

    return 0


def main_cp(argv: Sequence[str]) -> int:
    """Copies a preset to a new file."""
    parser = CommandParser(prog="codec-s2st cp", description="Copy a preset to a file of your own.")

    parser.add_argument("preset", metavar="PRESET", help="e.g. cpt/demo/joint; see `codec-s2st ls --kind presets`")
    parser.add_argument("file", metavar="FILE", type=path_argument, help="the new file, or an existing folder")

    args = parser.parse_args(argv)

    presets = list_presets()

    source = presets.get(args.preset)
    if source is None:
        raise unknown_name("preset", args.preset, presets, hint="see: codec-s2st ls --kind presets")

    target = args.file / source.name if args.file.is_dir() else args.file

    copy_preset(source, target)

    print(target)

    return 0


def list_cards() -> list[CardEntry]:
    """Returns our cards and those of the well-known folders.

    :raises UserInputError: if a card is faulty, or two have the same name; the file or both files are named.
    """
    cards = [card for folder in (assets_dir(), *well_known_dirs()) for card in read_cards(folder)]

    for first, second in duplicate_cards(cards):
        raise UserInputError(
            f"two asset cards are named '{first.name}', one in {first.file} and one in {second.file}",
            hint="rename or remove one of them",
        )

    return sorted(cards, key=lambda card: (card.kind, card.name))


def list_presets() -> dict[str, Path]:
    """Returns the file of each preset: ``<recipe>/<preset>`` is a run preset, ``slurm/<name>`` a launch preset.

    ``experiments/<name>`` is an experiment.
    """
    output = {}

    roots = ((recipes_dir(), ""), (experiments_dir(), "experiments/"), (slurm_dir(), "slurm/"))

    for root, prefix in roots:
        for path in sorted(root.rglob("*.yaml")):
            output[prefix + path.relative_to(root).with_suffix("").as_posix()] = path

    return output


def copy_preset(source: Path, target: Path) -> None:
    """Writes a copy of ``source`` under the name ``target``, at once and as a whole.

    :raises UserInputError: if ``target`` exists, or cannot be written.
    :raises CodecS2STError: the machine failed, e.g. its disk is full.
    """
    content = source.read_bytes()

    temporary = target.with_name(f".{target.name}.{token_hex(4)}.part")

    try:
        try:
            temporary.write_bytes(content)

            # A link, unlike a rename, never replaces a file that is there.
            os.link(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise UserInputError(f"{target} exists", hint="choose another name") from None
    except OSError as ex:
        kind = CodecS2STError if ex.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else UserInputError

        raise kind(f"{target} cannot be written: {ex.strerror}") from ex


def _print_section(title: str, rows: list[tuple[str, str, Path]]) -> None:
    print(f"{title} ({len(rows)})")

    kind_width = max((len(kind) for kind, _, _ in rows), default=0)
    name_width = max((len(name) for _, name, _ in rows), default=0)

    for kind, name, file in rows:
        label = f"{kind:<{kind_width}}  " if kind_width else ""

        print(f"  {label}{name:<{name_width}}  {file}")
