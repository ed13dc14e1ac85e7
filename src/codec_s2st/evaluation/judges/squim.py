"""SQUIM: STOI, PESQ and SI-SDR as a network guesses them without a reference. Legend: N sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.judges.judge import ALL_SYSTEMS, QUALITY, Recording
from codec_s2st.evaluation.measures import describe
from codec_s2st.evaluation.pretrained import AbsentFolderError
from codec_s2st.evaluation.signal import Measurement

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_SAMPLE_RATE: Final = 16_000

_METRICS: Final = ("squim-stoi", "squim-pesq", "squim-si-sdr")
"""In the order of the network's outputs."""

SQUIM_URL: Final = "https://download.pytorch.org/torchaudio/models/squim_objective_dns2020.pth"


@final
class SquimJudge:
    """torchaudio's ``SquimObjective`` (Kumar et al. 2023, *TorchAudio-Squim*)."""

    quality = QUALITY

    metrics: Mapping[str, tuple[str, ...]] = dict.fromkeys(_METRICS, ALL_SYSTEMS)

    def __init__(self, model: str, *, device: torch.device) -> None:
        """
        :param model: The file with the weights: the one that torchaudio publishes, or a safetensors file.

        :raises AbsentFolderError: there is no such file.
        :raises UserInputError: it holds something else.
        """
        import torchaudio
        from torchaudio.models import squim_objective_base

        from codec_s2st.file_hashes import sha256_of_file

        file = Path(model).expanduser()

        what = f"judge 'squim', model '{model}'"

        if not file.is_file():
            raise AbsentFolderError(f"{what}: there is no such file", hint=f"curl -LO {SQUIM_URL}")

        network: Any = squim_objective_base()

        try:
            network.load_state_dict(_read_weights(file))
        except Exception as ex:
            raise UserInputError(
                f"{what} cannot be loaded: {describe(ex):.200}", hint=f"the weights are those of {SQUIM_URL}"
            ) from ex

        self._network = network.to(device).eval()

        self._device = device

        self.instrument: Identity | None = Identity(file.name, sha256_of_file(file))

        self.signature = f"SquimObjective|{_SAMPLE_RATE} Hz|torchaudio:{torchaudio.__version__}"

        self.name = f"squim (torchaudio {torchaudio.__version__})"

    def judge(self, recordings: Sequence[Recording]) -> list[dict[str, Measurement]]:
        return [self._judge(recording) for recording in recordings]

    def _judge(self, recording: Recording) -> dict[str, Measurement]:
        import torch

        from codec_s2st.codecs.audio import read_audio

        try:
            wave = read_audio(recording.audio, sample_rate=_SAMPLE_RATE)

            if not bool(wave.any()):
                # It divides by the energy.
                return dict.fromkeys(_METRICS, Measurement(None, "the recording is silent"))

            with torch.inference_mode():
                values = [float(value) for value in self._network(wave.to(self._device))]
        except Exception as ex:
            return dict.fromkeys(_METRICS, Measurement(None, describe(ex)))

        return {metric: Measurement(value) for metric, value in zip(_METRICS, values, strict=True)}


def _read_weights(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)

    import torch

    # Tensors alone: whatever else a pickle would make is refused before it is made.
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)

    return state
