"""SeamlessM4T, either version, as a listener, through transformers. Legend: N sample."""

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


@final
class SeamlessTranscriber:
    """Its recognition: greedy, from speech to text of the same language."""

    def __init__(self, model: str, *, device: torch.device) -> None:
        """
        :param model: A folder as transformers writes it, or the name of a repository of Hugging Face.

        :raises UserInputError: there is no such model, or it is not SeamlessM4T, or its weights are pickles.
        :raises CodecS2STError: it cannot be fetched.
        """
        import transformers
        from transformers import AutoConfig, AutoProcessor, SeamlessM4TForSpeechToText, SeamlessM4Tv2ForSpeechToText

        what = f"transcriber 'seamless:{model}'"

        folder = find_pretrained(model, what=what)

        try:
            config = AutoConfig.from_pretrained(folder)

            kls: Any = {
                "seamless_m4t": SeamlessM4TForSpeechToText,
                "seamless_m4t_v2": SeamlessM4Tv2ForSpeechToText,
            }[config.model_type]

            self._processor: Any = AutoProcessor.from_pretrained(folder)

            network: Any = load_network(kls, folder)
        except LOAD_ERRORS as ex:
            raise cannot_load(
                what, ex, hint="name a folder with config.json, tokenizer and model.safetensors of a SeamlessM4T model"
            ) from ex

        self._network = network.to(device).eval()

        self._device = device

        self.instrument: Identity | None = identify(model, folder)

        self.name = name_of("seamless", self.instrument, f"transformers {transformers.__version__}")

    def check_languages(self, languages: Iterable[str]) -> None:
        """
        :raises UserInputError: one of them, an ISO 639-3 code, is not known to the model.
        """
        known = getattr(self._network.generation_config, "text_decoder_lang_to_code_id", {})

        for language in languages:
            if language not in known:
                raise UserInputError(f"{self.name.partition(' ')[0]} does not know the language '{language}'")

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int, language: str | None) -> str:
        """
        :raises UserInputError: ``language`` is ``None``: the model has to be told.
        """
        import torch

        from codec_s2st.codecs.resampling import resample

        if language is None:
            raise UserInputError(f"{self.name.partition(' ')[0]} has to be told the language", hint="set target_lang")

        speech = resample(torch.from_numpy(wave)[None], sample_rate, _SAMPLE_RATE)[0].numpy()

        inputs = self._processor(audios=speech, sampling_rate=_SAMPLE_RATE, return_tensors="pt").to(self._device)

        with torch.inference_mode():
            ids = self._network.generate(**inputs, tgt_lang=language, do_sample=False, num_beams=1)

        return str(self._processor.decode(ids[0].tolist(), skip_special_tokens=True)).strip()
