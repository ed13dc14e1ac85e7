"""Reads the values of a YAML mapping by their types; an error names the file, the key and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.yaml_limits import check_size, safe_yaml


def read_yaml(file: Path, kind: str) -> object:
    """Returns what a YAML file holds.

    :param kind: what the file is, for messages.
    :raises UserInputError: it cannot be read, is not YAML, or stands for too much.
    """
    from ruamel.yaml.error import YAMLError

    try:
        content = safe_yaml().load(file.read_bytes())
    except OSError as ex:
        raise UserInputError(f"{kind} '{file}' cannot be read: {ex.strerror}") from None
    except (YAMLError, ValueError) as ex:
        mark = getattr(ex, "problem_mark", None)

        place = "" if mark is None else f" at line {mark.line + 1}"

        problem = getattr(ex, "problem", None)

        raise UserInputError(f"{kind} '{file}' is not valid YAML{place}{f': {problem}' if problem else ''}") from None
    except RecursionError:
        raise UserInputError(f"{kind} '{file}' is nested too deeply") from None

    check_size(content, f"{kind} '{file}'")

    return content


class Fields:
    """The values of a mapping, each of which is asked for by its type."""

    def __init__(self, where: str, content: object, known: Iterable[str], *, path: str = "") -> None:
        """
        :param where: the file, for messages.
        :param known: the keys that the mapping may have.
        :param path: the key of the mapping itself in the file; empty for the file's own mapping.
        :raises UserInputError: ``content`` is no mapping, or has another key; the nearest one is suggested.
        """
        self._where = where
        self._path = path

        if not isinstance(content, Mapping):
            raise self._error(path, "a mapping of keys to values", content)

        self._content = content

        for key in content:
            if key not in (names := list(known)):
                raise unknown_name("key", self._key(str(key)), [self._key(name) for name in names], hint=where)

    def __contains__(self, key: str) -> bool:
        return self._content.get(key) is not None

    def value(self, key: str) -> object:
        """Returns the value as it is; ``None`` if the key is absent."""
        return self._content.get(key)

    def count(self, key: str, default: int, *, minimum: int) -> int:
        value = self.number(key, minimum=minimum)

        return default if value is None else value

    def number(self, key: str, *, minimum: int) -> int | None:
        value = self._content.get(key)

        if value is None:
            return None

        # To Python, true is a number.
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise self.error(key, f"a whole number from {minimum}")

        return value

    def text(self, key: str) -> str | None:
        value = self._content.get(key)

        if value is None:
            return None

        # An account may be a number.
        if isinstance(value, bool) or not isinstance(value, str | int) or not (text := str(value)) or "\n" in text:
            raise self.error(key, "a text of one line")

        return text

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        value = self._content.get(key, default)

        if value not in choices:
            raise self.error(key, " or ".join(choices))

        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._content.get(key)

        if value is None:
            return ()

        if not isinstance(value, list) or not all(
            isinstance(item, str) and item and "\n" not in item for item in value
        ):
            raise self.error(key, "a list of texts of one line")

        return tuple(value)

    def mapping(self, key: str) -> dict[str, str | int | bool]:
        """Returns a mapping of texts to texts, whole numbers, and true or false."""
        value = self._content.get(key)

        if value is None:
            return {}

        if not isinstance(value, dict):
            raise self.error(key, "a mapping of keys to values")

        for name, item in value.items():
            if not isinstance(name, str) or not isinstance(item, str | int) or "\n" in str(item):
                raise self._error(self._key(f"{key}.{name}"), "a text of one line, a whole number, true or false", item)

        return dict(value)

    def place(self, key: str) -> str:
        """Returns where ``key`` stands, for messages."""
        return f"{self._key(key)} in {self._where}"

    def error(self, key: str, allowed: str) -> UserInputError:
        """Returns the error for the value of ``key``, which is not what is allowed."""
        return self._error(self._key(key), allowed, self._content.get(key))

    def _key(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _error(self, key: str, allowed: str, value: object) -> UserInputError:
        shown = str(value).lower() if isinstance(value, bool) else repr(value)

        return UserInputError(f"{self._where}: {key or 'the file'} must be {allowed}, but is {shown}")
