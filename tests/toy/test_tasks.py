"""Tasks beyond those with one prompt and one target, from shards to a translation: chains, voices, words in turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from codec_s2st.cli import main
from codec_s2st.codecs import load_codec
from codec_s2st.recipes.common.initial import read_run
from codec_s2st.tokens.vocabulary import OWN_SLOTS
from codec_s2st.translator import SpeechTranslator
from tests.factories import toy_rows, write_toy_shards
from tests.published import write_speech
from tests.toy_runs import Toy, assert_equal_weights, read_losses, read_metrics, read_weights

OWN = """{name: s2st_spelled, languages: [target], segments: [
    {modality: speech, side: source, role: voice, seconds: 0.1, utterance: same},
    {modality: speech, side: source, role: prompt},
    {modality: text, side: source, role: step},
    {modality: speech, side: target, role: target}]}"""

OTHER = "{name: echo, segments: [{modality: text, side: target, role: target}]}"

MIXTURE = "[{task: s2st_chain}, {task: tts_voice}, {task: interleaved_lm}, {task: s2st_spelled, reverse: true}]"


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    folder = tmp_path_factory.mktemp("aligned")

    fingerprint = load_codec("demo_codec").fingerprint.first(2)

    write_toy_shards(folder / "shards", toy_rows(80, num_valid=10, aligned=True), fingerprint)

    yield Toy(folder)


@pytest.fixture(scope="module")
def run(aligned: Toy) -> Path:
    out = aligned.folder / "run"

    assert aligned.cpt(out, f"data.mixture={MIXTURE}", f"data.tasks=[{OWN}]") == 0

    return out


def own_tags(run: Path) -> dict[int, str]:
    vocabulary = read_run(run)[0].make_vocabulary()

    return {slot: name for slot, name in vocabulary.specials if slot in OWN_SLOTS}


class TestTraining:
    def test_every_task_is_learnt(self, run: Path) -> None:
        names = ["s2st_chain", "tts_voice", "interleaved_lm", "s2st_spelled-reverse"]

        published = {key for values in read_metrics(run).values() for key in values if key.startswith("loss/task")}

        assert published == {f"loss/task_{name}" for name in names}

        for name in names:
            losses = read_losses(run, f"valid/{name}")

            assert losses[-1] < losses[0]

        assert read_losses(run)[-1] < 0.7 * read_losses(run)[0]

    def test_workers_make_the_same_batches(self, aligned: Toy, run: Path, tmp_path: Path) -> None:
        options = [f"data.mixture={MIXTURE}", f"data.tasks=[{OWN}]", "regime.num_steps=10", "data.num_workers=1"]

        assert aligned.cpt(tmp_path / "run", *options) == 0

        whole = read_metrics(run)

        assert read_metrics(tmp_path / "run") == {step: whole[step] for step in range(2, 11, 2)}

    def test_metrics_of_own_tasks_are_numbers_in_the_log(self, run: Path) -> None:
        log = run.joinpath("logs", "rank_0.log").read_text()

        assert "loss/task_s2st_spelled-reverse: " in log and "tensor(" not in log

    def test_the_tag_of_an_own_task_is_in_the_vocabulary(self, run: Path) -> None:
        assert list(own_tags(run).values()) == ["<own:s2st_spelled>"]

    def test_the_next_run_keeps_the_tags_and_adds_its_own(self, aligned: Toy, run: Path, tmp_path: Path) -> None:
        options = ["data.mixture=[{task: echo}]", f"data.tasks=[{OTHER}]", f"init={run}"]

        options += ["optimizer.config.lr=0", "regime.num_steps=2"]

        assert aligned.s2st(tmp_path / "next", *options) == 0

        before, after = own_tags(run), own_tags(tmp_path / "next")

        assert before.items() < after.items() and sorted(after.values()) == ["<own:echo>", "<own:s2st_spelled>"]

        assert_equal_weights(read_weights(tmp_path / "next"), read_weights(run))

    @pytest.mark.parametrize(
        ("tasks", "message"),
        [
            ("[{name: S2ST, segments: []}]", "`data.tasks[0].name` is 'S2ST', but must be a letter"),
            (
                "[{name: mine, segments: [{modality: text, side: source}]}]",
                "`data.tasks[0].segments[0]` has no key 'role'",
            ),
            ("[]", "unknown task 's2st_spelled'"),
        ],
    )
    def test_mistakes_are_one_line(
        self, aligned: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], tasks: str, message: str
    ) -> None:
        assert aligned.cpt(tmp_path / "run", f"data.mixture={MIXTURE}", f"data.tasks={tasks}") == 2

        err = capsys.readouterr().err

        assert f"error: {message}" in err and "Traceback" not in err

    def test_rows_without_alignments_do_not_serve(
        self, toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert toy.cpt(tmp_path / "run", "data.mixture=[{task: interleaved_lm}]") == 2

        assert "none of the 120 rows in the shards serves task 'interleaved_lm'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def card(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "toy_chain"

    assert main(["publish", str(run), str(out), "--name", "toy_chain"]) == 0

    return out / "card.yaml"


class TestTranslation:
    @pytest.mark.parametrize(("task", "num_steps"), [("s2st_chain", 2), ("s2st_spelled", 1)])
    def test_says_what_it_has_thought(
        self, card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, num_steps: int
    ) -> None:
        source = write_speech(tmp_path / "in.wav", seconds=0.4)

        arguments = [
            "translate",
            str(source),
            str(tmp_path / "out.wav"),
            "--model",
            str(card),
            "--task",
            task,
            "--json",
        ]

        assert main(arguments) == 0

        result = json.loads(capsys.readouterr().out)

        assert (result["model"], len(result["steps"])) == ("codec_s2st_toy_chain", num_steps)

        assert result["text"] is None and result["seconds_out"] > 0

        assert tmp_path.joinpath("out.wav").is_file()

    @pytest.mark.parametrize(("task", "rc"), [("s2st_spelled", 0), ("s2st_chain", 2)])
    def test_a_voice_is_given_to_tasks_that_have_one(self, card: Path, tmp_path: Path, task: str, rc: int) -> None:
        source, voice = (write_speech(tmp_path / f"{name}.wav", seconds=0.4) for name in ("in", "voice"))

        arguments = ["translate", str(source), str(tmp_path / "out.wav"), "--model", str(card), "--task", task]

        assert main([*arguments, "--voice", str(voice)]) == rc

        assert tmp_path.joinpath("out.wav").is_file() == (rc == 0)

    def test_what_does_not_start_from_speech_is_refused(self, card: Path, tmp_path: Path) -> None:
        translator = SpeechTranslator.from_card(str(card))

        # Those that start from speech come first.
        assert translator.tasks == ("s2st_chain", "s2st_spelled", "tts_voice", "interleaved_lm")

        assert list(translator.own_tasks) == ["s2st_spelled"]

        # Of the mixture's tasks with two sides, one is reversed.
        assert translator.languages == (("spa", "eng"), ("eng", "spa"))

        source = write_speech(tmp_path / "in.wav", seconds=0.4)

        for task in ("tts_voice", "interleaved_lm"):
            arguments = ["translate", str(source), str(tmp_path / "out.wav"), "--model", str(card), "--task", task]

            assert main(arguments) == 2

        assert not tmp_path.joinpath("out.wav").exists()
