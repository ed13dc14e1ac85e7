"""The configuration of the recipe ``evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fairseq2.recipe.config import CommonSection, GangSection
from fairseq2.utils.validation import Validatable, ValidationResult
from typing_extensions import override

from codec_s2st.evaluation.normalise import BASIC
from codec_s2st.generation.options import GenerationOptions


@dataclass(kw_only=True)
class JudgeSection:
    """One who judges speech by its sound: a network of ours, or a command of yours."""

    name: str = ""
    """``xvector`` or ``squim`` with a ``model``; any other name with a ``command``."""

    model: str | None = None
    """The folder of a network, a repository of Hugging Face's, or a file of weights."""

    command: str | None = None
    """Prints a number for each line of the file ``{list}``; ``{sources}`` and ``{references}`` are further files."""

    timeout: float = 3600.0
    """After so many seconds the command is ended."""

    weights: Path | None = None
    """A file whose SHA-256 goes into the report, since we do not know what the command reads."""


@dataclass(kw_only=True)
class EvaluateConfig(Validatable):
    """Scores a model on the rows of a manifest."""

    manifest: Path | None = None
    """The manifest, or the folder that holds its ``manifest.parquet``. There is no default."""

    model_card: str = "codec_s2st_demo_s2st"
    """A model card, a card file, or a published folder."""

    task: str = "s2st"
    """``s2st``, ``tts`` or ``t2st`` (which a listener writes down), ``s2tt``, ``mt`` or ``asr`` (text), a chain."""

    split: str | None = None
    """The split to score; all rows if ``None``."""

    max_items: int | None = None
    """Score only so many, the first ones; all if ``None``."""

    first_audio_items: int = 4
    """The time to first audio is measured on so many items, the first that have speech that came out, one at a time; on
    none if 0."""

    transcriber: str = "open,constrained"
    """Who listens to speech, or several with commas between them: ``open``, ``constrained``, ``whisper:FOLDER``,
    ``wav2vec2:FOLDER``, ``seamless:FOLDER``, ``fairseq2:CARD``, ``model:CARD``, ``self``."""

    normaliser: str = BASIC.name
    """What is made of texts before they are compared: ``basic-1``, ``whisper-basic``, or ``whisper-english:FILE``
    with Whisper's ``normalizer.json`` (its spellings; without ``:FILE``, they stay as they are)."""

    judges: list[JudgeSection] = field(default_factory=list)
    """Who judges speech by its sound; nobody by default."""

    generation: GenerationOptions = field(default_factory=GenerationOptions)
    """How tokens are chosen; the most likely ones by default."""

    seed: int = 0
    """Decides the random choices of ``generation``, where it makes any, and the baseline of chance."""

    # A rank that is through waits for the others.
    gang: GangSection = field(default_factory=lambda: GangSection(timeout=24 * 60))

    # The report lies in OUT itself.
    common: CommonSection = field(default_factory=lambda: CommonSection(no_sweep_dir=True))

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if self.max_items is not None and self.max_items < 1:
            result.add_error(f"`max_items` must be greater than or equal to 1, but is {self.max_items} instead.")

        if self.first_audio_items < 0:
            result.add_error(
                f"`first_audio_items` must be greater than or equal to 0, but is {self.first_audio_items} instead."
            )

        return result
