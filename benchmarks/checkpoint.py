"""How long a training waits for a checkpoint, beside fairseq2's own manager, which neither syncs nor hashes.

``python benchmarks/checkpoint.py`` prints the row P14. Checkpoints are written below ``--out``, and removed.
Both managers save the same model and AdamW state in one process, in turn; while the one is written, nothing else runs.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rows import Peer, Row, make_parser, run_parts

# How often a training asks whether all is written.
STEP_SECONDS = 0.05


def make_states(num_parameters: int) -> tuple[Any, Any]:
    """Returns a model of layers of 4 M parameters each, and its AdamW after a step."""
    import torch

    model = torch.nn.Sequential(*(torch.nn.Linear(2_000, 2_000) for _ in range(max(num_parameters // 4_002_000, 1))))

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)

    optimizer.step()

    return model, optimizer


class Small:
    """The state of a trainer or a reader, which is of no weight."""

    def state_dict(self) -> dict[str, object]:
        return {"step": 1, "lr": 0.1, "list": list(range(100))}

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        pass


def make_managers(folder: Path) -> dict[str, Callable[[], Any]]:
    import fairseq2.recipe  # noqa: F401  (first: fairseq2's modules import each other in a circle)
    import torch
    from fairseq2.checkpoint import StandardCheckpointManager
    from fairseq2.file_system import LocalFileSystem
    from fairseq2.gang import create_fake_gangs
    from fairseq2.io import _TorchTensorFileDumper, _TorchTensorFileLoader
    from fairseq2.utils.threading import _StandardThreadPool

    from codec_s2st.checkpoints.identity import RunIdentity
    from codec_s2st.checkpoints.manager import TrustedCheckpointManager

    gangs = create_fake_gangs(torch.device("cpu"))

    pool = _StandardThreadPool.create_default(1)

    files = LocalFileSystem()

    def ours() -> Any:
        manager = TrustedCheckpointManager(folder / "ours", gangs, pool)

        manager.open(RunIdentity())

        return manager

    def fairseq2s() -> Any:
        loader, dumper = _TorchTensorFileLoader(files), _TorchTensorFileDumper(files)

        return StandardCheckpointManager(folder, gangs, files, loader, dumper, pool, folder / "fairseq2")

    return {"ours": ours, "fairseq2": fairseq2s}


def save(manager: Any, model: Any, optimizer: Any, step: int) -> dict[str, float]:
    """Returns the seconds that a training waits for a save behind its back, and those until the files are written."""
    small = Small()

    begin = time.perf_counter()

    manager.save_checkpoint(step, small, model, optimizer, small)

    stall = time.perf_counter() - begin

    if hasattr(manager, "release"):
        manager.release()

    while manager.is_saving:
        time.sleep(STEP_SECONDS)

        asked = time.perf_counter()

        manager.maybe_complete_save_operation()

        stall += time.perf_counter() - asked

    whole = time.perf_counter() - begin

    manager.delete_checkpoint(step)

    return {"stall": stall, "whole": whole}


def measure(folder: Path, num_parameters: int, repeats: int) -> Row:
    model, optimizer = make_states(num_parameters)

    num_parameters = sum(parameter.numel() for parameter in model.parameters())

    managers = {name: make() for name, make in make_managers(folder).items()}

    times: dict[str, list[dict[str, float]]] = {name: [] for name in managers}

    for repeat in range(repeats + 1):
        # Neither is always the first.
        for name, manager in sorted(managers.items(), reverse=repeat % 2 == 0):
            # What others have written before is on the disk, so that nobody waits for it.
            os.sync()

            seconds = save(manager, model, optimizer, repeat + 1)

            # The first ones warm up.
            if repeat:
                times[name].append(seconds)

    def middle(name: str, key: str) -> float:
        return median(seconds[key] for seconds in times[name])

    ratio = middle("ours", "stall") / middle("fairseq2", "stall")

    return Row(
        id="P14",
        what=f"how long a training waits for a checkpoint of {12 * num_parameters / 1e9:.1f} GB with AdamW",
        unit="s",
        value=middle("ours", "stall"),
        peer=Peer(name="fairseq2's manager", value=middle("fairseq2", "stall")),
        ratio=ratio,
        goal="<= 1.1",
        equal="the model, its AdamW, the process, one thread, the disk; both write behind the training's back",
        not_equal="ours is hashed (SHA-256), synced, and looked through for NaN; theirs is pickled and not synced",
        note=f"all is written after {middle('ours', 'whole'):.2f} s, theirs after {middle('fairseq2', 'whole'):.2f} s",
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__, ["P14"])

    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--parameters", type=int, default=100_000_000)

    args = parser.parse_args(argv)

    folder = args.out / "checkpoints"

    folder.mkdir(parents=True, exist_ok=True)

    try:
        return run_parts({"P14": lambda: [measure(folder, args.parameters, args.rounds)]}, args)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
