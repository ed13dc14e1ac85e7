from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
from fairseq2.error import OperationalError
from fairseq2.recipe import cli

from codec_s2st.errors import UserInputError
from codec_s2st.recipes.common.arguments import check_arguments
from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.tokenize.recipe import TokenizeRecipe

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{idx}: &a{idx} [{', '.join([f'*a{idx - 1}'] * 9)}]\n" for idx in range(1, 30)
)


class TestCheckArguments:
    def test_what_is_right_passes(self, tmp_path: Path) -> None:
        file = tmp_path / "config.yaml"

        file.write_text("a: &x {b: 1}\nc: [*x, *x]\n")

        args = [str(tmp_path), "--config-file", str(file), "--config", "a=1", "del:b", "--config", "c=[1]", "--no-rich"]

        assert check_arguments("probe", args) == tmp_path

        assert check_arguments("probe", ["--dump-config"]) is None
        assert check_arguments("probe", ["--help"]) is None

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ([], "the output folder OUTPUT_DIR is missing (see: probe --help)"),
            ([""], "the path '' is empty"),
            (["out", "--nope"], "unrecognized arguments: --nope"),
            (["out", "--config", "a"], "--config 'a' is not of the form KEY=VALUE"),
            (["out", "--config", "a=["], "--config 'a=[': the value is not YAML"),
            (["out", "--config", "a=!!python/name:os.system"], "the value is not YAML"),
            (["out", "--config", "lora.targets=_proj$"], "'lora.targets' must be a list, but is '_proj$'"),
            (["out", "--config", "lora={rank: 2, targets: q}"], "(write lora.targets=[q])"),
            (["out", "--config", "common.assets.extra_paths=/"], "'common.assets.extra_paths' must be a list"),
            (["file"], "'file' is a file, but a run needs a folder"),
            (["out", "--config-file", "absent"], "configuration file 'absent' does not exist"),
            (["out", "--config-file", "."], "configuration file '.' does not exist"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        Path("file").touch()

        with pytest.raises(UserInputError) as info:
            check_arguments("probe", args)

        assert message in str(info.value)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "must be a mapping of keys to values"),
            (b"- a\n", "must be a mapping of keys to values"),
            (b"a: [1\n", "is not valid YAML at line 2"),
            (b"a: 1\na: 2\n", "is not valid YAML at line 2"),
            (b"\xff\xfe\x00x: \x80", "is not valid YAML"),
            (b"a: \x98\n", "is not valid YAML"),
            (b"a: !!python/object/apply:os.system [x]\n", "is not valid YAML at line 1"),
            (BOMB.encode(), "stands for more than 100,000 values"),
            (b"a: &a [*a]\n", "stands for more than 100,000 values"),
        ],
    )
    def test_a_file_that_is_no_configuration_is_named(self, content: bytes, message: str, tmp_path: Path) -> None:
        file = tmp_path / "x.yaml"

        file.write_bytes(content)

        with pytest.raises(UserInputError, match=message) as info:
            check_arguments("probe", ["out", "--config-file", str(file)])

        assert str(file) in str(info.value)


class TestRecipeMain:
    def test_a_mistake_is_one_line(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert recipe_main(TokenizeRecipe(), [str(tmp_path / "out"), "--nope"]) == 2

        error = capfd.readouterr().err

        assert "unrecognized arguments: --nope (see: python -m codec_s2st.recipes.tokenize --help)" in error
        assert error.count("\n") == 1

        assert not (tmp_path / "out").exists()

    def test_an_interrupt_is_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        def interrupt(recipe: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(cli, "main", interrupt)

        assert recipe_main(TokenizeRecipe(), [str(tmp_path)]) == 130

        assert capfd.readouterr().err.endswith(": error: interrupted (the same command again goes on with the run)\n")

    def test_a_full_disk_names_the_folder_and_prints_no_trace(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        class FullDisk(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                try:
                    raise OSError(errno.ENOSPC, "No space left on device")
                except OSError:
                    self.handleError(record)

        handler = FullDisk()

        def fail(recipe: object) -> None:
            logging.getLogger("fairseq2").error("Recipe failed.")

            raise OperationalError("failed") from OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(cli, "main", fail)

        logging.getLogger("fairseq2").addHandler(handler)

        try:
            assert recipe_main(TokenizeRecipe(), [str(tmp_path)]) == 1
        finally:
            logging.getLogger("fairseq2").removeHandler(handler)

        error = capfd.readouterr().err

        assert f"{tmp_path} cannot be written: No space left on device (make room, and run it again)" in error
        assert "Traceback" not in error

        assert logging.raiseExceptions
