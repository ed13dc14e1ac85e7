"""The tasks and the languages that a model was trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codec_s2st.data.slots import WholeSlot
from codec_s2st.data.templates import TaskTemplate, find_template
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.tokens.sequence import Modality


@dataclass(frozen=True, kw_only=True)
class KnownTasks:
    """What may be asked of a model."""

    model: str
    """What errors call the model."""

    tasks: Sequence[str]
    """The first one is the default."""

    languages: Sequence[tuple[str, str]]
    """The (source, target) pairs; empty if not known."""

    own_tasks: Mapping[str, TaskTemplate]
    """Those of the tasks that whoever trained the model has defined."""

    def choose(
        self, task: str | None, source: str | None, target: str | None, *, given: Modality
    ) -> tuple[TaskTemplate, str, str]:
        """Returns the task and the languages that are meant, defaults filled in.

        :param given: What the task has to start from.

        :raises UserInputError: the model was not trained for them, or the task starts from something else.
        """
        template = self._choose_task(self.tasks[0] if task is None else task, given)

        sources = [pair[0] for pair in self.languages]

        if source is None:
            source = sources[0] if sources else "spa"

        if sources and source not in sources:
            raise unknown_name("source language", source, set(sources), hint=self._known_languages())

        targets = [pair[1] for pair in self.languages if pair[0] == source]

        if target is None:
            target = targets[0] if targets else "eng"

        if targets and target not in targets:
            raise unknown_name("target language", target, targets, hint=self._known_languages())

        return template, source, target

    def _choose_task(self, task: str, given: Modality) -> TaskTemplate:
        if task not in self.tasks:
            raise unknown_name("task", task, self.tasks, hint=f"model '{self.model}' knows {', '.join(self.tasks)}")

        template = find_template(task, self.own_tasks)

        if not (template.starts_from_speech if given is Modality.SPEECH else template.starts_from_text):
            raise UserInputError(f"task '{task}' does not start from {given.value}")

        if not all(isinstance(slot, WholeSlot) for slot in template.predicted):
            raise UserInputError(f"task '{task}' predicts words in turn written and spoken, which is not generated")

        return template

    def _known_languages(self) -> str:
        return f"model '{self.model}' knows {', '.join(f'{source} to {target}' for source, target in self.languages)}"
