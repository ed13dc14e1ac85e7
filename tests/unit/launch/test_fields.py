from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.launch.fields import Fields, read_yaml

KEYS = ("nodes", "name", "kind", "lines", "more")


def fields(**content: object) -> Fields:
    return Fields("x.yaml", content, KEYS)


class TestReadYaml:
    def test_names_the_line(self, tmp_path: Path) -> None:
        file = tmp_path / "x.yaml"

        file.write_text("a: 1\nb: [1\n")

        with pytest.raises(UserInputError, match=r"preset '.*x\.yaml' is not valid YAML at line 3"):
            read_yaml(file, "preset")

    def test_a_key_twice_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "x.yaml"

        file.write_text("a: 1\na: 2\n")

        with pytest.raises(UserInputError, match="not valid YAML"):
            read_yaml(file, "preset")

    def test_objects_are_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "x.yaml"

        file.write_text(f"a: !!python/object/apply:os.mkdir [{tmp_path / 'made'}]\n")

        with pytest.raises(UserInputError, match="not valid YAML"):
            read_yaml(file, "preset")

        assert not tmp_path.joinpath("made").exists()

    @pytest.mark.parametrize("merges", [False, True])
    def test_what_aliases_and_merges_stand_for_is_bounded(self, tmp_path: Path, merges: bool) -> None:
        file = tmp_path / "x.yaml"

        lines = ["a0: &a0 {" + ", ".join(f"k{i}: 1" for i in range(10)) + "}"]

        for i in range(1, 12):
            aliases = ", ".join([f"*a{i - 1}"] * 9)

            value = f"{{<<: [{aliases}]}}" if merges else f"[{aliases}]"

            lines.append(f"a{i}: &a{i} {value}")

        file.write_text("\n".join(lines))

        with pytest.raises(UserInputError, match="more than 100,000 values"):
            read_yaml(file, "preset")

    def test_merges_merge(self, tmp_path: Path) -> None:
        file = tmp_path / "x.yaml"

        file.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")

        assert read_yaml(file, "preset") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}

    def test_nesting_is_bounded(self, tmp_path: Path) -> None:
        file = tmp_path / "x.yaml"

        file.write_text("a: " + "[" * 2_000)

        with pytest.raises(UserInputError, match="is nested too deeply"):
            read_yaml(file, "preset")


class TestFields:
    def test_absent_values_are_the_defaults(self) -> None:
        values = fields(name=None)

        assert values.count("nodes", 3, minimum=1) == 3
        assert values.number("nodes", minimum=1) is None
        assert values.text("name") is None
        assert values.choice("kind", ("a", "b"), "b") == "b"
        assert values.texts("lines") == ()
        assert values.mapping("more") == {}

    def test_values_have_their_types(self) -> None:
        values = fields(nodes=2, name=17, kind="a", lines=["x y"], more={"a": 1, "b": True, "c": "d"})

        assert values.count("nodes", 1, minimum=1) == 2
        assert values.text("name") == "17"
        assert values.choice("kind", ("a", "b"), "b") == "a"
        assert values.texts("lines") == ("x y",)
        assert values.mapping("more") == {"a": 1, "b": True, "c": "d"}

    def test_an_unknown_key_suggests_the_nearest(self) -> None:
        with pytest.raises(UserInputError, match=r"unknown key 'a\.nodse': did you mean 'a\.nodes'\? \(x\.yaml\)"):
            Fields("x.yaml", {"nodse": 1}, KEYS, path="a")

    @pytest.mark.parametrize("content", [None, [1], "text"])
    def test_content_must_be_a_mapping(self, content: object) -> None:
        with pytest.raises(UserInputError, match=r"x\.yaml: the file must be a mapping of keys to values, but is "):
            Fields("x.yaml", content, KEYS)

    @pytest.mark.parametrize("value", [0, -1, "two", 1.5, True, [1]])
    def test_count_refuses(self, value: object) -> None:
        with pytest.raises(UserInputError, match=r"x\.yaml: nodes must be a whole number from 1, but is "):
            fields(nodes=value).count("nodes", 1, minimum=1)

    @pytest.mark.parametrize("value", ["", "a\nb", True, 1.5, []])
    def test_text_refuses(self, value: object) -> None:
        with pytest.raises(UserInputError, match="name must be a text of one line"):
            fields(name=value).text("name")

    def test_choice_says_what_is_allowed(self) -> None:
        with pytest.raises(UserInputError, match="kind must be a or b, but is 'c'"):
            fields(kind="c").choice("kind", ("a", "b"), "b")

    @pytest.mark.parametrize("value", ["x", [1], ["a\nb"], [""], {}])
    def test_texts_refuses(self, value: object) -> None:
        with pytest.raises(UserInputError, match="lines must be a list of texts of one line"):
            fields(lines=value).texts("lines")

    def test_mapping_names_the_key_within(self) -> None:
        with pytest.raises(UserInputError, match=r"more\.a must be a text of one line, a whole number, true or false"):
            fields(more={"a": [1]}).mapping("more")
