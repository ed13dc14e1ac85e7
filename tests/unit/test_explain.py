from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from fairseq2.assets import AssetCardError, AssetNotFoundError
from fairseq2.composition import ExtensionError
from fairseq2.error import OperationalError

from codec_s2st.environment import find_extension_problems
from codec_s2st.errors import UserInputError
from codec_s2st.explain import explain


def caused_by(ex: BaseException, cause: BaseException) -> BaseException:
    ex.__cause__ = cause

    return ex


class TestExplain:
    def test_our_own_error_comes_through_any_wrapping(self) -> None:
        ours = UserInputError("no such row")

        assert explain(caused_by(RuntimeError("failed"), caused_by(ValueError("x"), ours))) is ours

    def test_an_os_error_is_path_and_reason(self) -> None:
        error = explain(PermissionError(13, "Permission denied", "/x/out.wav"))

        assert (str(error), error.exit_code) == ("/x/out.wav: Permission denied", 2)

    def test_an_os_error_without_a_path_is_the_machines(self) -> None:
        error = explain(OSError(28, "No space left on device"))

        assert (str(error), error.exit_code) == ("No space left on device", 1)

    def test_an_operational_error_is_the_os_error_below(self) -> None:
        error = explain(caused_by(OperationalError("failed"), FileNotFoundError(2, "No such file or directory", "/y")))

        assert str(error) == "/y: No such file or directory"

    def test_an_unknown_card_names_the_list(self) -> None:
        error = explain(AssetNotFoundError("nope"))

        assert str(error) == "asset card 'nope' does not exist (see: codec-s2st ls --kind cards)"
        assert error.exit_code == 2

    def test_a_faulty_card_is_named(self) -> None:
        assert str(explain(AssetCardError("mine", "has no field x."))).startswith("asset card 'mine' is faulty: has no")

    def test_an_extension_error_names_its_file(self, tmp_path: Path) -> None:
        file = tmp_path / "theirs.py"

        file.write_text("\n\nraise ImportError('no foo')\n")

        try:
            exec(compile(file.read_text(), str(file), "exec"))
        except ImportError as ex:
            cause = ex
        else:
            pytest.fail("The module must raise an error.")

        error = explain(caused_by(ExtensionError("theirs:setup", "failed"), cause))

        assert f"the fairseq2 extension theirs:setup fails in {file}:3: ImportError: no foo" in str(error)

    def test_what_nobody_expected_is_one_line_and_says_how_to_see_more(self) -> None:
        error = explain(ValueError("two\nlines"))

        assert str(error).startswith("unexpected ValueError: two lines (set CODEC_S2ST_TRACE=1")
        assert error.exit_code == 1


class TestFindExtensionProblems:
    def test_none_here(self) -> None:
        assert find_extension_problems() == []

    @pytest.mark.parametrize("error", ["RuntimeError", "TypeError"])
    def test_names_package_and_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
        info = tmp_path / "bad_neighbour-1.0.dist-info"

        info.mkdir()
        info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: bad-neighbour\nVersion: 1.0\n")
        info.joinpath("entry_points.txt").write_text("[fairseq2.extension]\nbad = bad_neighbour:setup\n")

        tmp_path.joinpath("bad_neighbour.py").write_text(f"def setup(container):\n    raise {error}('oh no')\n")

        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "bad_neighbour", raising=False)

        importlib.invalidate_caches()

        [problem] = find_extension_problems()

        assert problem.message == (
            "the fairseq2 extension bad_neighbour:setup of the package bad-neighbour fails in "
            f"{tmp_path / 'bad_neighbour.py'}:2: {error}: oh no"
        )
        assert problem.hint == "mend it, or: pip uninstall bad-neighbour"
