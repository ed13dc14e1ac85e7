"""What is checked of a recipe's arguments before fairseq2 reads them, whose errors there are many lines or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from codec_s2st.arguments import CommandParser, path_argument
from codec_s2st.errors import UserInputError
from codec_s2st.yaml_limits import check_size, safe_yaml

_LISTS: Final = frozenset(
    {"common.assets.extra_paths", "dataset.config_overrides.shards", "lora.targets", "trainable.freeze"}
)
"""Keys whose value is a list of texts. fairseq2 takes one text for the list of its letters, and `/` is a folder."""


def check_arguments(prog: str, argv: Sequence[str]) -> Path | None:
    """Checks the arguments of ``python -m codec_s2st.recipes.<name>``.

    :param prog: the program's name, for messages.
    :returns: the output folder, if one is named.
    :raises UserInputError: an argument is unknown or missing, the configuration file is none, an override is not
        ``KEY=VALUE``, or there is a file where the folder of the run would be.
    """
    parser = CommandParser(prog=prog, add_help=False)

    parser.add_argument("out", nargs="?", type=path_argument)
    parser.add_argument("--config-file", nargs="?", type=path_argument)
    parser.add_argument("--config", nargs="*", action="append", default=[])
    parser.add_argument("--checkpoint-dir", type=path_argument)

    for flag in ("--dump-config", "--no-rich", "--no-exit-on-error", "-h", "--help"):
        parser.add_argument(flag, action="store_true")

    args = parser.parse_args(argv)

    if args.help or args.h:
        return None

    if args.out is None and not args.dump_config:
        raise UserInputError("the output folder OUTPUT_DIR is missing", hint=f"see: {prog} --help")

    for group in args.config:
        for override in group:
            check_override(override)

    if args.config_file is not None:
        _check_config_file(args.config_file)

    out: Path | None = args.out

    if out is not None and out.exists() and not out.is_dir():
        raise UserInputError(f"'{out}' is a file, but a run needs a folder", hint="name another one")

    return out


def check_override(override: str) -> None:
    """
    :raises UserInputError: ``override`` is not of the form ``KEY=VALUE`` or ``del:KEY``.
    """
    from ruamel.yaml.error import YAMLError

    if override.startswith("del:"):
        return

    key, separator, value = override.partition("=")

    if not separator or not key.strip():
        raise UserInputError(f"--config '{override}' is not of the form KEY=VALUE")

    try:
        content = safe_yaml().load(value)
    except YAMLError:
        raise UserInputError(f"--config '{override}': the value is not YAML", hint="quote what is text") from None

    check_size(content, f"--config '{key}'")

    _check_lists(content, key.strip())


def _check_config_file(path: Path) -> None:
    from ruamel.yaml.error import YAMLError

    if not path.is_file():
        raise UserInputError(f"configuration file '{path}' does not exist", hint="see: codec-s2st ls --kind presets")

    try:
        content = safe_yaml().load(path.read_bytes())
    except OSError as ex:
        raise UserInputError(f"configuration file '{path}' cannot be read: {ex.strerror}") from None
    except (YAMLError, ValueError) as ex:
        mark = getattr(ex, "problem_mark", None)

        place = "" if mark is None else f" at line {mark.line + 1}"

        problem = getattr(ex, "problem", None) or getattr(ex, "reason", None)

        reason = "" if problem is None else f": {problem}"

        raise UserInputError(f"configuration file '{path}' is not valid YAML{place}{reason}") from None

    # fairseq2 would take the defaults.
    if not isinstance(content, Mapping):
        raise UserInputError(f"configuration file '{path}' must be a mapping of keys to values")

    check_size(content, f"configuration file '{path}'")

    _check_lists(content)


def _check_lists(content: object, key: str = "") -> None:
    """
    :param key: That of ``content``; empty for a whole configuration.

    :raises UserInputError: a value that must be a list is a text.
    """
    if isinstance(content, Mapping):
        for name, value in content.items():
            _check_lists(value, f"{key}.{name}".lstrip("."))

    if key in _LISTS and isinstance(content, str):
        raise UserInputError(f"config key '{key}' must be a list, but is '{content}'", hint=f"write {key}=[{content}]")
