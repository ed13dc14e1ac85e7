"""Which environment variables are secrets, by their names, and texts without the values of these."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STRUCK: Final = "***"

_SECRET_NAME: Final = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|(^|_)(API)?KEY$")

_MIN_SECRET_LENGTH: Final = 6
"""Shorter values, such as `1` or `false`, are switches, and would be struck out of every number."""


def is_secret_name(name: str) -> bool:
    """Returns whether a variable of that name holds a secret, as ``HF_TOKEN`` or ``WANDB_API_KEY`` do."""
    return _SECRET_NAME.search(name.upper()) is not None


@dataclass(frozen=True)
class Secrets:
    """The values of an environment's variables that are secrets by their names."""

    values: Mapping[str, str]
    """The value of each variable; the longest value first, of which another may be a part."""

    @staticmethod
    def of(environment: Mapping[str, str] = os.environ) -> Secrets:
        values = {
            name: value
            for name, value in environment.items()
            if is_secret_name(name) and len(value) >= _MIN_SECRET_LENGTH
        }

        return Secrets(dict(sorted(values.items(), key=lambda item: len(item[1]), reverse=True)))

    def find(self, text: str) -> str | None:
        """Returns the name of a variable whose value is in ``text``, if there is one."""
        return next((name for name, value in self.values.items() if value in text), None)

    def strike(self, text: str) -> str:
        """Returns ``text`` with :data:`STRUCK` for every value."""
        for value in self.values.values():
            text = text.replace(value, STRUCK)

        return text
