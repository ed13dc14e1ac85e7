"""What is asked of the generation. Legend: S step, T frame, Q stream, N text length."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from fairseq2.utils.validation import StandardObjectValidator, Validatable, ValidationError, ValidationResult
from torch import Tensor
from typing_extensions import override

from codec_s2st.errors import UserInputError
from codec_s2st.generation.sampling import StreamSampling
from codec_s2st.tokens.sequence import Modality

Quantization: TypeAlias = Literal["none", "int8"]

QUANTIZATIONS: Final = get_args(Quantization)


@dataclass(frozen=True, kw_only=True)
class GenerationOptions(Validatable):
    """How segments are generated."""

    text: StreamSampling = field(default_factory=StreamSampling)
    """How text tokens are chosen."""

    streams: tuple[StreamSampling, ...] = (StreamSampling(),)
    """How the codes of each stream are chosen; the last entry serves all further streams."""

    batch_size: int = 8
    """The number of rows that are decoded together."""

    use_cache: bool = True
    """If ``False``, every step reads the whole sequence again: slow, and equal. For tests."""

    quantize: Quantization = "none"
    """``int8`` computes with weights of 8 bits, on CPUs: faster, and a little less exact."""

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if self.batch_size < 1:
            result.add_error(f"`batch_size` must be greater than or equal to 1, but is {self.batch_size} instead.")

        if not self.streams:
            result.add_error("`streams` must have an entry.")

        if self.quantize not in QUANTIZATIONS:
            result.add_error(f"`quantize` must be {' or '.join(QUANTIZATIONS)}, but is '{self.quantize}' instead.")
        elif self.quantize != "none" and not self.use_cache:
            result.add_error("`quantize` must be none where `use_cache` is false.")

        return result

    def check(self) -> None:
        """
        :raises UserInputError: an option is out of range.
        """
        try:
            StandardObjectValidator().validate(self)
        except ValidationError as ex:
            raise UserInputError(f"the options of the generation cannot be used: {ex}") from None

    def of_stream(self, stream: int) -> StreamSampling:
        return self.streams[min(stream, len(self.streams) - 1)]


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One segment to be generated."""

    prompt: Tensor
    """All that stands before the segment, the boundary that opens it included. *Shape:* [S, Q]."""

    modality: Modality
    """``SPEECH`` or ``TEXT``."""

    max_length: int
    """The largest number of frames, or of text tokens."""

    seed: int = 0
    """Decides the row's random choices, whatever the batch it is in."""


@dataclass(frozen=True)
class GeneratedSegment:
    ids: Tensor
    """Speech: codes [T, Q], each below its book's size. Text: ids of the tokenizer [N]."""

    finished: bool
    """``False`` if the segment was cut at its largest length."""
