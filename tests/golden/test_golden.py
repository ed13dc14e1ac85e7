from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import golden


@pytest.mark.parametrize("name", [name for name in golden.FILES if name != "loss_curve.json"])
def test_text_is_as_recorded(name: str) -> None:
    assert golden.FILES[name]() == golden.FOLDER.joinpath(name).read_text()


def test_loss_curve_is_as_recorded() -> None:
    recorded = json.loads(golden.FOLDER.joinpath("loss_curve.json").read_text())

    # Other processors add up in another order.
    assert json.loads(golden.loss_curve()) == pytest.approx(recorded, rel=2e-4)

    assert recorded[-1] < 0.8 * recorded[0]
