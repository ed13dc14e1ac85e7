"""What several models know of the same texts, beside the first of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from codec_s2st import __version__
from codec_s2st.data.files import atomic_path
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.table import markdown
from codec_s2st.recipes.text_report.scores import Choices, LastWords, Perplexity, Question

MUST_BE: Final = 'a line must be {"context": "...", "choices": ["...", "..."], "answer": 0}'


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """The scores of one model, in one way to read texts."""

    model: str
    weights_hash: str | None
    """SHA-256 of the weights, in hex; ``None`` where they are several files."""

    tags: bool
    """Texts stood behind the tags of continued pre-training."""

    tokenizer: str
    tokenizer_hash: str
    tokenizer_size: int | None = None

    plain: Perplexity | None = None
    last_words: LastWords | None = None
    choices: Choices | None = None


@dataclass(frozen=True, kw_only=True)
class TextReport:
    """The scores of all models; the first is what the others are compared with."""

    texts: Mapping[str, str]
    """The files, each with its SHA-256 in hex."""

    language: str | None
    models: tuple[ModelScores, ...]
    tool: str = field(default=f"codec_s2st {__version__}")

    def to_json(self) -> str:
        data = {"format": 1, **asdict(self)}

        for entry, scores in zip(data["models"], self.models, strict=True):
            for name in ("plain", "last_words", "choices"):
                value = getattr(scores, name)

                entry[name] = None if value is None else {key: _finite(item) for key, item in value._asdict().items()}

        return json.dumps(data, indent=2, ensure_ascii=False)

    def table(self) -> list[list[str]]:
        """Returns the cells, the head first: a row a model and way to read; behind a figure, what is gained on it."""
        columns: list[tuple[str, str, str, str]] = [
            ("perplexity", "plain", "perplexity", ".3f"),
            ("bits a byte", "plain", "bits_per_byte", ".4f"),
            ("last word", "last_words", "accuracy", ".3f"),
            ("its perplexity", "last_words", "perplexity", ".1f"),
            ("choices", "choices", "accuracy", ".3f"),
            ("by bytes", "choices", "accuracy_norm", ".3f"),
        ]

        columns = [column for column in columns if any(getattr(scores, column[1]) for scores in self.models)]

        rows = [["model", "texts stand", *(column[0] for column in columns)]]

        for scores in self.models:
            row = [scores.model, "behind tags" if scores.tags else "alone"]

            for _, part, name, style in columns:
                value, base = (_get(entry, part, name) for entry in (scores, self.models[0]))

                text = "-" if value is None else _format(value, style)

                if value is not None and base is not None and scores is not self.models[0]:
                    text += f" ({_format(value - base, f'+{style}')})"

                row.append(text)

            rows.append(row)

        return rows

    def remarks(self) -> list[str]:
        """Returns what a reader has to know, a line each."""
        remarks = [f"behind a figure: how much more it is than that of {self.models[0].model}"]

        if len({scores.tokenizer_hash for scores in self.models}) > 1:
            remarks.append("the tokenizers differ, so that perplexities are of other ids: compare bits a byte")

        base = self.models[0]

        # Such a base knows less of the texts than nothing; what others lose on them is no forgetting.
        if base.plain is not None and base.tokenizer_size is not None and base.plain.perplexity > base.tokenizer_size:
            remarks.append(
                f"{base.model} does worse on these texts than guessing, of perplexity {base.tokenizer_size}: "
                "it has never learnt them, and they cannot tell what was forgotten"
            )

        for scores in self.models:
            if scores.plain is not None and scores.plain.num_cut:
                remarks.append(f"{scores.model}: {scores.plain.num_cut} texts were cut to what it has positions for")

        return remarks


def read_texts(file: Path) -> list[str]:
    """Returns the texts of a file: one a line, or ``text`` of each line of a .jsonl file.

    :raises UserInputError: it cannot be read, or holds none.
    """
    texts = []

    for number, line in enumerate(_lines(file), start=1):
        if file.suffix.lower() == ".jsonl":
            content = _json(file, number, line, 'a line must be {"text": "..."}')

            if not isinstance(content, dict) or not isinstance(content.get("text"), str):
                raise UserInputError(f'{file}, line {number}: a line must be {{"text": "..."}}')

            line = content["text"]

        texts.append(line)

    if not texts:
        raise UserInputError(f"'{file}' holds no texts")

    return texts


def read_questions(file: Path) -> list[Question]:
    """Returns the questions of a .jsonl file.

    :raises UserInputError: it cannot be read, holds none, or one that has no right answer.
    """
    questions = []

    for number, line in enumerate(_lines(file), start=1):
        content = _json(file, number, line, MUST_BE)

        try:
            question = Question(content["context"], tuple(content["choices"]), content["answer"])
        except (KeyError, TypeError):
            raise UserInputError(f"{file}, line {number}: {MUST_BE}") from None

        texts = (question.context, *question.choices)

        if not all(isinstance(text, str) for text in texts) or not all(question.choices):
            raise UserInputError(f"{file}, line {number}: {MUST_BE}")

        if type(question.answer) is not int or not 0 <= question.answer < len(question.choices):
            raise UserInputError(
                f"{file}, line {number}: `answer` must be 0 to {len(question.choices) - 1}, but is {question.answer!r}"
            )

        questions.append(question)

    if not questions:
        raise UserInputError(f"'{file}' holds no questions")

    return questions


def write_text_report(report: TextReport, folder: Path) -> None:
    """Writes ``text_report.json`` and ``text_report.md``.

    :raises CodecS2STError: the folder cannot be written.
    """
    lines = ["# What is known of text", "", markdown(report.table()), "", *(f"- {line}" for line in report.remarks())]

    for name, text in (("text_report.md", "\n".join(lines)), ("text_report.json", report.to_json())):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")


def _get(scores: ModelScores, part: str, name: str) -> float | None:
    value = getattr(scores, part)

    return None if value is None else _finite(getattr(value, name))


def _format(value: float, style: str) -> str:
    """Formats a figure; one of seven digits or more before the point is written as a power of ten."""
    return format(value, style if abs(value) < 1e6 else style[: -len(".1f")] + ".2e")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(file: Path) -> Sequence[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserInputError(f"'{file}' does not exist") from None
    except (OSError, UnicodeDecodeError) as ex:
        raise UserInputError(f"'{file}' cannot be read: {ex}") from None

    return [line for line in text.split("\n") if line.strip()]


def _json(file: Path, number: int, line: str, must_be: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise UserInputError(f"{file}, line {number}: {must_be}") from None
