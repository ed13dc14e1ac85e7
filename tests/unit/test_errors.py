from __future__ import annotations

import pytest

from codec_s2st.errors import CodecS2STError, DivergedError, UserInputError, unknown_name


class TestCodecS2STError:
    def test_str_is_one_line_and_ends_with_the_hint(self) -> None:
        ex = CodecS2STError("a file\n  is gone", hint="run: make setup")

        assert str(ex) == "a file is gone (run: make setup)"

    def test_str_works_when_there_is_no_hint(self) -> None:
        assert str(CodecS2STError("gone")) == "gone"

    def test_exit_codes_are_the_documented_ones(self) -> None:
        assert (CodecS2STError.exit_code, UserInputError.exit_code, DivergedError.exit_code) == (1, 2, 3)


class TestUnknownName:
    def test_suggests_the_nearest_name(self) -> None:
        assert "did you mean 'demo/joint'?" in str(unknown_name("preset", "demo/jont", ["demo/joint", "demo/text"]))

    @pytest.mark.parametrize(("known", "advice"), [(["b", "a"], "known: a, b"), ([], "known: none")])
    def test_lists_what_is_known_when_nothing_is_near(self, known: list[str], advice: str) -> None:
        assert str(unknown_name("card", "xyzzy", known)) == f"unknown card 'xyzzy': {advice}"

    def test_counts_what_is_known_when_the_list_is_long(self) -> None:
        assert str(unknown_name("card", "?", [f"card{i}" for i in range(21)])) == "unknown card '?': 21 are known"
