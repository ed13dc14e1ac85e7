"""From hand-made items to scores."""

from __future__ import annotations

from pathlib import Path

import pytest
from sacrebleu.metrics.bleu import BLEU

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.normalise import BASIC, find_normaliser
from codec_s2st.evaluation.report import CHANCE, CODEC_TOPLINE, MODEL, REFERENCE_AUDIO, Identity, ScoreRecord
from codec_s2st.recipes.evaluate.items import EvaluatedItem, Hypothesis, read_items, write_items
from codec_s2st.recipes.evaluate.listeners import parse_listeners
from codec_s2st.recipes.evaluate.scoring import METRICS, score_items

A, B, C = "we like the white flowers", "it is hot in the store today", "our girls must work with my boy"

LM, CODEC = Identity("lm", "aa"), Identity("codec", "bb")


def item(id_: str, text_: str, /, **heard: str | None) -> EvaluatedItem:
    systems = {"model": MODEL, "codec": CODEC_TOPLINE, "reference": REFERENCE_AUDIO}

    hypotheses = [Hypothesis(systems[name], "ear", text) for name, text in heard.items() if text is not None]

    return EvaluatedItem(id=id_, reference=text_, hypotheses=tuple(hypotheses))


def scores_of(items: list[EvaluatedItem], *, seed: int = 0) -> dict[tuple[str, str], ScoreRecord]:
    records = score_items("s2st", items, transcribers=["ear"], model=LM, codec=CODEC, seed=seed)

    return {(record.system, record.metric): record for record in records}


class TestScoreItems:
    def test_model_is_a_share_of_the_reference_audio(self) -> None:
        scores = scores_of([item("a", A, model=A, codec=A, reference=A), item("b", B, model=C, codec=B, reference=B)])

        assert scores[MODEL, "asr-wer"].value == pytest.approx(7 / 12)

        bleu = scores[MODEL, "asr-bleu"]

        assert bleu.value is not None

        assert scores[REFERENCE_AUDIO, "asr-bleu"].value == pytest.approx(100.0)

        assert bleu.share_of_reference == pytest.approx(bleu.value / 100)

        # Of an error rate there is no share.
        assert scores[MODEL, "asr-wer"].share_of_reference is None

        assert bleu.subject == LM
        assert scores[CODEC_TOPLINE, "asr-bleu"].subject == CODEC
        assert scores[REFERENCE_AUDIO, "asr-bleu"].subject is None

    def test_no_share_is_taken_of_other_items(self) -> None:
        scores = scores_of([item("a", A, model=A, codec=A, reference=A), item("b", B, model=B)])

        assert scores[REFERENCE_AUDIO, "asr-bleu"].num_items == 1
        assert scores[MODEL, "asr-bleu"].num_items == 2
        assert scores[MODEL, "asr-bleu"].share_of_reference is None

    def test_topline_without_audio_is_not_measured(self) -> None:
        scores = scores_of([item("a", A, model=A), item("b", B, model=B)])

        for system in (CODEC_TOPLINE, REFERENCE_AUDIO):
            assert scores[system, "asr-bleu"].value is None
            assert (
                scores[system, "asr-bleu"].not_measured
                == f"{system}: the manifest has no target_audio that can be read"
            )

        assert scores[MODEL, "asr-bleu"].value == pytest.approx(100.0)

    def test_chance_never_meets_its_own_reference(self) -> None:
        items = [
            item("a", "one one one", model=""),
            item("b", "two two two", model=""),
            item("c", "six six six", model=""),
        ]

        for seed in range(10):
            chance = scores_of(items, seed=seed)[CHANCE, "asr-wer"]

            assert chance.value == pytest.approx(1.0)
            assert chance.transcriber is None

    def test_chance_of_one_item_is_not_measured(self) -> None:
        assert scores_of([item("a", A, model=A)])[CHANCE, "asr-wer"].value is None

    def test_silence_is_scored_and_named(self) -> None:
        scores = scores_of([item("a", A, model=A), item("b", A, model="")])

        assert scores[MODEL, "asr-wer"].value == pytest.approx(0.5)
        assert scores[MODEL, "asr-wer"].empty_hypotheses == ("b",)

    def test_each_language_is_scored_by_itself_and_in_its_own_units(self) -> None:
        def pair(id_: str, language: str, reference: str, said: str) -> EvaluatedItem:
            hypotheses = (Hypothesis(MODEL, "ear", said),)

            return EvaluatedItem(id=id_, reference=reference, hypotheses=hypotheses, language=language)

        english = [pair("a", "eng", A, A), pair("b", "eng", B, C)]

        chinese = [pair("c", "cmn", "我们喜欢白色的花", "我们喜欢白色的花"), pair("d", "cmn", "今天很热", "今天很冷")]

        records = score_items(
            "s2st",
            [english[0], chinese[0], english[1], chinese[1]],
            transcribers=["ear"],
            model=LM,
            codec=CODEC,
            seed=0,
        )

        model = {(record.language, record.metric): record for record in records if record.system == MODEL}

        assert [metric for language, metric in model if language == "eng"] == [
            *("asr-bleu", "asr-chrf", "asr-chrf++", "asr-wer")
        ]

        # No blanks, no words.
        assert [metric for language, metric in model if language == "cmn"] == [
            *("asr-bleu", "asr-chrf", "asr-chrf++", "asr-cer")
        ]

        assert model["cmn", "asr-cer"].value == pytest.approx(1 / 12)
        assert model["eng", "asr-wer"].value == pytest.approx(7 / 12)

        assert "tok:zh" in model["cmn", "asr-bleu"].signature and "tok:13a" in model["eng", "asr-bleu"].signature

        # Characters: of one long word a language, nothing but whole matches would count.
        assert model["cmn", "asr-bleu"].value == pytest.approx(
            BLEU(tokenize="zh").corpus_score(["我们喜欢白色的花", "今天很冷"], [["我们喜欢白色的花", "今天很热"]]).score
        )

        alone = scores_of(english)

        for metric in ("asr-bleu", "asr-wer"):
            assert model["eng", metric].value == alone[MODEL, metric].value

    @pytest.mark.parametrize("task", ["asr", "s2tt"])
    def test_text_is_scored_without_a_listener(self, task: str) -> None:
        items = [
            EvaluatedItem(id=id_, reference=text, hypotheses=(Hypothesis(MODEL, None, text.upper()),))
            for id_, text in (("a", A), ("b", B))
        ]

        items.append(EvaluatedItem(id="c", reference=C, translated=False, problems=("source_audio: gone",)))

        records = score_items(task, items, transcribers=[], model=LM, codec=CODEC, seed=0)

        assert [record.metric for record in records] == [*METRICS[task], *METRICS[task]]

        for record in records[: len(METRICS[task])]:
            assert record.value == pytest.approx(0.0 if record.metric.endswith("er") else 100.0)
            assert record.num_items == 2


def test_items_survive_their_file(tmp_path: Path) -> None:
    items = [
        EvaluatedItem(
            id="a",
            reference="á\u2028b",
            hypotheses=(Hypothesis(MODEL, "ear", "x\u0085y"),),
            seconds_in=2.0,
            work_seconds=1.0,
        ),
        EvaluatedItem(id="b", reference="c", translated=False, problems=("source_audio: gone",)),
    ]

    write_items(tmp_path / "rank_0.jsonl", items)

    assert read_items(tmp_path / "rank_0.jsonl") == items

    assert '"real_time_factor": 0.5' in (tmp_path / "rank_0.jsonl").read_text()


def test_normaliser_is_the_one_that_is_asked_for() -> None:
    items = [EvaluatedItem(id="a", reference="twenty two", hypotheses=(Hypothesis(MODEL, None, "22"),))]

    whisper = find_normaliser("whisper-english")

    basic, other = (
        score_items("asr", items, transcribers=[], model=LM, codec=CODEC, seed=0, normaliser=normaliser)[0]
        for normaliser in (BASIC, whisper)
    )

    assert (basic.value, basic.normaliser) == (1.0, "basic-1")
    assert (other.value, other.normaliser) == (0.0, whisper.name)


def test_scores_carry_the_weights_of_the_listener() -> None:
    ear = Identity("ear", "cc")

    records = score_items(
        "s2st", [item("a", A, model=A)], transcribers=["ear"], model=LM, codec=CODEC, seed=0, instruments={"ear": ear}
    )

    for record in records:
        assert record.instrument == (None if record.system == CHANCE else ear)


def test_listeners_are_named_with_commas() -> None:
    assert parse_listeners("constrained, open,open") == ["constrained", "open"]
    assert parse_listeners("whisper:a/b,open") == ["whisper:a/b", "open"]

    every = ["wav2vec2:x", "seamless:x", "fairseq2:x", "model:x", "self"]

    assert parse_listeners(",".join(every)) == every


@pytest.mark.parametrize("name", ["whisper", "whisper:", "whsper:x", "self:x", "open:x"])
def test_unknown_listeners_are_refused(name: str) -> None:
    with pytest.raises(UserInputError, match=f"unknown transcriber '{name}'"):
        parse_listeners(name)
