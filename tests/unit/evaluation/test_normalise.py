from __future__ import annotations

import pytest

from codec_s2st.evaluation.normalise import BASIC


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello,   World!\n", "hello world"),
        ("twenty-one", "twenty one"),
        ("Don't, DON’T", "dont dont"),
        ("¿Dónde está el niño?", "dónde está el niño"),
        # One character or two: the same word.
        ("nin\u0303o", "niño"),
        ("5 €/kg", "5 kg"),
        ("?! …", ""),
        ("", ""),
    ],
)
def test_basic(text: str, expected: str) -> None:
    assert BASIC(text) == expected

    # Once is enough.
    assert BASIC(expected) == expected


def test_name_is_versioned() -> None:
    # Scores are compared by it: whoever changes the function changes the number.
    assert BASIC.name == "basic-1"
