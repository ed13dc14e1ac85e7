from __future__ import annotations

from dataclasses import fields, is_dataclass

import pytest

from codec_s2st.checkpoints.identity import MAY_DIFFER, MUST_NOT_DIFFER, RunIdentity
from codec_s2st.recipes.codec.config import CodecRecipeConfig
from codec_s2st.recipes.cpt.config import CptConfig


def differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return RunIdentity(config=before).differences(RunIdentity(config=after))


def test_equal_runs_have_none() -> None:
    run = RunIdentity(layout={"ranks": 2}, facts={"data": {"rows": 3}}, config={"a": {"b": [1, 2]}})

    assert run.differences(run) == []


def test_every_difference_is_told_with_its_key() -> None:
    before = RunIdentity(layout={"the number of ranks": 2}, facts={"the data": {"rows": 3}}, config={"a": {"b": [1]}})

    after = RunIdentity(layout={"the number of ranks": 1}, facts={"the data": {"rows": 4}}, config={"a": {"b": [2]}})

    assert before.differences(after) == [
        "the number of ranks is 2 in the checkpoint, 1 now",
        "the data.rows is 3 in the checkpoint, 4 now",
        "`a.b` is [1] in the checkpoint, [2] now",
    ]


def test_absent_facts_differ_and_absent_keys_do_not() -> None:
    assert RunIdentity(facts={"a": 1}).differences(RunIdentity()) == ["a is 1 in the checkpoint, absent now"]

    assert differences({"a": {"old": 1, "b": 2}}, {"a": {"new": 1, "b": 2}}) == []


def test_section_that_has_become_a_value_differs() -> None:
    assert differences({"a": {"b": 1}}, {"a": None}) == ['`a` is {"b": 1} in the checkpoint, null now']


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("regime.num_steps", True),
        ("common.torch.num_threads", True),
        ("common.seed", False),
        ("common.seeds", True),
        ("dataset.config_overrides.shards", True),
        ("datasets", False),
        ("data.max_valid_examples", True),
        ("data.num_workers", True),
        ("data.shuffle_gib", False),
        ("data.mixture", False),
        ("model.compile", True),
        ("model.config_overrides", False),
        ("trainer.max_grad_norm", False),
    ],
)
def test_what_may_differ(key: str, allowed: bool) -> None:
    def tree(value: object) -> dict[str, object]:
        for name in reversed(key.split(".")):
            value = {name: value}

        assert isinstance(value, dict)

        return value

    assert (differences(tree(1), tree(2)) == []) == allowed


def test_long_values_are_cut() -> None:
    (line,) = differences({"a": "x" * 1000}, {"a": "y"})

    assert len(line) < 300


@pytest.mark.parametrize("key", [*MAY_DIFFER, *MUST_NOT_DIFFER])
def test_keys_are_those_of_a_recipe(key: str) -> None:
    def has(config: object, names: list[str]) -> bool:
        if not names:
            return True

        known = is_dataclass(config) and names[0] in {field.name for field in fields(config)}

        return known and has(getattr(config, names[0]), names[1:])

    assert any(has(config, key.split(".")) for config in (CptConfig(), CodecRecipeConfig()))
