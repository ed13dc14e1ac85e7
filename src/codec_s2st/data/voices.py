"""Which utterance lends a speaker's voice to which row. Legend: N row, T codec frame, Q stream."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from codec_s2st.data.shard_format import Codes, ShardRow
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.slots import SideName, VoiceSlot
from codec_s2st.errors import UserInputError

_NUM_NEAR: Final = 16
"""The utterances of a speaker that are chosen from. They lie next to the row, and so mostly in what is read with it."""


@final
class Voices:
    """The utterances of each speaker on one side of some rows.

    The choice for a row is a function of the seed, the row's id and who is there to choose from; a voice is the same in
    every epoch.
    """

    def __init__(self, shards: ShardSet, slot: VoiceSlot, side: SideName, usable: NDArray[np.bool_], seed: int) -> None:
        """
        :param side: The side of the shards' rows that the voice is taken from.
        :param usable: Which rows may lend a voice: those of the splits that are read. *Shape:* [N].
        """
        self._side = side
        self._seed = seed
        self._is_same = slot.utterance == "same"

        self._num_frames = 0

        if shards.fingerprint is not None:
            self._num_frames = round(slot.seconds * shards.fingerprint.spec.frame_rate)

            if self._num_frames < 1:
                raise UserInputError(
                    f"a voice of {slot.seconds} s is less than one frame of the {shards.fingerprint.describe()}"
                )

        self.serves: NDArray[np.bool_] = usable & (shards.num_frames(side) > 0)
        """Which rows get a voice. *Shape:* [N]."""

        if self._is_same:
            return

        # [N]; the number of the row's speaker, -1 where it has none that can be heard.
        self._speakers = np.where(self.serves, shards.speakers(side), -1)

        # The rows, those of a speaker side by side.
        self._order = np.argsort(self._speakers, kind="stable")

        self._starts = np.searchsorted(self._speakers[self._order], np.arange(self._speakers.max(initial=-1) + 2))

        counts = np.diff(self._starts)

        # Rows that are alone have nobody to be lent a voice by.
        self.serves = (self._speakers >= 0) & (np.append(counts, 0)[self._speakers] > 1)

    def of(self, idx: int, row_id: str, read: Callable[[int, tuple[str]], ShardRow]) -> Codes:
        """Returns a few seconds of the speaker of row ``idx``, which :attr:`serves` names. *Shape:* [T, Q].

        :param read: Returns a row with the codes of the sides that are asked for.
        """
        digest = blake2b(f"{self._seed}/{row_id}".encode(), digest_size=16).digest()

        choice, begin = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")

        row = read(idx if self._is_same else self._other(idx, choice), (self._side,))

        codes = (row.source if self._side == "source" else row.target).codes

        assert codes is not None

        begin %= max(len(codes) - self._num_frames, 0) + 1

        return codes[begin : begin + self._num_frames]

    def _other(self, idx: int, choice: int) -> int:
        speaker = self._speakers[idx]

        group = self._order[self._starts[speaker] : self._starts[speaker + 1]]

        place = int(np.searchsorted(group, idx))

        first = max(min(place - _NUM_NEAR // 2, len(group) - 1 - _NUM_NEAR), 0)

        near = group[first : first + _NUM_NEAR + 1]

        # Counted on from the row itself, which is not to be hit.
        return int(near[(place - first + 1 + choice % (len(near) - 1)) % len(near)])
