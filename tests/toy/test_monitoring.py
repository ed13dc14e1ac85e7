"""What a tiny run writes to TensorBoard, read back: its names are those of the guide, and each step is there once."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from codec_s2st.cli import main
from tests.toy_runs import Toy, assert_equal_weights, error_line, read_metrics, read_weights

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "monitoring.md"

TEXTS = "uno dos tres casa\nrio sol uno dos\ncasa casa rio\n"

QUESTION = {"context": "uno dos", "choices": [" tres", " casa"], "answer": 0}

PLACEHOLDERS = {
    "<stream>": r"\d+",
    "<task>": r"(s2st|asr-reverse|s2tt)",
    "<group>": "(embedding|backbone|heads|depth|adapters)",
}


@pytest.fixture(scope="module")
def options(toy: Toy) -> list[str]:
    """Everything that can be monitored."""
    (toy.folder / "texts.txt").write_text(TEXTS)

    (toy.folder / "choices.jsonl").write_text(f"{json.dumps(QUESTION)}\n" * 3)

    texts, choices = toy.folder / "texts.txt", toy.folder / "choices.jsonl"

    return [
        f"text_retention={{texts: {texts}, choices: {choices}, language: eng, every_n_steps: 20}}",
        "validation_samples={num_items: 1, every_n_steps: 20}",
        "monitoring.peak_tflops=0.1",
        "regime.validate_every_n_steps=10",
        "regime.num_steps=20",
    ]


@pytest.fixture(scope="module")
def monitored(toy: Toy, options: list[str]) -> Path:
    run = toy.folder / "monitored"

    assert toy.cpt(run, *options) == 0

    return run


def read_events(run: Path, category: str) -> EventAccumulator:
    # Nothing is left out.
    sizes = {"scalars": 0, "images": 0, "audio": 0, "tensors": 0}

    return EventAccumulator(str(run / "tb" / category), size_guidance=sizes).Reload()


def categories(run: Path) -> list[str]:
    folders = {path.parent.relative_to(run / "tb") for path in run.glob("tb/**/events*")}

    return sorted(str(folder) for folder in folders)


def documented() -> list[tuple[str, str]]:
    """Returns the rows of the guide's table: where, and the name."""
    text = GUIDE.read_text()

    return re.findall(r"^\| ([a-z, ]+) \| `([^`]+)` \|", text, re.MULTILINE)


def documented_in(category: str) -> list[str]:
    kind = {"valid/text_retention": "text", "valid/samples": "samples"}.get(category, category.partition("/")[0])

    # The last losses are written by nobody else's recorder.
    everywhere = set() if kind == "run" else {"everywhere"}

    return [name for where, name in documented() if {kind, *everywhere} & set(where.split(", "))]


def pattern_of(name: str) -> str:
    pattern = re.escape(name)

    for placeholder, values in PLACEHOLDERS.items():
        pattern = pattern.replace(placeholder, values)

    return pattern


class TestNames:
    def test_every_folder_is_there(self, monitored: Path) -> None:
        tasks = ["valid/asr-reverse", "valid/s2st", "valid/s2tt"]

        assert categories(monitored) == sorted(["run", "train", *tasks, "valid/samples", "valid/text_retention"])

    def test_what_is_written_is_documented(self, monitored: Path) -> None:
        for category in categories(monitored):
            patterns = [pattern_of(name) for name in documented_in(category)]

            for tag in read_events(monitored, category).Tags()["scalars"]:
                assert any(re.fullmatch(pattern, tag) for pattern in patterns), (category, tag)

    def test_what_is_documented_is_written(self, monitored: Path) -> None:
        for category in categories(monitored):
            tags = read_events(monitored, category).Tags()["scalars"]

            # A task that is heard alone has no text.
            for name in documented_in(category):
                if category != "valid/s2st" or not name.endswith("/text"):
                    assert any(re.fullmatch(pattern_of(name), tag) for tag in tags), (category, name)

    def test_jsonl_has_the_same_names(self, monitored: Path) -> None:
        for category in categories(monitored):
            if category != "run":
                lines = (monitored / "metrics" / f"{category}.jsonl").read_text().splitlines()

                names = {name for line in lines for name in json.loads(line)} - {"Time", "Step"}

                assert names == set(read_events(monitored, category).Tags()["scalars"])


class TestValues:
    def test_shares_are_shares(self, monitored: Path) -> None:
        for values in read_metrics(monitored).values():
            for name, value in values.items():
                if name.startswith(("accuracy/", "codes/data_use", "codes/predicted_use", "weights/update_ratio")):
                    assert 0 <= value <= 1, name

    def test_epochs_grow_as_rows_are_read(self, monitored: Path) -> None:
        metrics = read_metrics(monitored)

        epochs = [metrics[step]["data/epochs_s2st"] for step in sorted(metrics)]

        assert epochs == sorted(epochs) and 0 < epochs[0] < epochs[-1]

    def test_texts_are_scored_before_the_first_step_and_on_schedule(self, monitored: Path) -> None:
        metrics = read_metrics(monitored, "valid/text_retention")

        with_figures = [step for step, values in metrics.items() if "text/perplexity" in values]

        assert with_figures == [0, 20] and metrics[0]["text/perplexity"] != metrics[20]["text/perplexity"]

    def test_monitoring_changes_no_weight(self, toy: Toy, monitored: Path, tmp_path: Path) -> None:
        plain = ["regime.num_steps=20", "monitoring.enabled=false"]

        assert toy.cpt(tmp_path / "plain", *plain) == 0

        assert_equal_weights(read_weights(tmp_path / "plain"), read_weights(monitored))

        values = read_metrics(tmp_path / "plain")[20]

        assert not [name for name in values if name.startswith(("accuracy/", "weights/", "codes/"))]


class TestMedia:
    def test_samples_can_be_heard_seen_and_read(self, monitored: Path) -> None:
        events = read_events(monitored, "valid/samples")

        tags = events.Tags()

        assert {"s2st/0/source", "s2st/0/reference", "s2tt/0/source"} <= set(tags["audio"])

        assert "s2st/0/reference_spectrogram" in tags["images"]

        (clip,) = events.Audio("s2st/0/reference")

        assert clip.encoded_audio_string.startswith(b"RIFF") and clip.sample_rate == 16_000

        texts = events.Tensors("s2tt/0/text/text_summary")

        assert [event.step for event in texts] == [20]

        assert b"| reference |" in texts[0].tensor_proto.string_val[0]

    def test_run_has_its_configuration_a_picture_and_hyper_parameters(self, monitored: Path) -> None:
        events = read_events(monitored, "run")

        (config,) = events.Tensors("config/text_summary")

        assert b'"num_items": 1' in config.tensor_proto.string_val[0]

        (picture,) = events.Images("sequences")

        assert picture.encoded_image_string.startswith(b"\x89PNG") and picture.width > 500

        assert any(b"_hparams_/session_start_info" in path.read_bytes() for path in monitored.glob("tb/run/events*"))

        (loss,) = events.Scalars("final/train_loss")

        assert loss.value == pytest.approx(read_metrics(monitored)[20]["Loss"])

    def test_generation_that_fails_is_a_warning(
        self, toy: Toy, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise RuntimeError("the generation is broken")

        monkeypatch.setattr("codec_s2st.recipes.common.monitoring.samples.make_all", fail)

        assert toy.cpt(tmp_path / "run", *options) == 0

        log = (tmp_path / "run" / "logs" / "rank_0.log").read_text()

        assert "WARNING" in log and "the generation is broken" in log

        assert "samples/finished" not in read_metrics(tmp_path / "run", "valid/samples")[20]


class TestResuming:
    @pytest.fixture
    def again(self, toy: Toy, options: list[str], monitored: Path, tmp_path: Path) -> Path:
        """Goes on from step 10 of a run that had come to step 20."""
        run = shutil.copytree(monitored, tmp_path / "run")

        shutil.rmtree(run / "checkpoints" / "step_20")

        assert toy.cpt(run, *options) == 0

        return run

    def test_each_step_is_there_once(self, monitored: Path, again: Path) -> None:
        for category in categories(monitored):
            one, two = read_events(monitored, category), read_events(again, category)

            for tag in one.Tags()["scalars"]:
                steps = [event.step for event in one.Scalars(tag)]

                assert [event.step for event in two.Scalars(tag)] == steps, (category, tag)

    def test_values_are_those_of_a_run_that_was_not_interrupted(self, monitored: Path, again: Path) -> None:
        for category in ("train", "valid/s2st", "valid/text_retention"):
            assert read_metrics(again, category) == read_metrics(monitored, category)

    def test_earlier_files_stay(self, monitored: Path, again: Path) -> None:
        for path in monitored.glob("tb/**/events*"):
            assert (again / path.relative_to(monitored)).read_bytes() == path.read_bytes()

        assert len(list(again.glob("tb/train/events*"))) == 2


class TestForgettingReport:
    def test_table_has_what_was_measured(
        self, monitored: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["text-report", "--during", str(monitored), "--out", str(tmp_path / "out"), "--json"]) == 0

        points = json.loads(capfd.readouterr().out)["points"]

        assert [point["step"] for point in points] == [0, 20]

        metrics = read_metrics(monitored, "valid/text_retention")

        for point in points:
            assert point["values"] == {
                name: value for name, value in metrics[point["step"]].items() if name.startswith("text")
            }

        assert {path.name for path in (tmp_path / "out").iterdir()} == {
            "forgetting.json",
            "forgetting.md",
            "forgetting.png",
        }

    def test_run_without_figures_is_refused(self, toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["text-report", "--during", str(tmp_path)]) == 2

        assert "holds no metrics/valid/text_retention.jsonl" in error_line(capfd)


@pytest.mark.parametrize("section", ["text_retention", "validation_samples"])
def test_schedule_must_fit_the_validations(
    toy: Toy, options: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str], section: str
) -> None:
    def change(option: str) -> str:
        return option.replace("every_n_steps: 20", "every_n_steps: 15") if option.startswith(section) else option

    assert toy.cpt(tmp_path / "run", *map(change, options)) == 2

    assert f"`{section}.every_n_steps` is 15" in capfd.readouterr().err
