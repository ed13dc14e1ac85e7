"""The judges that can be named in a configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fairseq2.logging import log

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.evaluation.judges.command import CommandJudge
from codec_s2st.evaluation.judges.judge import Judge, gauges_of
from codec_s2st.evaluation.judges.squim import SquimJudge
from codec_s2st.evaluation.judges.xvector import XVectorJudge
from codec_s2st.evaluation.measures import Gauge
from codec_s2st.evaluation.pretrained import AbsentFolderError, AbsentModelError
from codec_s2st.recipes.evaluate.config import JudgeSection

if TYPE_CHECKING:
    import torch

JUDGES: Final[Mapping[str, type[XVectorJudge] | type[SquimJudge]]] = {"xvector": XVectorJudge, "squim": SquimJudge}
"""Those whose networks we know; each is made of a ``model`` and a device."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


@dataclass(frozen=True)
class Bench:
    """Those who judge, and those who would, were their weights there."""

    judges: tuple[Judge, ...] = ()

    absent: tuple[Gauge, ...] = ()
    """What the latter would measure."""

    @property
    def gauges(self) -> list[Gauge]:
        return [*(gauge for judge in self.judges for gauge in gauges_of(judge)), *self.absent]

    @property
    def qualities(self) -> set[str]:
        """What is judged by somebody."""
        return {judge.quality for judge in self.judges}


def make_bench(sections: Sequence[JudgeSection], *, device: torch.device) -> Bench:
    """Returns the judges of a configuration. Whose weights are absent measures nothing, and the report says what helps.

    :raises UserInputError: one cannot be made of what the section says, or its weights are something else.
    """
    names = [section.name for section in sections]

    judges: list[Judge] = []

    absent: list[Gauge] = []

    for section in sections:
        if names.count(section.name) > 1:
            raise UserInputError(f"`judges` has the name '{section.name}' twice", hint="give each another `name`")

        try:
            judges.append(_make(section, device))
        except (AbsentFolderError, AbsentModelError) as ex:
            log.warning("The judge '{}' measures nothing: {}", section.name, ex)

            absent += [
                Gauge(metric=metric, systems=systems, signature="not measured", judge=section.name, absent=str(ex))
                for metric, systems in JUDGES[section.name].metrics.items()
            ]

    return Bench(tuple(judges), tuple(absent))


def _make(section: JudgeSection, device: torch.device) -> Judge:
    name, known = section.name, ", ".join(JUDGES)

    if name in JUDGES:
        if section.model is None or section.command is not None or section.weights is not None:
            raise UserInputError(f"judge '{name}' takes a `model`, and no command", hint=f"{{name: {name}, model: M}}")

        make: Callable[..., Any] = JUDGES[name]

        judge: Judge = make(section.model, device=device)

        return judge

    if section.command is None:
        raise unknown_name("judge", name, JUDGES, hint=f"known: {known}; any other needs a `command`")

    if section.model is not None:
        raise UserInputError(f"judge '{name}' has both a `model` and a `command`", hint="leave the model out")

    if not _NAME.fullmatch(name):
        raise UserInputError(
            f"'{name}' is no name of a judge", hint="small letters, digits, and . _ - behind the first"
        )

    if not section.timeout > 0:
        raise UserInputError(f"`timeout` of judge '{name}' must be greater than 0, but is {section.timeout}")

    return CommandJudge(name, section.command, timeout=section.timeout, weights=section.weights)
