"""Reads and changes the checkpoints of runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from codec_s2st.checkpoints.manifest import Manifest
from codec_s2st.checkpoints.state_files import read_state, write_state
from codec_s2st.checkpoints.states import flatten_state


def read_kind(checkpoint: Path, kind: str) -> dict[str, Any]:
    """Returns the state of a kind in a checkpoint of one process."""
    (file,) = (checkpoint / kind).rglob("*.safetensors")

    return read_state(file)


def change_model(checkpoint: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    """Changes the parameters in a checkpoint of one process, in a way that its manifest vouches for."""
    (file,) = (checkpoint / "model").rglob("*.safetensors")

    state = read_state(file)

    change(state)

    record = write_state(file, flatten_state(state))

    manifest = Manifest.read(checkpoint)

    replace(manifest, files={**manifest.files, str(file.relative_to(checkpoint)): record}).write(checkpoint)
