"""Reads the keys of a Hugging Face ``config.json``, one by one and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from codec_s2st.errors import UserInputError


class ConfigJson:
    """The keys of a ``config.json``; every error names the file and the key."""

    def __init__(self, values: Mapping[str, object], file: Path) -> None:
        self.values = values
        self.file = file

    @classmethod
    def read(cls, file: Path) -> ConfigJson:
        """
        :raises UserInputError: there is no such file, or it is no mapping in JSON.
        """
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserInputError(f"{file} does not exist", hint="it comes with the weights") from None
        except ValueError as ex:
            raise UserInputError(f"{file} is not JSON: {ex}") from None

        if not isinstance(values, dict):
            raise UserInputError(f"{file} must hold a mapping, but holds a {type(values).__name__}")

        return cls(values, file)

    @property
    def model_type(self) -> str:
        return str(self.values.get("model_type"))

    def integer(self, key: str, default: int | None = None) -> int:
        """Returns a positive number; a key that is absent or null has the default, if there is one."""
        value = self._get(key, default)

        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserInputError(f"{self.file}: `{key}` must be a positive integer, but is {value!r}")

        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._get(key, default)

        # JSON as Python reads it knows NaN and infinity.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise UserInputError(f"{self.file}: `{key}` must be a positive number, but is {value!r}")

        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._get(key, default)

        if not isinstance(value, bool):
            raise UserInputError(f"{self.file}: `{key}` must be true or false, but is {value!r}")

        return value

    def mapping(self, key: str) -> Mapping[str, object]:
        """Returns a mapping; an absent one is empty."""
        value = self.values.get(key)

        if value is None:
            return {}

        if not isinstance(value, dict):
            raise UserInputError(f"{self.file}: `{key}` must be a mapping, but is {value!r}")

        return value

    def below(self, key: str) -> ConfigJson:
        """Returns the keys of a mapping, for errors that name it."""
        return ConfigJson(self.mapping(key), self.file)

    def require(self, key: str, expected: object, *others: object) -> None:
        """Refuses a value with which the layers would compute something else; an absent key is as expected."""
        value = self.values.get(key, expected)

        if value != expected and value not in others:
            raise UserInputError(f"{self.file}: `{key}` = {value} is not supported, only {expected}")

    def require_all(self, key: str, expected: object) -> None:
        """The same for a list."""
        value = self.values.get(key) or []

        if not isinstance(value, Sequence) or any(item != expected for item in value):
            raise UserInputError(f"{self.file}: `{key}` = {value} is not supported, only {expected}")

    def _get(self, key: str, default: object) -> object:
        value = self.values.get(key)

        if value is None:
            value = default

        if value is None:
            raise UserInputError(f"{self.file} has no key '{key}'")

        return value
