"""Ties a run's tokenizer, codec and initial weights to one vocabulary, and checks that they fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from fairseq2.recipe.config import ModelSection

from codec_s2st.data.text import TextTokenizer, load_text_tokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY
from codec_s2st.recipes.common.initial import InitialModel
from codec_s2st.tokens.compatibility import VocabularyFingerprint
from codec_s2st.tokens.delay import parse_pattern
from codec_s2st.tokens.fingerprint import CodecFingerprint
from codec_s2st.tokens.sequence import SequenceBuilder
from codec_s2st.tokens.vocabulary import OWN_SLOTS, STANDARD_SPECIALS, assign_own_slots

AUTO_TOKENIZER: Final = "auto"
"""Names the tokenizer of the model that a run starts from."""

_DEFAULT_TOKENIZER: Final = "codec_s2st_demo_tokenizer"


@dataclass(frozen=True)
class BoundVocabulary:
    """What the ids of a run mean."""

    fingerprint: VocabularyFingerprint

    tokenizer: TextTokenizer

    max_seq_len: int
    """The largest number of steps that the model has positions for."""

    @property
    def builder(self) -> SequenceBuilder:
        vocabulary = self.fingerprint.vocabulary

        return SequenceBuilder(vocabulary, parse_pattern(self.fingerprint.pattern, vocabulary.num_streams))


def choose_tokenizer(name: str | None, initial: InitialModel) -> TextTokenizer:
    """Returns the text tokenizer of a run.

    :param name: As in the configuration; ``auto`` is the tokenizer of ``initial``, or the demo's for random weights.

    :raises UserInputError: ``initial`` comes without a tokenizer, or there is no tokenizer of that name.
    """
    if name is None:
        raise UserInputError("`tokenizer.name` must be set", hint="codec-s2st ls --kind cards")

    if name != AUTO_TOKENIZER:
        return load_text_tokenizer(name)

    if initial.tokenizer is not None:
        return load_text_tokenizer(initial.tokenizer)

    if initial.path is None and initial.name is None:
        return load_text_tokenizer(_DEFAULT_TOKENIZER)

    raise UserInputError(
        f"model '{initial.shown}' comes without a tokenizer",
        hint="set `tokenizer.name` to a card, or to a folder with tokenizer.json or tokenizer.model",
    )


def bind_vocabulary(
    section: ModelSection,
    initial: InitialModel,
    tokenizer: TextTokenizer,
    codec: CodecFingerprint,
    own_tags: Sequence[str] = (),
) -> BoundVocabulary:
    """Decides the run's vocabulary and completes the model section, so that fairseq2 builds and loads the right model.

    A new model gets as many text rows as the tokenizer has ids; a textual LLM keeps its own rows, padding included; a
    codec_lm checkpoint must mean the same by its rows as the run does.

    :param own_tags: The tags of tasks that the user has defined; those that the checkpoint knows stay where they are.

    :raises UserInputError: checkpoint, tokenizer and codec do not fit together.
    """
    overrides: dict[str, Any] = dict(section.config_overrides) if isinstance(section.config_overrides, Mapping) else {}

    decoder = asdict(initial.decoder)

    if initial.path is None and initial.name is None:
        decoder["vocab_size"] = tokenizer.size

    decoder.update(overrides.get("decoder", {}))

    text_size = int(decoder["vocab_size"])

    if text_size < tokenizer.size:
        raise UserInputError(
            f"tokenizer '{tokenizer.name}' has {tokenizer.size} ids, but the model has {text_size} text rows",
            hint="use the tokenizer that the model was trained with",
        )

    pattern = str(overrides.get("pattern", initial.config.pattern))

    try:
        parse_pattern(pattern, len(codec.codebook_sizes))
    except ValueError as ex:
        raise UserInputError(f"`model.config_overrides.pattern`: {ex}") from None

    where = f"model '{initial.shown}'"

    known = VocabularyFingerprint.from_json(initial.vocabulary, where=where) if initial.vocabulary else None

    fingerprint = VocabularyFingerprint(
        tokenizer=tokenizer.name,
        tokenizer_hash=tokenizer.hash,
        text_size=text_size,
        codec=codec,
        pattern=pattern,
        specials=_specials(known, own_tags),
    )

    if known is not None:
        known.check_loads_into(fingerprint, where=where)

    overrides.update(
        decoder=decoder,
        codebook_sizes=list(codec.codebook_sizes),
        pattern=fingerprint.pattern,
        vocabulary=fingerprint.to_json(),
    )

    # What a checkpoint is made of, it keeps.
    kept = asdict(initial.config)

    for key in ("rows_multiple_of", "heads", "depth"):
        overrides.setdefault(key, kept[key])

    _complete(section, initial, overrides)

    return BoundVocabulary(fingerprint, tokenizer, int(decoder["max_seq_len"]))


def _specials(known: VocabularyFingerprint | None, own_tags: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Returns everybody's specials, the own tags of the model that a run starts from, and those of the run."""
    inherited = [] if known is None else [(slot, name) for slot, name in known.specials if slot in OWN_SLOTS]

    try:
        return assign_own_slots([*STANDARD_SPECIALS, *inherited], own_tags)
    except ValueError:
        raise UserInputError(
            f"the tasks of your own, and {len(inherited)} of the model that the run starts from, are more than "
            f"the {len(OWN_SLOTS)} that there is room for"
        ) from None


def _complete(section: ModelSection, initial: InitialModel, overrides: dict[str, Any]) -> None:
    section.name = initial.name

    section.path = initial.path

    section.family = CODEC_LM_FAMILY if initial.name is None else None

    section.config_overrides = overrides
