from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.launch.calls import Call, recipe_call, refuse_secret, resolve_config, resolve_configs
from codec_s2st.launch.record import new_record
from codec_s2st.share import recipes_dir


class TestRecipeCall:
    def test_arguments_are_those_of_the_module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        call = recipe_call(["cpt", "./out/", "--preset", "demo/joint", "--config", "regime.num_steps=1", "data.x=out"])

        assert call == Call(
            name="cpt",
            out=tmp_path / "out",
            arguments=(
                *("--config-file", str(recipes_dir() / "cpt" / "demo" / "joint.yaml")),
                *("--config", "regime.num_steps=1", "data.x=out"),
            ),
        )

        record = new_record(tmp_path / "launch")

        assert call.command(record) == [
            *("-m", "codec_s2st.recipes.cpt", str(tmp_path / "out"), "--no-rich"),
            *("--config-file", str(record.folder / "config.yaml")),
        ]

    def test_translate_takes_those_of_its_module(self) -> None:
        call = recipe_call(["translate", "/out/", "--config", "task=s2st"])

        assert (call.out, call.arguments) == (Path("/out"), ("--config", "task=s2st"))

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([], "what is to be launched is missing"),
            (["ctp", "out"], "unknown recipe 'ctp': did you mean 'cpt'?"),
            (["cpt"], "the output folder OUT is missing"),
            (["translate"], "the output folder OUTPUT_DIR is missing"),
            (["cpt", "--dump-config"], "--dump-config launches nothing"),
            (["cpt", "out", "--preset", "demo/jont"], "unknown preset of cpt 'demo/jont'"),
            (["cpt", "out", "--config", "x"], "'x' is not of the form KEY=VALUE"),
            (["cpt", "out", "--config-file", "gone.yaml"], "'gone.yaml' does not exist"),
        ],
    )
    def test_raises_error_for_what_the_recipe_would_refuse(self, argv: list[str], message: str) -> None:
        with pytest.raises(UserInputError) as info:
            recipe_call(argv)

        assert message in str(info.value)


class TestFingerprint:
    def test_depends_on_the_content_of_the_file_and_not_on_its_place(self, tmp_path: Path) -> None:
        prints = []

        for name, content in (("a", "seed: 1\n"), ("b", "seed: 1\n"), ("c", "seed: 2\n")):
            file = tmp_path / f"{name}.yaml"

            file.write_text(content)

            prints.append(recipe_call(["cpt", "out", "--config-file", str(file)]).fingerprint())

        assert prints[0] == prints[1] != prints[2]

    def test_depends_on_folder_and_arguments(self) -> None:
        calls = [["cpt", "a"], ["s2st", "a"], ["cpt", "b"], ["cpt", "a", "--config", "x=1"]]

        assert len({recipe_call(call).fingerprint() for call in calls}) == 4


class TestResolveConfig:
    def test_is_whole(self) -> None:
        config = resolve_config(recipe_call(["cpt", "out", "--preset", "demo/joint", "--config", "regime.num_steps=7"]))

        content = YAML(typ="safe").load(config)

        assert content["regime"]["num_steps"] == 7 and content["init"] == "codec_s2st_demo_text_lm"
        assert content["gang"]["timeout"] > 0

    def test_many_are_resolved_in_order_and_the_one_that_is_refused_is_named(self) -> None:
        calls = [
            recipe_call(["cpt", "a", "--preset", "demo/joint"]),
            recipe_call(["evaluate", "b", "--preset", "demo", "--manifest", "nowhere"]),
        ]

        cpt, evaluation = (YAML(typ="safe").load(config) for config in resolve_configs(calls))

        assert cpt["num_streams"] == 4 and evaluation["manifest"].endswith("nowhere")

        wrong = recipe_call(["s2st", "c", "--preset", "demo", "--config", "nokey=1"])

        with pytest.raises(UserInputError, match=r"^s2st: .*nokey"):
            resolve_configs([*calls, wrong])

    @pytest.mark.parametrize(
        ("stderr", "code", "kind", "message"),
        [
            (
                "INFO: x\ncpt/__main__.py: error: no such key 'a' (see b)\n\n",
                2,
                UserInputError,
                "no such key 'a' (see b)",
            ),
            ("Killed\n", 137, CodecS2STError, "Killed"),
            ("", 1, CodecS2STError, "no message"),
        ],
    )
    def test_says_what_the_recipe_refuses(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        stderr: str,
        code: int,
        kind: type[CodecS2STError],
        message: str,
    ) -> None:
        python = tmp_path / "python"

        python.write_text(f"#!/bin/sh\nprintf '%s' {shlex.quote(stderr)} >&2\nexit {code}\n")

        python.chmod(0o755)

        monkeypatch.setattr(sys, "executable", str(python))

        with pytest.raises(kind) as info:
            resolve_config(recipe_call(["cpt", "out"]))

        assert str(info.value) == f"cpt: {message}"


def test_a_secret_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")

    refuse_secret("init: x", "the configuration")

    with pytest.raises(UserInputError, match=r"the configuration holds the value of .* HF_TOKEN") as info:
        refuse_secret("init: hf_abcdefgh", "the configuration")

    assert "hf_abcdefgh" not in str(info.value)
