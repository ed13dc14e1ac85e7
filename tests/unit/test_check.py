from __future__ import annotations

from collections.abc import Iterator

import pytest

from codec_s2st import check
from codec_s2st.check import Finding, find_all, main


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    return {finding.name: finding for finding in find_all()}


class TestFindAll:
    def test_everything_required_is_here(self, findings: dict[str, Finding]) -> None:
        assert [finding for finding in findings.values() if finding.status == "missing"] == []

    def test_reports_what_a_user_asks_for(self, findings: dict[str, Finding]) -> None:
        names = {"python", "torch", "fairseq2", "libsndfile", "espeak-ng", "pocketsphinx", "g++", "GPU", "SLURM"}

        assert names <= findings.keys()

        assert findings["torch"].value == "2.9.1"
        assert findings["fairseq2"].value == "0.8.1"

    def test_a_package_that_is_not_there_is_named_with_its_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        finding = check._check_package("no_such_package")

        assert (finding.status, finding.value) == ("missing", "not installed")
        assert finding.mend is not None
        assert finding.mend.startswith("pip install")

    def test_a_module_that_is_not_there_is_absent(self) -> None:
        finding = check._check_module("espeak-ng", "no_such_module", "espeakng-loader")

        assert finding.status == "absent"
        assert finding.mend is not None
        assert "pip install espeakng-loader" in finding.mend

    def test_a_program_that_is_not_there_is_absent(self) -> None:
        assert check._check_program("SLURM", "no_such_program", "install it").status == "absent"

    @pytest.mark.parametrize(
        ("error", "line"),
        [
            (OSError("fairseq2 requires libsndfile."), "ln -s"),
            (ImportError("libcudart.so.12: cannot open"), "pip install --force-reinstall torch==2.9.1"),
            (ImportError("no module"), "pip install fairseq2==0.8.1"),
        ],
    )
    def test_an_import_that_fails_names_the_line(self, error: BaseException, line: str) -> None:
        assert check._mend_import(error).startswith(line)


class TestMain:
    @pytest.mark.parametrize(("is_required", "code", "status"), [(True, 1, "missing"), (False, 0, "absent")])
    def test_exit_code_tells_what_is_missing(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        is_required: bool,
        code: int,
        status: str,
    ) -> None:
        def fake() -> Iterator[Finding]:
            yield Finding(name="a", value="1.0")
            yield Finding(name="b", value="not found", mend="get b", is_required=is_required)

        monkeypatch.setattr(check, "find_all", fake)

        assert main([]) == code

        lines = [line.split() for line in capsys.readouterr().out.splitlines()]

        assert lines == [["ok", "a", "1.0"], [status, "b", "not", "found"], ["->", "get", "b"]]
