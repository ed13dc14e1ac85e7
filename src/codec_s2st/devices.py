"""The device that a command is told to compute on."""

from __future__ import annotations

import torch

from codec_s2st.errors import UserInputError


def find_device(name: str) -> torch.device:
    """
    :raises UserInputError: this machine has no such device.
    """
    try:
        device = torch.device(name)

        torch.empty(0, device=device)
    except (AssertionError, RuntimeError):
        raise UserInputError(f"this machine has no device '{name}'", hint="try: --device cpu") from None

    return device
