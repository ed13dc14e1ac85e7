"""How much a YAML file may stand for: by its aliases, a few lines can stand for billions of values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from codec_s2st.errors import UserInputError

if TYPE_CHECKING:
    from ruamel.yaml import YAML

_MAX_VALUES: Final = 100_000
"""A configuration, or a card, has some hundred values."""


def safe_yaml() -> YAML:
    """Returns a reader of plain values, which refuses mappings that merges (``<<``) make too large.

    These are copied while the file is read, before :func:`check_size` could see them.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import ConstructorError, SafeConstructor

    class Constructor(SafeConstructor):
        def flatten_mapping(self, node: Any) -> Any:
            merged = super().flatten_mapping(node)

            if len(node.value) > _MAX_VALUES:
                raise ConstructorError(None, None, f"merges make more than {_MAX_VALUES:,} values", node.start_mark)

            return merged

    yaml = YAML(typ="safe", pure=True)

    yaml.Constructor = Constructor

    return yaml


def check_size(content: object, where: str) -> None:
    """
    :param content: What a YAML file was read as.
    :param where: What an error calls the file.

    :raises UserInputError: ``content`` holds too many values, or itself, once its aliases are written out.
    """
    sizes: dict[int, float] = {}

    def size_of(value: object) -> float:
        if isinstance(value, Mapping):
            children = list(value.values())
        elif isinstance(value, list | tuple | set):
            children = list(value)
        else:
            return 1

        if id(value) not in sizes:
            # Stays where the value is met again inside itself.
            sizes[id(value)] = math.inf

            sizes[id(value)] = 1 + sum(size_of(child) for child in children)

        return sizes[id(value)]

    try:
        is_small = size_of(content) <= _MAX_VALUES
    except RecursionError:
        is_small = False

    if not is_small:
        raise UserInputError(f"{where} stands for more than {_MAX_VALUES:,} values", hint="write out its YAML aliases")
