"""The ids of everything that a sequence can hold.

    [0, text)                      the base LLM's own text ids, unchanged
    [text, text + 256)             our specials: padding, boundaries, task tags, language tags, tags of users' own tasks
    [text + 256, .. + C_0)         code book 0
    [.., .. + C_q)                 code book q

Streams 1..Q-1 hold ids of their own code book or padding; everything else sits in stream 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

from torch import Tensor

NUM_SPECIAL_SLOTS: Final = 256

PAD: Final = "<pad>"
SPEECH_BEGIN: Final = "<speech>"
SPEECH_END: Final = "</speech>"
TEXT_BEGIN: Final = "<text>"
TEXT_END: Final = "</text>"
FLUSH: Final = "<flush>"
"""Stands in stream 0 while delayed streams finish a segment."""

TASKS: Final = (
    "text_lm", "speech_lm", "asr", "tts", "s2tt", "t2st", "mt", "s2st",
    "s2st_chain", "s2st_via_text", "tts_voice", "s2st_voice", "interleaved_lm",
)  # fmt: skip
"""The tasks that everybody has. Slots are given by position: append only, never sort."""

OWN_SLOTS: Final = range(192, NUM_SPECIAL_SLOTS)
"""The slots of tasks that users define themselves."""

LANGUAGES: Final = (
    "spa", "eng", "cmn", "deu", "fra", "ita", "por", "nld", "pol", "rus", "ukr", "ces", "ron", "hun", "ell", "tur",
    "ara", "heb", "fas", "hin", "ben", "tam", "tel", "urd", "jpn", "kor", "vie", "tha", "ind", "swh", "cat", "swe",
    "dan", "nob", "fin", "est", "lav", "lit", "slk", "slv", "hrv", "bul", "srp", "cym", "gle", "eus", "glg", "yue",
)  # fmt: skip
"""ISO 639-3. Slots are given by position: append only, never sort."""


def task_tag(task: str) -> str:
    return f"<task:{task}>"


def own_task_tag(task: str) -> str:
    """Returns the tag of a task that a user has defined: another one than that of a task of everybody's so called."""
    return f"<own:{task}>"


def language_tag(language: str) -> str:
    return f"<lang:{language}>"


def _assign_slots() -> tuple[tuple[int, str], ...]:
    boundaries = (PAD, SPEECH_BEGIN, SPEECH_END, TEXT_BEGIN, TEXT_END, FLUSH)

    slots = [*enumerate(boundaries)]

    slots += [(16 + i, task_tag(task)) for i, task in enumerate(TASKS)]
    slots += [(64 + i, language_tag(language)) for i, language in enumerate(LANGUAGES)]

    return tuple(slots)


STANDARD_SPECIALS: Final = _assign_slots()
"""The assigned (slot, name) pairs. A slot once given keeps its name forever."""


def assign_own_slots(specials: Iterable[tuple[int, str]], tags: Iterable[str]) -> tuple[tuple[int, str], ...]:
    """Returns ``specials`` with a slot for each of ``tags``, those that have one already left as they are.

    A tag gets the first free one of :data:`OWN_SLOTS` from a hash of its name on. So it depends on neither the order of
    tags nor, but for rare collisions, on the others; models that were trained apart mostly agree.

    :raises ValueError: no slot is free.
    """
    names = dict(specials)

    for tag in sorted(set(tags) - set(names.values())):
        first = int.from_bytes(sha256(tag.encode()).digest()[:8], "big")

        slots = (OWN_SLOTS[(first + i) % len(OWN_SLOTS)] for i in range(len(OWN_SLOTS)))

        slot = next((slot for slot in slots if slot not in names), None)

        if slot is None:
            raise ValueError(f"There is no slot for {tag}: all {len(OWN_SLOTS)} are taken.")

        names[slot] = tag

    return tuple(sorted(names.items()))


@dataclass(frozen=True)
class Vocabulary:
    """Id intervals; checked at construction, pure arithmetic after it."""

    text_size: int
    """The number of rows of the base LLM's embedding that hold text, padding rows of the LLM included."""

    codebook_sizes: tuple[int, ...]

    specials: tuple[tuple[int, str], ...] = STANDARD_SPECIALS
    """(slot, name) pairs; the id is ``text_size + slot``."""

    def __post_init__(self) -> None:
        if self.text_size < 0:
            raise ValueError(f"`text_size` must not be negative, but is {self.text_size} instead.")

        if not self.codebook_sizes or min(self.codebook_sizes) < 1:
            raise ValueError(f"`codebook_sizes` must be positive, but is {self.codebook_sizes} instead.")

        slots = [slot for slot, _ in self.specials]
        names = [name for _, name in self.specials]

        if len(set(slots)) != len(slots) or len(set(names)) != len(names):
            raise ValueError("`specials` must not repeat a slot or a name.")

        if slots and not 0 <= min(slots) <= max(slots) < NUM_SPECIAL_SLOTS:
            raise ValueError(f"The slots of `specials` must be in 0..{NUM_SPECIAL_SLOTS - 1}.")

    @property
    def num_streams(self) -> int:
        return len(self.codebook_sizes)

    @property
    def specials_begin(self) -> int:
        return self.text_size

    @property
    def codes_begin(self) -> int:
        """The first id of code book 0."""
        return self.text_size + NUM_SPECIAL_SLOTS

    @property
    def size(self) -> int:
        return self.codes_begin + sum(self.codebook_sizes)

    @property
    def stream0_size(self) -> int:
        """The number of ids that stream 0 can hold: text, specials and code book 0."""
        return self.codes_begin + self.codebook_sizes[0]

    def codebook_begin(self, stream: int) -> int:
        """Returns the first id of the code book of ``stream``."""
        return self.codes_begin + sum(self.codebook_sizes[:stream])

    def codebook_offsets(self) -> tuple[int, ...]:
        """Returns the first id of each code book."""
        return tuple(self.codebook_begin(stream) for stream in range(self.num_streams))

    def special(self, name: str) -> int:
        """Returns the id of the special called ``name``.

        :raises KeyError: there is none.
        """
        return self.special_ids[name]

    @cached_property
    def special_ids(self) -> Mapping[str, int]:
        """The ids of the specials, by name."""
        return {name: self.text_size + slot for slot, name in self.specials}

    @property
    def pad(self) -> int:
        return self.special(PAD)

    def is_text_space(self, ids: Tensor) -> Tensor:
        """True for the ids that are predicted over text and specials: text itself, and the end of a text segment.

        Every other id of stream 0 is predicted over specials and code book 0.
        """
        return (ids < self.text_size) | (ids == self.special(TEXT_END))

    @property
    def text_space(self) -> range:
        """The ids of stream 0 that compete at a text step: text and specials."""
        return range(0, self.codes_begin)

    @property
    def speech_space(self) -> range:
        """The ids of stream 0 that compete at a speech or boundary step: specials and code book 0."""
        return range(self.specials_begin, self.stream0_size)

    def name_of(self, token: int) -> str:
        """Returns a readable name of an id, such as ``text:17``, ``<speech>`` or ``q2:511``.

        :raises ValueError: ``token`` is outside the vocabulary.
        """
        if not 0 <= token < self.size:
            raise ValueError(f"`token` must be in 0..{self.size - 1}, but is {token} instead.")

        if token < self.text_size:
            return f"text:{token}"

        if token < self.codes_begin:
            slot = token - self.text_size

            return dict(self.specials).get(slot, f"<reserved:{slot}>")

        for stream in reversed(range(self.num_streams)):
            if token >= self.codebook_begin(stream):
                break

        return f"q{stream}:{token - self.codebook_begin(stream)}"
