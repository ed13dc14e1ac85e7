"""The segments of a task, as data: where each is taken from, and what it is for. Legend: T codec frame, Q stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Literal, TypeAlias

from typing_extensions import override

from codec_s2st.data.alignment import take_turns
from codec_s2st.data.shard_format import Codes, ShardRow, Side
from codec_s2st.tokens.sequence import Modality

SideName: TypeAlias = Literal["source", "target"]

LossPolicy: TypeAlias = Literal["all", "target"]
"""``all``: every segment but the tags and a voice (pre-training). ``target``: the target, and the steps that lead to it
(fine-tuning)."""

Piece: TypeAlias = "str | Codes"
"""What a segment is made of: a text, or codes [T, Q]."""


class Role(Enum):
    """What a segment is for."""

    VOICE = "voice"
    """Given, and never predicted."""

    PROMPT = "prompt"
    """Given; predicted in pre-training."""

    STEP = "step"
    """Predicted on the way to the target."""

    TARGET = "target"
    """Predicted: what the task is about."""

    @property
    def is_given(self) -> bool:
        return self in (Role.VOICE, Role.PROMPT)

    def in_loss(self, loss: LossPolicy) -> bool:
        return self is not Role.VOICE and (loss == "all" or not self.is_given)


class Need(Enum):
    """What a slot takes from a row."""

    TEXT = "text"
    CODES = "codes"
    ALIGNMENT = "alignment"
    VOICE = "speech of the same speaker"


@dataclass(frozen=True, slots=True)
class Example:
    """A row, and what a task adds to it."""

    row: ShardRow

    voice: Codes | None = None
    """A few seconds of a speaker, for a :class:`VoiceSlot`. *Shape:* [T, Q]."""

    seed: int = 0
    """Decides, together with the row's id, what is left to chance."""

    @property
    def id(self) -> str:
        return self.row.id

    def side(self, name: SideName) -> Side:
        return self.row.source if name == "source" else self.row.target

    def has(self, need: Need, side: SideName) -> bool:
        match need:
            case Need.TEXT:
                return self.side(side).text is not None
            case Need.CODES:
                return self.side(side).codes is not None
            case Need.ALIGNMENT:
                return self.side(side).alignment is not None
            case Need.VOICE:
                return self.voice is not None


@dataclass(frozen=True, kw_only=True)
class Slot(ABC):
    """A part of a sequence that is filled from an example."""

    side: SideName
    role: Role

    @property
    @abstractmethod
    def modalities(self) -> frozenset[Modality]:
        """What its segments are."""

    @property
    @abstractmethod
    def needs(self) -> tuple[Need, ...]:
        """What an example must have on the slot's side."""

    @abstractmethod
    def pieces(self, example: Example) -> Iterable[Piece]:
        """Returns what its segments are made of; ``example`` has what the slot needs."""

    def fits(self, example: Example) -> bool:
        return all(example.has(need, self.side) for need in self.needs)


@dataclass(frozen=True, kw_only=True)
class WholeSlot(Slot):
    """A whole text, or a whole utterance."""

    modality: Modality

    @property
    @override
    def modalities(self) -> frozenset[Modality]:
        return frozenset((self.modality,))

    @property
    @override
    def needs(self) -> tuple[Need, ...]:
        return (Need.TEXT,) if self.modality is Modality.TEXT else (Need.CODES,)

    @override
    def pieces(self, example: Example) -> Iterable[Piece]:
        side = example.side(self.side)

        piece = side.text if self.modality is Modality.TEXT else side.codes

        assert piece is not None

        return (piece,)


@dataclass(frozen=True, kw_only=True)
class VoiceSlot(Slot):
    """A few seconds of the speaker of a side."""

    role: Role = Role.VOICE

    seconds: float = 3.0
    """The largest duration."""

    utterance: Literal["other", "same"] = "other"
    """Whether it is taken from another utterance of the speaker, or from that of the row."""

    @property
    @override
    def modalities(self) -> frozenset[Modality]:
        return frozenset((Modality.SPEECH,))

    @property
    @override
    def needs(self) -> tuple[Need, ...]:
        return (Need.VOICE,)

    @override
    def pieces(self, example: Example) -> Iterable[Piece]:
        assert example.voice is not None

        return (example.voice,)


@dataclass(frozen=True, kw_only=True)
class InterleavedSlot(Slot):
    """An utterance whose words or phrases are written and spoken in turn."""

    spans: tuple[int, int] = (1, 6)
    """The least and the largest number of aligned words, or phrases, until the other takes over."""

    @property
    @override
    def modalities(self) -> frozenset[Modality]:
        return frozenset((Modality.TEXT, Modality.SPEECH))

    @property
    @override
    def needs(self) -> tuple[Need, ...]:
        return (Need.CODES, Need.ALIGNMENT)

    @override
    def pieces(self, example: Example) -> Iterator[Piece]:
        side = example.side(self.side)

        assert side.codes is not None and side.alignment is not None

        rng = Random(f"{example.seed}/{example.id}")

        for part in take_turns(side.alignment, len(side.codes), side.lang, self.spans, rng):
            yield part if isinstance(part, str) else side.codes[part.start : part.stop]
