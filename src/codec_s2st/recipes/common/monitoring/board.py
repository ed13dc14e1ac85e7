"""What TensorBoard shows beside scalars: the configuration, a picture of sequences, hyper-parameters."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import torch
from fairseq2.logging import log
from fairseq2.metrics.recorders import MetricRecorder
from torch import Tensor

from codec_s2st.recipes.common.host import find_tensorboard, open_writer

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

RUN: Final = "run"
"""The folder of TensorBoard's that holds what is of the run as a whole."""

# Where a run writes to and how often says nothing of how good it is.
_NO_HYPER_PARAMETERS: Final = ("common", "gang", "checkpoints", "guards", "monitoring", "dataset", "tokenizer")


@final
class RunBoard:
    """Writes on rank 0 alone, with fairseq2's own writers; without TensorBoard, nothing."""

    def __init__(self, recorder: MetricRecorder, config: Mapping[str, Any], draw: Callable[[Path], None]) -> None:
        """
        :param config: Of the recipe; JSON.
        :param draw: Writes a picture of sequences of the training to a path.
        """
        self._recorder = find_tensorboard(recorder)
        self._config = config
        self._draw = draw

    def begin(self, step: int) -> None:
        """Writes the configuration and the picture of a run that starts, or goes on after ``step``."""
        writer = self._open(step)

        if writer is None:
            return

        writer.add_text("config", f"```json\n{json.dumps(self._config, indent=2)}\n```", step)

        try:
            with tempfile.TemporaryDirectory(prefix="codec_s2st-") as folder:
                path = Path(folder) / "sequences.png"

                self._draw(path)

                writer.add_image("sequences", read_picture(path), step, dataformats="HWC")
        except Exception as ex:
            # A picture is not worth a training.
            log.warning("The picture of sequences cannot be drawn: {}", ex)

        writer.flush()

    def end(self, step: int, losses: Mapping[str, float]) -> None:
        """Writes the hyper-parameters beside the last losses, by their names.

        :param losses: By the category that they were recorded in.
        """
        from torch.utils.tensorboard.summary import hparams

        writer = self._open(step)

        if writer is None:
            return

        metrics = {f"final/{name}_loss": loss for name, loss in losses.items()}

        for summary in hparams(hyper_parameters(self._config), metrics):
            writer._get_file_writer().add_summary(summary)

        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

        writer.flush()

    def _open(self, step: int) -> SummaryWriter | None:
        return None if self._recorder is None else open_writer(self._recorder, RUN, step)


def hyper_parameters(config: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Returns by dotted key what decides how good a run is; lists are written as JSON, and what is not set is left out.

    :param config: JSON.
    """
    output: dict[str, bool | int | float | str] = {}

    def visit(key: str, value: object) -> None:
        if isinstance(value, Mapping):
            for name, part in value.items():
                visit(f"{key}.{name}" if key else str(name), part)
        elif isinstance(value, bool | int | float | str):
            output[key] = value
        elif value:
            output[key] = json.dumps(value)

    visit("", {key: value for key, value in config.items() if key not in _NO_HYPER_PARAMETERS})

    seed = config.get("common", {}).get("seed")

    return output if seed is None else {**output, "common.seed": seed}


def read_picture(path: Path) -> Tensor:
    """Returns a picture's colours, 0 to 1. *Shape:* [height, width, 3]."""
    from matplotlib.image import imread

    return torch.from_numpy(imread(path).copy())[..., :3]
