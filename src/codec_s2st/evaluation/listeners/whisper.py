"""Whisper as a listener, through transformers. Legend: N sample."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, final

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.pretrained import LOAD_ERRORS, cannot_load, find_pretrained, identify, load_network, name_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_SAMPLE_RATE: Final = 16_000

_WINDOW_SECONDS: Final = 30
"""What the encoder hears at once."""


@final
class WhisperTranscriber:
    """Greedy, in one language, without time stamps; what is longer than 30 s is heard window after window."""

    def __init__(self, model: str, *, device: torch.device) -> None:
        """
        :param model: A folder as transformers writes it, or the name of a repository of Hugging Face.

        :raises UserInputError: there is no such model, or it is not Whisper, or its weights are pickles.
        :raises CodecS2STError: it cannot be fetched.
        """
        import transformers
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        what = f"transcriber 'whisper:{model}'"

        folder = find_pretrained(model, what=what)

        try:
            self._processor: Any = WhisperProcessor.from_pretrained(folder)

            network: Any = load_network(WhisperForConditionalGeneration, folder)
        except LOAD_ERRORS as ex:
            raise cannot_load(
                what, ex, hint="name a folder with config.json, tokenizer and model.safetensors of a Whisper model"
            ) from ex

        self._network = network.to(device).eval()

        self._device = device

        self.instrument: Identity | None = identify(model, folder)

        self.name = name_of("whisper", self.instrument, f"transformers {transformers.__version__}")

    def check_languages(self, languages: Iterable[str]) -> None:
        """
        :raises UserInputError: one of them, an ISO 639-3 code, is not known to the model.
        """
        for language in languages:
            if self._code_of(language) is None and self._is_multilingual:
                raise UserInputError(f"{self.name.partition(' ')[0]} does not know the language '{language}'")

            if not self._is_multilingual and language != "eng":
                raise UserInputError(f"{self.name.partition(' ')[0]} understands eng alone, not '{language}'")

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int, language: str | None) -> str:
        import torch

        from codec_s2st.codecs.resampling import resample

        speech = resample(torch.from_numpy(wave)[None], sample_rate, _SAMPLE_RATE)[0].numpy()

        is_long = len(speech) > _WINDOW_SECONDS * _SAMPLE_RATE

        inputs = self._processor(
            speech,
            sampling_rate=_SAMPLE_RATE,
            return_tensors="pt",
            return_attention_mask=True,
            **({"truncation": False, "padding": "longest"} if is_long else {}),
        ).to(self._device)

        options: dict[str, Any] = {}

        if self._is_multilingual:
            options = {"task": "transcribe", "language": None if language is None else self._code_of(language)}

        with torch.inference_mode():
            ids = self._network.generate(**inputs, **options, do_sample=False, num_beams=1, return_timestamps=is_long)

        return str(self._processor.batch_decode(ids, skip_special_tokens=True)[0]).strip()

    @property
    def _is_multilingual(self) -> bool:
        return bool(getattr(self._network.generation_config, "is_multilingual", False))

    def _code_of(self, language: str) -> str | None:
        """Returns Whisper's code of a language, such as ``es`` for ``spa``, if the model has its token."""
        from codec_s2st.data.preparation.languages import find_iso639_3

        tokens = getattr(self._network.generation_config, "lang_to_id", {})

        codes = (token.removeprefix("<|").removesuffix("|>") for token in tokens)

        return next((code for code in codes if find_iso639_3(code) == language), None)
