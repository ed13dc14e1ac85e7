from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from fairseq2.assets import AssetCardError, AssetNotFoundError
from fairseq2.checkpoint import CheckpointError
from fairseq2.composition import ExtensionError
from fairseq2.data.tokenizers import TokenizerNotKnownError
from fairseq2.error import OperationalError
from fairseq2.model_checkpoint import CorruptModelCheckpointError
from fairseq2.models import ModelNotKnownError
from fairseq2.recipe.error import MinimumLossScaleReachedError, RecipeConfigParseError, RecipeError
from fairseq2.runtime.dependency import get_dependency_resolver
from fairseq2.utils.structured import StructureError, ValueConverter
from fairseq2.utils.validation import ValidationError

from codec_s2st.environment import find_extension_problems
from codec_s2st.errors import UserInputError
from codec_s2st.explain import explain


@dataclass(kw_only=True)
class InnerConfig:
    c: int = 0


@dataclass(kw_only=True)
class OuterConfig:
    b: InnerConfig = field(default_factory=InnerConfig)


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

    def test_a_full_disk_is_the_machines_whatever_the_path(self) -> None:
        error = explain(OSError(28, "No space left on device", "/x/out.wav"))

        assert (str(error), error.exit_code) == ("/x/out.wav: No space left on device", 1)

    def test_what_an_optimizer_refuses_is_the_users(self) -> None:
        with pytest.raises(ValueError) as info:
            torch.optim.AdamW([torch.zeros(1)], lr=-1.0)

        error = explain(info.value)

        assert (str(error), error.exit_code) == ("`optimizer.config` is not valid: Invalid learning rate: -1.0", 2)

    def test_a_loop_of_links_is_the_users(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")

        with pytest.raises((RuntimeError, OSError)) as info:
            (tmp_path / "loop").resolve(strict=True)

        error = explain(info.value)

        assert str(tmp_path / "loop") in str(error)
        assert error.exit_code == 2

    def test_an_operational_error_is_the_os_error_below(self) -> None:
        error = explain(caused_by(OperationalError("failed"), FileNotFoundError(2, "No such file or directory", "/y")))

        assert str(error) == "/y: No such file or directory"

    @pytest.mark.parametrize("kls", [AssetNotFoundError, ModelNotKnownError, TokenizerNotKnownError])
    @pytest.mark.parametrize("prefix", ["", "codec_s2st_"])
    def test_an_unknown_card_suggests_the_nearest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kls: type[Exception], prefix: str
    ) -> None:
        tmp_path.joinpath("card.yaml").write_text("name: codec_s2st_some_card_of_mine\n")

        monkeypatch.setenv("FAIRSEQ2_USER_ASSET_DIR", str(tmp_path))

        error = explain(kls(f"{prefix}some_card_of_min"))

        assert str(error) == (
            f"unknown asset card '{prefix}some_card_of_min': did you mean '{prefix}some_card_of_mine'? "
            "(see: codec-s2st ls --kind cards)"
        )
        assert error.exit_code == 2

    def test_a_faulty_card_is_the_users(self) -> None:
        error = explain(AssetCardError("mine", "mine asset card does not have a field named x."))

        assert (str(error), error.exit_code) == ("mine asset card does not have a field named x", 2)

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("b.nope=3", "config key 'b.nope' does not exist (--dump-config prints all keys there are)"),
            ("b.c=abc", "config key 'b.c' has a wrong value: invalid literal for int() with base 10: 'abc'"),
        ],
    )
    def test_a_config_error_names_the_key(self, override: str, message: str) -> None:
        key, _, value = override.rpartition("=")

        with pytest.raises(StructureError) as exc_info:
            get_dependency_resolver().resolve(ValueConverter).structure({"b": {key[2:]: value}}, OuterConfig)

        error = explain(caused_by(RecipeConfigParseError("cannot be structured"), exc_info.value))

        assert (str(error), error.exit_code) == (message, 2)

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (RecipeError("wrong"), 2),
            (ValidationError("wrong"), 2),
            (MinimumLossScaleReachedError(3), 3),
            (CheckpointError(1, "model", "gone"), 1),
        ],
    )
    def test_the_exit_code_says_whose_fault_it_is(self, error: Exception, code: int) -> None:
        assert explain(error).exit_code == code

    def test_a_damaged_checkpoint_is_named_and_no_advice_of_torchs_is_given(self) -> None:
        message = "Re-running `torch.load` with `weights_only` set to `False` will likely succeed"

        error = explain(CorruptModelCheckpointError(Path("run/model.pt"), message))

        assert str(error).startswith("run/model.pt is damaged, cut short, or holds more than tensors (")

        assert "weights_only" not in str(error) and error.exit_code == 1

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


@pytest.mark.parametrize(
    "text",
    [
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:538] Read error [127.0.0.1]:1: Connection reset by peer",
        "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:93, remote process exited\nncclRemoteError",
    ],
)
def test_lost_rank_is_told(text: str) -> None:
    error = explain(RuntimeError(text))

    assert error.exit_code == 1 and "another rank cannot be reached any more: " in str(error)

    assert "\n" not in str(error)


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
