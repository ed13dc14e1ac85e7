from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import ModuleType

import pytest

from codec_s2st import __version__, cli
from codec_s2st.cli import COMMANDS, Command, main
from codec_s2st.errors import DivergedError, UserInputError


@pytest.fixture
def add_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Sequence[str]], int]], None]:
    """Makes a function the command ``probe``."""

    def add(function: Callable[[Sequence[str]], int]) -> None:
        module = ModuleType("codec_s2st_probe")

        module.__dict__["main"] = function

        monkeypatch.setitem(sys.modules, "codec_s2st_probe", module)
        monkeypatch.setitem(COMMANDS, "probe", Command("codec_s2st_probe:main", "a command of this test"))

    return add


class TestMain:
    @pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"]])
    def test_help_lists_every_command_on_a_line(self, args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(args) == 0

        lines = capsys.readouterr().out.splitlines()

        for name, command in COMMANDS.items():
            assert any(line.split(maxsplit=1) == [name, command.help] for line in lines), name

    def test_no_command_prints_the_help_and_returns_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 2

        assert "usage: codec-s2st" in capsys.readouterr().out

    def test_version_works(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--version"]) == 0

        assert capsys.readouterr().out == f"codec-s2st {__version__}\n"

    def test_unknown_command_suggests_the_nearest(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["tokenise"]) == 2

        output = capsys.readouterr()

        assert output.out == ""
        assert output.err == (
            "codec-s2st: error: unknown command 'tokenise': did you mean 'tokenize'? (see: codec-s2st --help)\n"
        )

    def test_passes_the_arguments_and_the_exit_code(self, add_command: Callable[..., None]) -> None:
        seen: list[str] = []

        def probe(argv: Sequence[str]) -> int:
            seen.extend(argv)

            return 85

        add_command(probe)

        assert main(["probe", "a", "--b"]) == 85

        assert seen == ["a", "--b"]

    @pytest.mark.parametrize(
        ("error", "code", "line"),
        [
            (UserInputError("no such file", hint="try x"), 2, "no such file (try x)"),
            (DivergedError("the loss is NaN"), 3, "the loss is NaN"),
            (KeyboardInterrupt(), 130, "interrupted"),
            (PermissionError(13, "Permission denied", "/root/out.wav"), 2, "/root/out.wav: Permission denied"),
            (ZeroDivisionError("oh"), 1, "unexpected ZeroDivisionError: oh (set CODEC_S2ST_TRACE=1"),
        ],
    )
    def test_an_error_is_one_line(
        self,
        add_command: Callable[..., None],
        capsys: pytest.CaptureFixture[str],
        error: BaseException,
        code: int,
        line: str,
    ) -> None:
        def probe(argv: Sequence[str]) -> int:
            raise error

        add_command(probe)

        assert main(["probe"]) == code

        err = capsys.readouterr().err

        assert err.startswith(f"codec-s2st: error: {line}")
        assert err.count("\n") == 1

    def test_trace_variable_adds_the_stack_trace(
        self, add_command: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def probe(argv: Sequence[str]) -> int:
            raise UserInputError("bad")

        add_command(probe)

        monkeypatch.setenv(cli.TRACE_VARIABLE, "1")

        assert main(["probe"]) == 2

        err = capsys.readouterr().err

        assert "Traceback" in err
        assert err.endswith("codec-s2st: error: bad\n")


class TestCommands:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_the_target_exists(self, name: str) -> None:
        module, _, function = COMMANDS[name].target.partition(":")

        assert find_spec(module) is not None
        assert function.startswith("main")

    @pytest.mark.parametrize("name", COMMANDS)
    def test_help_works(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as exc_info:
            main([name, "--help"])

        assert exc_info.value.code == 0

        assert f"usage: codec-s2st {name}" in capsys.readouterr().out


class TestStartUp:
    def test_help_imports_nothing_heavy(self) -> None:
        code = (
            "import sys; from codec_s2st.cli import main; main(['--help'])\n"
            "heavy = {'torch', 'fairseq2', 'fairseq2n', 'numpy', 'polars', 'pyarrow', 'transformers', 'soundfile'}\n"
            "print('HEAVY', sorted(heavy & sys.modules.keys()))"
        )

        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert result.stdout.splitlines()[-1] == "HEAVY []"

    def test_help_takes_less_than_a_second(self) -> None:
        # The shortest of three: what is measured is us and not who else is busy on this machine.
        def measure() -> float:
            begin = time.perf_counter()

            subprocess.run([sys.executable, "-m", "codec_s2st", "--help"], capture_output=True, check=True)

            return time.perf_counter() - begin

        assert min(measure() for _ in range(3)) < 1.0

    def test_a_reader_that_goes_away_is_no_error(self) -> None:
        command = f"{sys.executable} -m codec_s2st ls | true"

        result = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)

        assert (result.returncode, result.stderr) == (0, "")
