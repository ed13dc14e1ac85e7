"""The configuration of the codec_lm family."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from fairseq2.utils.validation import Validatable, ValidationResult

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.backbones import BACKBONES, BackboneConfig
from codec_s2st.models.codec_lm.depth import DepthConfig
from codec_s2st.models.codec_lm.tables import NEW_ROWS_INITS, NewRowsInit
from codec_s2st.tokens.compatibility import VocabularyFingerprint
from codec_s2st.tokens.delay import StreamPattern, parse_pattern
from codec_s2st.tokens.vocabulary import STANDARD_SPECIALS, Vocabulary

HeadsKind: TypeAlias = Literal["parallel", "depth"]

HEADS_KINDS: Final = get_args(HeadsKind)

CODEC_LM_FAMILY: Final = "codec_s2st_lm"

_MAX_LAYERS: Final = 1_000
"""No model has so many; a wrong number would be built for hours before a checkpoint is compared with it."""


@dataclass(kw_only=True)
class CodecLMConfig(Validatable):
    """A decoder-only language model over text and Q streams of codec tokens."""

    decoder: BackboneConfig = field(default_factory=lambda: BackboneConfig())
    """The backbone; its ``vocab_size`` is the number of text rows."""

    codebook_sizes: list[int] = field(default_factory=lambda: [1024, 1024, 1024])
    """The size of each of the Q code books."""

    pattern: str = "parallel"
    """How codes are laid out over steps: ``parallel``, ``delay``, ``flatten`` or ``delay:0,1,1``."""

    heads: HeadsKind = "parallel"
    """How the streams of a step are predicted: ``parallel`` or, one after the other, ``depth``."""

    depth: DepthConfig = field(default_factory=lambda: DepthConfig())
    """The depth transformer, where ``heads`` is ``depth``."""

    rows_multiple_of: int = 1
    """Each table is padded at its end to a multiple of so many rows, which tensor parallelism then splits evenly."""

    new_rows_init: NewRowsInit = "normal"
    """What a warm start draws new rows from: ``normal`` (mean 0), or ``old_rows`` (mean and covariance of the old)."""

    new_rows_std: float = 0.02
    """The standard deviation of ``normal``; and of both tables where nothing is loaded into them."""

    new_rows_scale: float = 1.0
    """With ``old_rows``, the standard deviation of new rows in units of the old rows'."""

    new_rows_seed: int = 1
    """The seed of the new rows' initialisation in a warm start."""

    text_loss_weight: float = 1.0
    """The weight of text targets in the loss."""

    stream_loss_weights: list[float] = field(default_factory=list)
    """The weight of the codes of each of the Q streams in the loss; if empty, 1 each."""

    vocabulary: str = ""
    """What the rows mean: a vocabulary fingerprint in JSON. Empty in an architecture; a run fills it in."""

    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if not self.codebook_sizes or min(self.codebook_sizes) < 1:
            result.add_error("`codebook_sizes` must hold at least one positive size.")

            return result

        sizes = ("model_dim", "max_seq_len", "num_layers", "num_attn_heads", "num_key_value_heads", "ffn_inner_dim")

        for name in sizes:
            if getattr(self.decoder, name) < 1:
                result.add_error(f"`decoder.{name}` must be positive, but is {getattr(self.decoder, name)}.")

        if self.decoder.vocab_size < 0:
            result.add_error(f"`decoder.vocab_size` must not be negative, but is {self.decoder.vocab_size}.")

        if self.decoder.num_layers > _MAX_LAYERS:
            result.add_error(f"`decoder.num_layers` must be at most {_MAX_LAYERS}, but is {self.decoder.num_layers}.")

        if self.vocabulary:
            try:
                VocabularyFingerprint.from_json(self.vocabulary, where="`vocabulary`")
            except UserInputError as ex:
                result.add_error(f"{ex}.")

        if self.decoder.family not in BACKBONES:
            result.add_error(f"`decoder.family` must be {' or '.join(BACKBONES)}, but is '{self.decoder.family}'.")

        if self.heads not in HEADS_KINDS:
            result.add_error(f"`heads` must be {' or '.join(HEADS_KINDS)}, but is '{self.heads}'.")

        if self.heads == "depth" and (len(self.codebook_sizes) == 1 or self.pattern == "flatten"):
            result.add_error("`heads` must be parallel where a step holds one code: one code book, or flatten.")

        if self.rows_multiple_of < 1:
            result.add_error("`rows_multiple_of` must be at least 1.")

        if self.new_rows_init not in NEW_ROWS_INITS:
            result.add_error(f"`new_rows_init` must be {' or '.join(NEW_ROWS_INITS)}, but is '{self.new_rows_init}'.")

        if self.new_rows_std <= 0:
            result.add_error("`new_rows_std` must be positive.")

        if self.new_rows_scale < 0:
            result.add_error("`new_rows_scale` must not be negative.")

        if self.text_loss_weight <= 0:
            result.add_error("`text_loss_weight` must be positive.")

        if self.stream_loss_weights and len(self.stream_loss_weights) != len(self.codebook_sizes):
            result.add_error(f"`stream_loss_weights` must hold {len(self.codebook_sizes)} values, one a code book.")

        if self.stream_loss_weights and min(self.stream_loss_weights) < 0:
            result.add_error("`stream_loss_weights` must not be negative.")

        try:
            parse_pattern(self.pattern, len(self.codebook_sizes))
        except ValueError as ex:
            result.add_error(str(ex))

        return result

    def make_vocabulary(self) -> Vocabulary:
        """Returns the id intervals of the model's rows."""
        specials = STANDARD_SPECIALS

        if self.vocabulary:
            specials = VocabularyFingerprint.from_json(self.vocabulary).specials

        return Vocabulary(self.decoder.vocab_size, tuple(self.codebook_sizes), specials)

    def make_pattern(self) -> StreamPattern:
        return parse_pattern(self.pattern, len(self.codebook_sizes))
