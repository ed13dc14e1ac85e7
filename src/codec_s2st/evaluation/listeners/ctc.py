"""wav2vec 2.0 and its like with a CTC head as a listener, through transformers. Legend: B batch, N sample, S step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, final

from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.pretrained import LOAD_ERRORS, cannot_load, find_pretrained, identify, load_network, name_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_SAMPLE_RATE: Final = 16_000


@final
class CtcTranscriber:
    """The most likely letter of each step, doubles and blanks dropped; no language model.

    Such a network does not say which languages it understands: it writes whatever it hears in its own letters.
    """

    def __init__(self, model: str, *, device: torch.device) -> None:
        """
        :param model: A folder as transformers writes it, or the name of a repository of Hugging Face.

        :raises UserInputError: there is no such model, or it has no CTC head, or its weights are pickles.
        :raises CodecS2STError: it cannot be fetched.
        """
        import transformers
        from transformers import AutoModelForCTC, AutoProcessor

        what = f"transcriber 'wav2vec2:{model}'"

        folder = find_pretrained(model, what=what)

        try:
            self._processor: Any = AutoProcessor.from_pretrained(folder)

            network: Any = load_network(AutoModelForCTC, folder)
        except LOAD_ERRORS as ex:
            raise cannot_load(
                what, ex, hint="name a folder with config.json, vocab.json and model.safetensors of a CTC model"
            ) from ex

        self._network = network.to(device).eval()

        self._device = device

        self.instrument: Identity | None = identify(model, folder)

        self.name = name_of("wav2vec2", self.instrument, f"transformers {transformers.__version__}")

    def check_languages(self, languages: Iterable[str]) -> None:
        """Does nothing: there is nothing to check them by."""

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int, language: str | None) -> str:
        import torch

        from codec_s2st.codecs.resampling import resample

        speech = resample(torch.from_numpy(wave)[None], sample_rate, _SAMPLE_RATE)[0].numpy()

        inputs = self._processor(speech, sampling_rate=_SAMPLE_RATE, return_tensors="pt").to(self._device)

        with torch.inference_mode():
            # (B, S)
            ids = self._network(**inputs).logits.argmax(dim=-1)

        return str(self._processor.batch_decode(ids)[0]).strip()
