"""The identity of a vocabulary, stored in checkpoints and cards and compared at every load.

Two models whose tables have equal shapes may still mean different things by the same row: a strict load passes and the
cross entropy explodes. Comparing names of rows is what catches it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint
from codec_s2st.tokens.vocabulary import STANDARD_SPECIALS, Vocabulary


@dataclass(frozen=True)
class VocabularyFingerprint:
    """What the rows of an embedding mean."""

    tokenizer: str
    """The name of the text tokenizer's card, or its path; empty if none was known when the vocabulary was grown."""

    tokenizer_hash: str
    """The SHA-256 of the tokenizer's file; empty together with ``tokenizer``: then every tokenizer will do."""

    text_size: int

    codec: CodecFingerprint

    pattern: str
    """The name of the stream pattern."""

    specials: tuple[tuple[int, str], ...] = STANDARD_SPECIALS

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.text_size, self.codec.codebook_sizes, self.specials)

    @property
    def shown_tokenizer(self) -> str:
        """The text tokenizer as messages have it: a name does not say which version."""
        return f"'{self.tokenizer}' (SHA-256 {self.tokenizer_hash[:8]})"

    def check_loads_into(self, run: VocabularyFingerprint, *, where: str) -> None:
        """Checks that a model with this vocabulary can be used by ``run``.

        Its special pairs must be a subset of the run's, so that a new tag breaks nothing.

        :raises UserInputError: what differs, with both values.
        """
        pairs = [
            ("text tokenizer", (self.tokenizer_hash, self.shown_tokenizer), (run.tokenizer_hash, run.shown_tokenizer)),
            ("text vocabulary size", (self.text_size,) * 2, (run.text_size,) * 2),
            ("codec", (self.codec.digest, self.codec.describe()), (run.codec.digest, run.codec.describe())),
            ("stream pattern", (self.pattern,) * 2, (run.pattern,) * 2),
        ]

        if not self.tokenizer_hash:
            pairs = pairs[1:]

        for what, (mine, mine_shown), (theirs, theirs_shown) in pairs:
            if mine != theirs:
                raise UserInputError(
                    f"{where}: the {what} is {mine_shown}, but the run has {theirs_shown}", hint=self._advice(what)
                )

        surplus = sorted(set(self.specials) - set(run.specials))

        if surplus:
            raise UserInputError(f"{where}: special tokens {surplus[:4]} are not in the run's vocabulary")

    def _advice(self, what: str) -> str:
        """Returns what makes a run have what this vocabulary has."""
        if what == "codec":
            return f"make shards with this codec, and set num_streams={len(self.codec.codebook_sizes)}"

        if what == "stream pattern":
            return f"set model.config_overrides.pattern={self.pattern}"

        return "set tokenizer.name=auto: the model's own"

    def to_json(self) -> str:
        fields = {
            "tokenizer": self.tokenizer,
            "tokenizer_hash": self.tokenizer_hash,
            "text_size": self.text_size,
            "codec": json.loads(self.codec.to_json()),
            "pattern": self.pattern,
            "specials": [list(pair) for pair in self.specials],
        }

        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, where: str = "the vocabulary fingerprint") -> VocabularyFingerprint:
        """Reads what :meth:`to_json` wrote.

        :raises UserInputError: ``text`` is not a fingerprint.
        """
        try:
            fields = json.loads(text)

            fingerprint = cls(
                tokenizer=str(fields["tokenizer"]),
                tokenizer_hash=str(fields["tokenizer_hash"]),
                text_size=int(fields["text_size"]),
                codec=CodecFingerprint.from_json(json.dumps(fields["codec"]), where=where),
                pattern=str(fields["pattern"]),
                specials=tuple((int(slot), str(name)) for slot, name in fields["specials"]),
            )

            # Checks the numbers.
            _ = fingerprint.vocabulary
        except (KeyError, TypeError, ValueError) as ex:
            reason = f"it has no `{ex.args[0]}`" if isinstance(ex, KeyError) else str(ex)

            if not text:
                reason = "it says nothing of its vocabulary"

            raise UserInputError(f"{where} cannot be read: {reason}") from None

        return fingerprint
