"""The reports of ``codec-s2st text-report`` that an experiment has made, one a seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codec_s2st.errors import UserInputError
from codec_s2st.experiment.experiment import TEXT_LLM, Arm, Experiment, Training
from codec_s2st.experiment.pipeline import retention_dir, text_model
from codec_s2st.experiment.samples import Sample, sample_of_texts


@dataclass(frozen=True)
class RetentionReports:
    """What is known of text, by seed, model, and whether texts stood behind tags."""

    entries: Mapping[int, Mapping[tuple[str, bool], Mapping[str, Any]]]

    missing: tuple[str, ...]

    def of_arm(self, experiment: Experiment, arm: Arm, *, tags: bool) -> dict[int, Sample]:
        """Returns the perplexity of what an arm's fine-tunings start from, by seed; nothing if that is random."""
        return self._of({seed: text_model(experiment, arm, seed) for seed in experiment.seeds}, tags)

    def of_base(self, experiment: Experiment, *, tags: bool) -> dict[int, Sample]:
        """Returns that of the text LLM, which is the same for all seeds."""
        base = Arm(name="", label="", init=TEXT_LLM, cpt=None, config={}, other_budget=None)

        return self.of_arm(experiment, base, tags=tags)

    def samples(self, experiment: Experiment, name: str) -> dict[int, Sample]:
        """Returns what checks are about: texts as the text LLM has read them."""
        # One that was trained here has read them behind tags.
        return self.of_arm(experiment, experiment.arm(name), tags=isinstance(experiment.text_llm, Training))

    def choices(self, experiment: Experiment, arm: Arm, *, tags: bool) -> float | None:
        """Returns the mean share of questions that were answered right."""
        shares = []

        for seed, entries in self.entries.items():
            entry = entries.get((text_model(experiment, arm, seed) or "", tags))

            if entry is not None and entry["choices"] is not None:
                shares.append(entry["choices"]["accuracy"])

        return sum(shares) / len(shares) if shares else None

    def _of(self, models: Mapping[int, str | None], tags: bool) -> dict[int, Sample]:
        samples = {}

        for seed, model in models.items():
            entry = self.entries.get(seed, {}).get((model or "", tags))

            if entry is not None and entry["plain"] is not None:
                samples[seed] = sample_of_texts(entry["plain"]["text_nats"], entry["plain"]["text_ids"])

        return samples


def read_retention(experiment: Experiment, out: Path) -> RetentionReports:
    """Reads the reports that are there.

    :raises UserInputError: one is damaged.
    """
    if experiment.retention is None:
        return RetentionReports({}, ())

    entries, missing = {}, []

    for seed in experiment.seeds:
        file = retention_dir(out, seed) / "text_report.json"

        try:
            models = json.loads(file.read_text(encoding="utf-8"))["models"]
        except FileNotFoundError:
            missing.append(f"text, seed {seed}: not measured yet")

            continue
        except (OSError, ValueError, KeyError, TypeError) as ex:
            raise UserInputError(f"'{file}' is not a report of text: {ex}", hint="remove it, and run again") from None

        entries[seed] = {(entry["model"], entry["tags"]): entry for entry in models}

    return RetentionReports(entries, tuple(missing))
