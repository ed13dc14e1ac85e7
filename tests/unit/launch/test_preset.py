from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.launch.preset import LaunchPreset, load_preset, preset_names, read_preset
from codec_s2st.share import slurm_dir


def read(**content: object) -> LaunchPreset:
    return read_preset("mine", "mine.yaml", content)


def read_slurm(**content: object) -> LaunchPreset:
    return read(cluster="slurm", time=60, **content)


class TestLoadPreset:
    def test_every_shipped_preset_is_valid(self) -> None:
        assert preset_names() == sorted(file.stem for file in slurm_dir().glob("*.yaml"))

        presets = {name: load_preset(name) for name in preset_names()}

        assert {name: (preset.cluster, preset.num_tasks) for name, preset in presets.items()} == {
            "local": ("local", 1),
            "debug": ("slurm", 1),
            "1x8": ("slurm", 8),
            "4x8": ("slurm", 32),
        }

    def test_takes_the_name_that_ls_prints_and_a_file(self, tmp_path: Path) -> None:
        assert load_preset("slurm/1x8") == load_preset("1x8")

        file = tmp_path / "mine.yaml"

        file.write_text("tasks_per_node: 2\n")

        assert load_preset(str(file)) == LaunchPreset(name="mine", tasks_per_node=2)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("1x88", "unknown launch preset '1x88': did you mean '1x8'?"),
            ("../recipes/cpt/demo", "unknown launch preset"),
            ("pipelines/demo", "unknown launch preset"),
            ("gone.yaml", "launch preset file 'gone.yaml' does not exist"),
        ],
    )
    def test_raises_error_when_there_is_none(self, name: str, message: str) -> None:
        with pytest.raises(UserInputError) as info:
            load_preset(name)

        assert message in str(info.value)

    def test_an_empty_file_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.yaml"

        file.touch()

        with pytest.raises(UserInputError, match="the file must be a mapping"):
            load_preset(str(file))


class TestReadPreset:
    def test_a_task_each_gpu_unless_said(self) -> None:
        assert read_slurm(gpus_per_node=4).tasks_per_node == 4
        assert read_slurm(gpus_per_node=4, tasks_per_node=1).tasks_per_node == 1
        assert read_slurm(gpus_per_node=0).tasks_per_node == 1

    @pytest.mark.parametrize(
        ("value", "minutes"), [(90, 90), ("01:30:00", 90), ("1-00:00:00", 1440), ("0:00:30", 1), ("100:00:01", 6001)]
    )
    def test_time_is_minutes_or_slurms(self, value: object, minutes: int) -> None:
        assert read(cluster="slurm", time=value, save_seconds=1).time_minutes == minutes

    @pytest.mark.parametrize("value", ["30:00", "1 day", 0, -5, "00:00:00", True, 1.5])
    def test_time_of_another_form_is_refused(self, value: object) -> None:
        with pytest.raises(UserInputError, match=r"time must be minutes, or a text \[D-\]HH:MM:SS"):
            read(cluster="slurm", time=value)

    def test_a_job_must_have_a_time_limit(self) -> None:
        with pytest.raises(UserInputError, match=r"mine\.yaml: time must be minutes.*, but is None"):
            read(cluster="slurm")

    def test_saving_must_fit_into_the_time_limit(self) -> None:
        with pytest.raises(UserInputError, match="save_seconds must be less than the time limit, 120 s, but is 120"):
            read(cluster="slurm", time=2, save_seconds=120)

    def test_here_there_is_one_node(self) -> None:
        with pytest.raises(UserInputError, match="nodes must be 1 with cluster: local, but is 2"):
            read(nodes=2)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"cluster": "slrum"}, "cluster must be local or slurm, but is 'slrum'"),
            ({"gpus": 8}, "unknown key 'gpus'"),
            ({"cpu_per_task": 8}, "unknown key 'cpu_per_task': did you mean 'cpus_per_task'?"),
            ({"name": "x"}, "unknown key 'name'"),
            ({"container": {"runtime": "docker", "image": "x"}}, "container.runtime must be pyxis or apptainer"),
            ({"container": {}}, "container.image must be the name or the path of an image"),
            ({"environment": {"A B": "x"}}, "'A B' is no name"),
            ({"environment": {"A": True}}, "quote the value of A"),
        ],
    )
    def test_says_which_key_and_what_is_allowed(self, content: dict[str, object], message: str) -> None:
        with pytest.raises(UserInputError) as info:
            read(**content)

        assert message in str(info.value)

    def test_a_secret_in_the_environment_is_refused_without_showing_it(self) -> None:
        with pytest.raises(UserInputError, match=r"environment\.HF_TOKEN .* is a secret") as info:
            read(environment={"HF_TOKEN": "hf_abcdefgh"})

        assert "hf_abcdefgh" not in str(info.value)

    def test_an_override_changes_what_it_names(self) -> None:
        base = read_slurm(gpus_per_node=8, partition="gpu", environment={"A": "1"})

        preset = read_preset("mine", "x", {"gpus_per_node": 0, "environment": {"B": "2"}}, base=base)

        assert (preset.gpus_per_node, preset.tasks_per_node) == (0, 1)
        assert (preset.partition, preset.environment) == ("gpu", {"A": "1", "B": "2"})
