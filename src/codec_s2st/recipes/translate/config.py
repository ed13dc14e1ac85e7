"""The configuration of the recipe translate."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fairseq2.recipe.config import CommonSection, GangSection

from codec_s2st.generation.options import GenerationOptions


@dataclass(kw_only=True)
class TranslateConfig:
    """Translates many recordings, on one rank or several."""

    input: Path | None = None
    """A recording, a folder of recordings, or a manifest. There is no default."""

    model_card: str = "codec_s2st_demo_s2st"
    """The card of the model."""

    task: str | None = None
    """Such as ``s2st``, ``s2tt`` or ``asr``; by default the first one that the model was trained for."""

    source_lang: str | None = None

    target_lang: str | None = None

    voice: Path | None = None
    """A recording of who is to speak, for tasks with a voice."""

    generation: GenerationOptions = field(default_factory=GenerationOptions)

    seed: int = 0
    """Decides random choices, where ``generation`` makes any."""

    gang: GangSection = field(default_factory=lambda: GangSection(timeout=24 * 60))

    common: CommonSection = field(default_factory=lambda: CommonSection(no_sweep_dir=True))
