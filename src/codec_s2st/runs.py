"""What a training run has left behind: checkpoints with their scores, its configuration, and its metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codec_s2st.checkpoints.folder import CheckpointFolder
from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.adapted import trained_checkpoint_path
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY, CodecLMConfig
from codec_s2st.recipes.common.initial import read_run
from codec_s2st.yaml_limits import check_size

BEST: Final = "the best validation score"
LAST: Final = "the last checkpoint"
ASKED: Final = "asked for"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run, and one of its checkpoints."""

    folder: Path

    model: CodecLMConfig

    step: int

    chosen: str
    """Why it is this step: :data:`BEST`, :data:`LAST` or :data:`ASKED`."""

    score: float | None
    """The validation score of the step, of which more is better; ``None`` if the run recorded none."""

    @property
    def checkpoint(self) -> Path:
        """The path under which fairseq2 loads the weights."""
        return trained_checkpoint_path(self.folder / "checkpoints", self.step)


def open_run(folder: Path, *, step: int | None = None) -> Run:
    """Finds a run and one of its checkpoints.

    :param step: The step of the checkpoint; by default the one with the best validation score if the run has recorded
        any (``regime.score_metric``), else the last one.

    :raises UserInputError: it is no run of a codec_lm model, it has no checkpoint yet, or none of this step.
    """
    checkpoints = folder / "checkpoints"

    if not checkpoints.joinpath("model.yaml").is_file():
        raise _not_a_run(folder)

    family = re.search(r"^[ -]*model_family: *(\S+)", checkpoints.joinpath("model.yaml").read_text(), re.MULTILINE)

    if family is not None and family[1] != CODEC_LM_FAMILY:
        raise UserInputError(
            f"run '{folder}' trained a model of the family {family[1]}, not a translation model",
            hint="of a codec: python -m codec_s2st.recipes.codec.export RUN FILE.safetensors",
        )

    steps = CheckpointFolder(checkpoints).steps()

    # Says if there is none.
    model, _ = read_run(folder)

    scores = _read_scores(checkpoints / "scores", steps)

    if step is not None:
        if step not in steps:
            known = ", ".join(map(str, steps))

            raise UserInputError(f"run '{folder}' has no checkpoint of step {step}", hint=f"--step with one of {known}")

        chosen = ASKED
    elif scores:
        step, chosen = max(scores, key=lambda step: (scores[step], step)), BEST
    else:
        step, chosen = steps[-1], LAST

    return Run(folder=folder, model=model, step=step, chosen=chosen, score=scores.get(step))


def read_settings(run: Run) -> dict[str, object]:
    """Returns the run's whole configuration; it is empty if the run has not kept it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    file = run.folder / "config.yaml"

    if not file.is_file():
        return {}

    try:
        settings = YAML(typ="safe", pure=True).load(file)
    except (YAMLError, ValueError) as ex:
        raise UserInputError(f"{file} is not valid YAML") from ex

    check_size(settings, str(file))

    if not isinstance(settings, dict):
        raise UserInputError(f"{file} is not a run's configuration")

    return settings


def read_metrics(run: Run) -> dict[str, dict[str, object]]:
    """Returns the metrics that were last recorded up to the run's step, by their file (``train``, ``valid/s2st``)."""
    output = {}

    for file in metrics_files(run):
        best: Mapping[str, object] = {}

        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                values = json.loads(line)

                step, best_step = int(values["Step"]), int(best.get("Step", -1))  # type: ignore[call-overload]
            except (ValueError, KeyError, TypeError):
                continue  # The last line of a run that was killed.

            # Where steps were repeated, the last time counts.
            if best_step <= step <= run.step:
                best = values

        if best:
            output[file.relative_to(run.folder / "metrics").with_suffix("").as_posix()] = dict(best)

    return output


def metrics_files(run: Run) -> list[Path]:
    return sorted(run.folder.joinpath("metrics").rglob("*.jsonl"))


def _read_scores(folder: Path, steps: list[int]) -> dict[int, float]:
    output = {}

    for step in steps:
        file = folder / f"step_{step}.txt"

        if file.is_file():
            try:
                output[step] = float(file.read_text().split("\n")[0])
            except ValueError:
                raise UserInputError(f"{file} holds no score", hint=f"choose a checkpoint: --step {step}") from None

    return output


def _not_a_run(folder: Path) -> UserInputError:
    if not folder.is_dir():
        return UserInputError(f"there is no run '{folder}'", hint="give the folder OUT of codec-s2st cpt or s2st")

    inner = sorted(path.parents[1] for path in folder.glob("*/checkpoints/model.yaml"))

    if inner:
        return UserInputError(f"'{folder}' is not a run, but a folder of runs", hint=f"give one of them: {inner[-1]}")

    if folder.joinpath("card.yaml").is_file():
        return UserInputError(f"'{folder}' is a published model, not a run", hint="it can be used as it is: --model")

    if folder.joinpath("config.yaml").is_file():
        return UserInputError(f"run '{folder}' has no checkpoint yet", hint="wait for its first checkpoint")

    return UserInputError(
        f"'{folder}' is not a run: it has no checkpoints/model.yaml",
        hint="give the folder OUT of codec-s2st cpt or s2st",
    )
