"""What a model knows of text, beside transformers' figures for the same random weights."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from fairseq2.device import CPU
from fairseq2.gang import FakeGang
from torch import Tensor

from codec_s2st.cli import main
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.loader import lazy_checkpoint_path
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.models.codec_lm.text_llm import read_text_llm
from codec_s2st.recipes.text_report import likelihood
from codec_s2st.recipes.text_report.likelihood import Likelihood, Request, TextScorer
from codec_s2st.recipes.text_report.retention import TextItems, TextRetentionUnit
from codec_s2st.recipes.text_report.scores import (
    Question,
    last_words,
    multiple_choice,
    plain_perplexity,
    split,
)
from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder
from codec_s2st.tokens.vocabulary import language_tag, task_tag
from tests.llms import load_llm, write_llm


class Letters:
    """A tokenizer of letters, and of one pair of them."""

    def encode(self, text: str) -> Tensor:
        return torch.tensor([ord(letter) % 48 for letter in text.replace("o ", "@")], dtype=torch.int64)


TOKENIZER = Letters()

TEXTS = ["we like the white flowers", "it is hot", "our girls must work with my old boy", "ab"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llm(tmp_path_factory.mktemp("llm"), "qwen2_5")


@pytest.fixture(scope="module")
def model(folder: Path) -> CodecLM:
    config = CodecLMConfig(decoder=read_text_llm(folder)[0], codebook_sizes=[60, 30])

    return get_codec_lm_hub().load_custom_model(lazy_checkpoint_path(folder), config).eval()


def transformers_nats(folder: Path, ids: Tensor, num_scored: int) -> tuple[float, bool]:
    with torch.inference_mode():
        logits = load_llm(folder)(ids[None]).logits[0, :-1].float()

    targets = ids[1:]

    log_probs = torch.log_softmax(logits, -1).gather(1, targets[:, None])[-num_scored:]

    return float(log_probs.sum()), bool((logits.argmax(-1) == targets)[-num_scored:].all())


class TestTextScorer:
    def test_likelihood_is_that_of_transformers(self, folder: Path, model: CodecLM) -> None:
        requests = []

        for text, num_scored in zip(TEXTS, (1, 8, 20, 1), strict=True):
            ids = TOKENIZER.encode(text)

            requests.append(Request(ids[:-num_scored], ids[-num_scored:]))

        # One whose end is what the model would say.
        context = TOKENIZER.encode("hello")

        with torch.inference_mode():
            requests.append(Request(context, load_llm(folder)(context[None]).logits[0, -1].argmax()[None]))

        found = list(TextScorer(model).score(requests))

        for request, likelihood_ in zip(requests, found, strict=True):
            nats, is_greedy = transformers_nats(
                folder, torch.cat([request.context, request.continuation]), len(request.continuation)
            )

            assert likelihood_.log_probability == pytest.approx(nats, abs=1e-4)
            assert likelihood_.is_greedy == is_greedy and likelihood_.num_ids == len(request.continuation)

        assert found[-1].is_greedy and not found[1].is_greedy

    def test_batches_make_no_difference(self, model: CodecLM, monkeypatch: pytest.MonkeyPatch) -> None:
        requests = [Request(TOKENIZER.encode(text)[:1], TOKENIZER.encode(text)[1:]) for text in TEXTS]

        together = [entry.log_probability for entry in TextScorer(model).score(requests)]

        monkeypatch.setattr(likelihood, "MAX_BATCH_STEPS", 1)

        assert [entry.log_probability for entry in TextScorer(model).score(requests)] == pytest.approx(together)

    def test_tags_stand_before_the_text_as_in_training(self, model: CodecLM) -> None:
        ids = TOKENIZER.encode("it is hot")

        builder = SequenceBuilder(model.vocabulary, model.pattern)

        tags = torch.tensor([model.vocabulary.special(tag) for tag in (task_tag("text_lm"), language_tag("eng"))])

        sequence = builder.build([Segment(Modality.TAGS, tags, False), Segment(Modality.TEXT, ids, True)])

        hidden = model(sequence.ids[None]).hidden[0]

        # Two tags and the beginning of a text.
        logits = model.heads.stream0_logits(hidden[2 : 2 + len(ids)])[:, : model.vocabulary.text_size]

        expected = torch.log_softmax(logits.float(), -1).gather(1, ids[:, None]).sum()

        [found] = TextScorer(model, language="eng").score([Request(ids[:0], ids)])

        assert found.log_probability == pytest.approx(float(expected), abs=1e-4) and found.num_ids == len(ids)

    def test_unknown_language_raises_error(self, model: CodecLM) -> None:
        with pytest.raises(KeyError):
            TextScorer(model, language="xxx")

    def test_what_cannot_be_scored_raises_error(self, model: CodecLM) -> None:
        some, none = torch.ones(3, dtype=torch.int64), torch.ones(0, dtype=torch.int64)

        for context, continuation in [(none, some), (some, none), (some.repeat(model.max_seq_len), some)]:
            with pytest.raises(ValueError, match=r"must have 1 to|something must stand"):
                list(TextScorer(model).score([Request(context, continuation)]))


class TestPlainPerplexity:
    def test_is_that_of_transformers(self, folder: Path, model: CodecLM) -> None:
        nats = sum(transformers_nats(folder, TOKENIZER.encode(text), len(text) - 1)[0] for text in TEXTS[:2])

        found = plain_perplexity(TextScorer(model), TOKENIZER, TEXTS[:2])

        num_ids = len(TEXTS[0]) + len(TEXTS[1]) - 2

        assert found.num_ids == num_ids and found.num_texts == 2 and found.num_cut == 0

        assert found.perplexity == pytest.approx(math.exp(-nats / num_ids), rel=1e-5)
        assert found.bits_per_byte == pytest.approx(-nats / math.log(2) / (num_ids + 2), rel=1e-5)

    def test_long_text_is_cut_and_counted(self, model: CodecLM) -> None:
        long = "abcd" * model.max_seq_len

        found = plain_perplexity(TextScorer(model), TOKENIZER, [long, "ab"])

        assert found.num_cut == 1 and found.num_ids == model.max_seq_len

        alone = plain_perplexity(TextScorer(model), TOKENIZER, [long[: model.max_seq_len], "ab"])

        assert found.text_nats == pytest.approx(alone.text_nats) and found.text_ids == alone.text_ids

        assert sum(found.text_ids) == found.num_ids

        assert found.perplexity == pytest.approx(math.exp(sum(found.text_nats) / found.num_ids))

        assert found[:2] == pytest.approx(alone[:2]) and (found.num_texts, alone.num_cut) == (2, 0)

    def test_texts_without_ids_to_score(self, model: CodecLM) -> None:
        assert math.isnan(plain_perplexity(TextScorer(model), TOKENIZER, ["a"]).perplexity)

        # Behind tags, one is enough.
        assert plain_perplexity(TextScorer(model, language="eng"), TOKENIZER, ["a"]).num_ids == 1


class TestLastWords:
    def test_last_word_is_scored_after_the_others(self, folder: Path, model: CodecLM) -> None:
        nats = 0.0

        for text in TEXTS[:3]:
            word = text.rpartition(" ")[2]

            # With the blank before it.
            nats += transformers_nats(folder, TOKENIZER.encode(text), len(word) + 1)[0]

        found = last_words(TextScorer(model), TOKENIZER, TEXTS)

        # The last text has one word alone.
        assert found.num_texts == 3 and found.perplexity == pytest.approx(math.exp(-nats / 3), rel=1e-4)

    def test_what_the_model_would_say_is_right(self, folder: Path, model: CodecLM) -> None:
        class Words:
            """Each word is an id, its number."""

            def encode(self, text: str) -> Tensor:
                return torch.tensor([int(word) for word in text.split()], dtype=torch.int64)

        with torch.inference_mode():
            right = int(load_llm(folder)(torch.tensor([[7, 8]])).logits[0, -1].argmax())

        texts = [f"7 8 {right}", f"7 8 {(right + 1) % 40}"]

        assert last_words(TextScorer(model), Words(), texts).accuracy == 0.5


def test_model_that_is_broken_has_figures(model: CodecLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def score(scorer: TextScorer, requests: Sequence[Request]) -> Iterator[Likelihood]:
        for request in requests:
            num = len(request.continuation)

            # More than e can be raised to.
            yield Likelihood(log_probability=-1e4 * num, is_greedy=False, num_ids=num)

    monkeypatch.setattr(TextScorer, "score", score)

    scorer = TextScorer(model)

    plain = plain_perplexity(scorer, TOKENIZER, TEXTS)

    assert plain.perplexity == math.inf and math.isfinite(plain.bits_per_byte)

    assert last_words(scorer, TOKENIZER, TEXTS).perplexity == math.inf

    # Nor does it end a training.
    unit = TextRetentionUnit(model, TOKENIZER, TextItems(TEXTS), FakeGang(CPU), language=None, is_due=lambda step: True)

    figures = {figure: value for figure, value, weight in unit._score(scorer) if math.isfinite(weight)}

    assert figures["perplexity"] == math.inf and figures["bits_per_byte"] == plain.bits_per_byte


class TestSplit:
    def test_id_across_the_border_belongs_to_the_end(self, model: CodecLM) -> None:
        # "o " is one id.
        request = split(TextScorer(model), TOKENIZER, "hello", " you")

        assert len(request.context) + len(request.continuation) == len("hello you") - 1
        assert torch.equal(torch.cat([request.context, request.continuation]), TOKENIZER.encode("hello you"))

        # Blanks of the context go with what follows.
        moved = split(TextScorer(model), TOKENIZER, "hi ", "you")

        assert torch.equal(moved.continuation, TOKENIZER.encode(" you"))

    def test_of_a_long_text_the_end_stays(self, model: CodecLM) -> None:
        request = split(TextScorer(model), TOKENIZER, "x" * 2 * model.max_seq_len, " yes")

        assert len(request.context) + len(request.continuation) == model.max_seq_len
        assert torch.equal(request.continuation, TOKENIZER.encode(" yes"))

    def test_empty_context(self, model: CodecLM) -> None:
        assert len(split(TextScorer(model), TOKENIZER, "", "yes").context) == 1
        assert len(split(TextScorer(model, language="eng"), TOKENIZER, "", "yes").context) == 0


def test_choices_are_those_of_a_slow_loop(folder: Path, model: CodecLM) -> None:
    questions = [
        Question("it is", (" hot", " a very long answer", " cold today"), 0),
        Question("my boy", (" works", " is"), 1),
        Question("we like", (" the flowers", " it"), 0),
    ]

    right = right_norm = 0

    for question in questions:
        sums, means = [], []

        for choice in question.choices:
            ids = TOKENIZER.encode(question.context + choice)

            nats, _ = transformers_nats(folder, ids, len(ids) - len(TOKENIZER.encode(question.context)))

            sums.append(nats)
            means.append(nats / len(choice))

        right += sums.index(max(sums)) == question.answer
        right_norm += means.index(max(means)) == question.answer

    found = multiple_choice(TextScorer(model), TOKENIZER, questions)

    assert (found.accuracy, found.accuracy_norm) == (right / 3, right_norm / 3)

    assert found.num_questions == 3 and found.chance == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)


class TestCommand:
    @pytest.fixture
    def texts(self, tmp_path: Path) -> Path:
        file = tmp_path / "texts.txt"

        file.write_text("".join(f"{text}\n" for text in TEXTS[:3]))

        return file

    def refused(self, capsys: pytest.CaptureFixture[str], *args: object) -> str:
        capsys.readouterr()

        assert main(["text-report", *map(str, args)]) == 2

        [line] = capsys.readouterr().err.splitlines()

        return line

    def test_shipped_models(self, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        questions = tmp_path / "q.jsonl"

        questions.write_text(json.dumps({"context": "we like the", "choices": [" flowers", " flowers"], "answer": 0}))

        args = ["--text", texts, "--choices", questions, "--language", "eng", "--out", tmp_path / "out"]

        assert main(["text-report", "demo_text_lm", "demo_cpt", *map(str, args)]) == 0

        lines = capsys.readouterr().out.splitlines()

        assert [line.split()[:3] for line in lines[2:5]] == [
            ["demo_text_lm", "alone", lines[2].split()[2]],
            ["demo_cpt", "alone", lines[3].split()[2]],
            ["demo_cpt", "behind", "tags"],
        ]

        data = json.loads((tmp_path / "out" / "text_report.json").read_text())

        base, alone, tagged = data["models"]

        assert alone["weights_hash"] == tagged["weights_hash"] != base["weights_hash"]

        assert base["tokenizer_hash"] == alone["tokenizer_hash"]

        # What it has learned behind tags is known there best.
        assert tagged["plain"]["perplexity"] < alone["plain"]["perplexity"]

        assert base["choices"] == {"accuracy": 1.0, "accuracy_norm": 1.0, "num_questions": 1, "chance": 0.5}

        assert list(data["texts"]) == [str(texts), str(questions)]

        assert "| demo_cpt | behind tags |" in (tmp_path / "out" / "text_report.md").read_text()

    def test_bad_input(self, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "x.jsonl"

        assert "there is nothing to score" in self.refused(capsys, "demo_cpt")
        assert "unknown model card 'demo_cptt'" in self.refused(capsys, "demo_cptt", "--text", texts)
        assert "absent.txt' does not exist" in self.refused(capsys, "demo_cpt", "--text", tmp_path / "absent.txt")
        assert "--max-items must be at least 1" in self.refused(capsys, "x", "--text", texts, "--max-items", 0)
        assert "no device 'warp'" in self.refused(capsys, "x", "--text", texts, "--device", "warp")
        assert "has no tag of the language 'xxx'" in self.refused(
            capsys, "demo_cpt", "--text", texts, "--language", "xxx"
        )

        for option, content, message in [
            ("--text", "", "holds no texts"),
            ("--text", "{", 'line 1: a line must be {"text": "..."}'),
            ("--text", '{"text": 1}', 'line 1: a line must be {"text": "..."}'),
            ("--choices", "\n", "holds no questions"),
            ("--choices", '{"context": "a"}', 'line 1: a line must be {"context"'),
            ("--choices", '{"context": "a", "choices": ["b", ""], "answer": 0}', "line 1: a line must be"),
            ("--choices", '{"context": "a", "choices": ["b"], "answer": 1}', "`answer` must be 0 to 0, but is 1"),
            ("--choices", '{"context": "a", "choices": ["b"], "answer": true}', "`answer` must be 0 to 0"),
        ]:
            file.write_text(content)

            assert message in self.refused(capsys, "demo_cpt", option, file)
