"""What a run is, as far as a checkpoint of it goes: only the same run goes on with a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAY_DIFFER: Final = (
    "regime",
    "common",
    "gang.timeout",
    "gang.high_priority",
    "guards",
    "checkpoints",
    "monitoring",
    "text_retention",
    "validation_samples",
    "dataset",
    "data.valid_splits",
    "data.max_valid_examples",
    "data.num_workers",
    "data.num_prefetch",
    "model.mmap",
    "model.compile",
    "model.compile_options",
    "trainer.gc_every_n_steps",
    "trainer.grad_check",
    "trainer.anomaly_detection",
)
"""The keys of a configuration, with all below them, that may be changed when a run goes on. They say how long, how
often and where to; of ``dataset`` it is the content that counts, which is one of :attr:`RunIdentity.facts`."""

MUST_NOT_DIFFER: Final = ("common.seed",)
"""What may not, below these."""

_ABSENT: Final = object()


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """What must be the same when a run goes on. All of it is JSON."""

    layout: Mapping[str, Any] = field(default_factory=dict)
    """The ranks, and how model and batches are spread over them."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the configuration names but does not hold, such as the vocabulary and the data."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """The configuration."""

    def differences(self, now: RunIdentity) -> list[str]:
        """Returns in words how the run of a checkpoint differs from the one that is to go on with it.

        Keys that only one of the two configurations has are of another version of the program, and count for nothing.
        """
        output = []

        for key, before, after in _compare(self.layout, now.layout):
            output.append(f"{key} is {_show(before)} in the checkpoint, {_show(after)} now")

        for key, before, after in _compare(self.facts, now.facts):
            output.append(f"{key} is {_show(before)} in the checkpoint, {_show(after)} now")

        for key, before, after in _compare(self.config, now.config):
            if _ABSENT not in (before, after) and not _may_differ(key):
                output.append(f"`{key}` is {_show(before)} in the checkpoint, {_show(after)} now")

        return output


def _compare(before: object, after: object, key: str = "") -> Iterator[tuple[str, object, object]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            path = f"{key}.{name}" if key else str(name)

            yield from _compare(before.get(name, _ABSENT), after.get(name, _ABSENT), path)
    elif before != after:
        yield key, before, after


def _may_differ(key: str) -> bool:
    def is_below(roots: tuple[str, ...]) -> bool:
        return any(key == root or key.startswith(f"{root}.") for root in roots)

    return is_below(MAY_DIFFER) and not is_below(MUST_NOT_DIFFER)


def _show(value: object) -> str:
    text = "absent" if value is _ABSENT else json.dumps(value)

    return text if len(text) <= 200 else f"{text[:200]}.."
