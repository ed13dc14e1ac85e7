from __future__ import annotations

from pathlib import Path

import pytest
import transformers

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.normalise import BASIC, find_normaliser
from codec_s2st.file_hashes import sha256_of_file


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


class TestWhispers:
    def test_they_are_those_of_transformers(self) -> None:
        text = "Mr. Brown's got twenty-two colours [laughs], it's naïve!"

        english = find_normaliser("whisper-english")

        assert english(text) == "mister brown has got 22 colours it is naive"

        assert find_normaliser("whisper-basic")(text) == "mr brown s got twenty two colours it s naïve"

        assert english.name == f"whisper-english (transformers {transformers.__version__}, no spellings)"

    def test_spellings_come_from_a_file_that_the_name_identifies(self, tmp_path: Path) -> None:
        file = tmp_path / "normalizer.json"

        file.write_text('{"colours": "colors"}')

        found = find_normaliser(f"whisper-english:{file}")

        assert found("Colours") == "colors" and f"sha256 {sha256_of_file(file)[:12]})" in found.name

        # The name in a report finds it again, and another file is not taken for it.
        assert find_normaliser(found.name).name == found.name

        file.write_text("{}")

        with pytest.raises(UserInputError, match="is not what there is"):
            find_normaliser(found.name)

    @pytest.mark.parametrize("name", ["whisper-englsh", "whisper-english:", "basic", ""])
    def test_unknown(self, name: str) -> None:
        with pytest.raises(UserInputError, match="unknown normaliser"):
            find_normaliser(name)

    def test_spellings_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="cannot be read"):
            find_normaliser("whisper-english:/nowhere/normalizer.json")

        tmp_path.joinpath("x.json").write_text("[]")

        with pytest.raises(UserInputError, match="are no mapping"):
            find_normaliser(f"whisper-english:{tmp_path / 'x.json'}")
