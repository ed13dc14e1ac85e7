"""How much two recordings sound like one speaker: the cosine of x-vectors. Legend: B batch, D vector, N sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.judges.judge import SIMILARITY, Recording
from codec_s2st.evaluation.measures import describe
from codec_s2st.evaluation.pretrained import LOAD_ERRORS, cannot_load, find_pretrained, identify, load_network
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, REFERENCE_AUDIO
from codec_s2st.evaluation.signal import Measurement

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_SAMPLE_RATE: Final = 16_000

_TO_SOURCE: Final = "speaker-similarity-source"
_TO_REFERENCE: Final = "speaker-similarity-reference"


@final
class XVectorJudge:
    """A network of transformers with a head for x-vectors, such as WavLM's (``WavLMForXVector``)."""

    quality = SIMILARITY

    metrics: Mapping[str, tuple[str, ...]] = {
        # Of the reference's recording it is what a translation in another voice would have.
        _TO_SOURCE: (MODEL, CODEC_TOPLINE, REFERENCE_AUDIO),
        _TO_REFERENCE: (MODEL, CODEC_TOPLINE),
    }

    def __init__(self, model: str, *, device: torch.device) -> None:
        """
        :param model: A folder as transformers writes it, or the name of a repository of Hugging Face, such as
            ``microsoft/wavlm-base-plus-sv``.

        :raises AbsentModelError: it cannot be fetched.
        :raises AbsentFolderError: there is no such folder.
        :raises UserInputError: it is something else, or its weights are pickles.
        """
        import transformers
        from transformers import AutoFeatureExtractor, AutoModelForAudioXVector

        what = f"judge 'xvector', model '{model}'"

        folder = find_pretrained(model, what=what)

        try:
            self._extractor: Any = AutoFeatureExtractor.from_pretrained(folder)

            network: Any = load_network(AutoModelForAudioXVector, folder)
        except LOAD_ERRORS as ex:
            raise cannot_load(
                what, ex, hint="name a folder with config.json, preprocessor_config.json and model.safetensors"
            ) from ex

        self._network = network.to(device).eval()

        self._device = device

        self.instrument: Identity | None = identify(model, folder)

        self.signature = f"cosine of x-vectors|{_SAMPLE_RATE} Hz|transformers:{transformers.__version__}"

        self.name = f"xvector:{self.instrument.name} (transformers {transformers.__version__})"

        # A source is heard again for each system.
        self._embed = lru_cache(maxsize=16)(self._embed_file)

    def judge(self, recordings: Sequence[Recording]) -> list[dict[str, Measurement]]:
        return [self._judge(recording) for recording in recordings]

    def _judge(self, recording: Recording) -> dict[str, Measurement]:
        others = {_TO_SOURCE: recording.source, _TO_REFERENCE: recording.reference}

        found = {}

        for metric, other in others.items():
            if other is None or recording.system not in self.metrics[metric]:
                continue

            try:
                found[metric] = Measurement(self.similarity(recording.audio, other))
            except Exception as ex:
                # Some recordings are shorter than what the network sees at once.
                found[metric] = Measurement(None, describe(ex))

        return found

    def similarity(self, one: Path, two: Path) -> float:
        """Returns the cosine of two recordings' vectors, from -1 to 1."""
        from torch.nn.functional import cosine_similarity

        return float(cosine_similarity(self._embed(one), self._embed(two), dim=0))

    def _embed_file(self, file: Path) -> Tensor:
        """Returns the vector [D] of a recording."""
        import torch

        from codec_s2st.codecs.audio import read_audio

        wave = read_audio(file, sample_rate=_SAMPLE_RATE)[0].numpy()

        inputs = self._extractor(wave, sampling_rate=_SAMPLE_RATE, return_tensors="pt").to(self._device)

        with torch.inference_mode():
            # (B, D)
            vectors: Tensor = self._network(**inputs).embeddings

        return vectors[0].float().cpu()
