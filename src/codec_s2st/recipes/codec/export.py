"""Turns a checkpoint of the recipe ``codec`` into the file that a card names.

``python -m codec_s2st.recipes.codec.export RUN OUT.safetensors [--step N]``
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from codec_s2st.checkpoints.folder import CheckpointFolder
from codec_s2st.codecs.melcodec.config import MelCodecConfig
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.yaml_limits import check_size


def export_codec(run: Path, path: Path, *, step_nr: int | None = None) -> int:
    """Writes the weights of a run as fp16 safetensors, atomically.

    :param run: The output folder of the recipe.
    :param step_nr: The step to take; the last one that was saved if ``None``.
    :returns: The step taken.
    :raises UserInputError: ``run`` has no such checkpoint, or ``path`` does not end in ``.safetensors``.
    """
    from safetensors.torch import save_file

    from codec_s2st.codecs.melcodec.hub import get_melcodec_hub, publish_state_dict

    if path.suffix != ".safetensors":
        raise UserInputError(f"the output '{path}' must end in .safetensors")

    checkpoint_dir = run / "checkpoints"

    steps = CheckpointFolder(checkpoint_dir).steps()

    if not steps:
        raise UserInputError(f"the run '{run}' has no checkpoint", hint="codec-s2st codec RUN --preset demo")

    if step_nr is None:
        step_nr = steps[-1]
    elif step_nr not in steps:
        raise UserInputError(f"the run '{run}' has no step {step_nr}; it has {', '.join(map(str, steps))}")

    model = get_melcodec_hub().load_custom_model(
        checkpoint_dir / f"step_{step_nr}" / "model", _read_config(checkpoint_dir / "model.yaml")
    )

    tmp_path = path.with_suffix(".tmp")

    try:
        save_file(publish_state_dict(model.state_dict()), tmp_path, metadata={"format": "pt"})

        # safetensors makes files that their owner alone can read.
        tmp_path.chmod(0o644)

        with tmp_path.open("rb") as file:
            os.fsync(file.fileno())

        tmp_path.replace(path)
    finally:
        tmp_path.unlink(missing_ok=True)

    return step_nr


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m codec_s2st.recipes.codec.export", description=__doc__)

    parser.add_argument("run", type=Path, help="output folder of the recipe codec")
    parser.add_argument("out", type=Path, help="safetensors file to write")
    parser.add_argument("--step", type=int, help="step to take; the last one by default")

    args = parser.parse_args(argv)

    try:
        step_nr = export_codec(args.run, args.out, step_nr=args.step)
    except CodecS2STError as ex:
        print(f"codec-s2st: error: {ex}", file=sys.stderr)

        return ex.exit_code

    print(f"{args.out}: step {step_nr} of {args.run}")

    return 0


def _read_config(path: Path) -> MelCodecConfig:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        card = YAML(typ="safe").load(path)

        check_size(card, str(path))

        return MelCodecConfig(**card["model_config"])
    except (OSError, YAMLError, KeyError, TypeError) as ex:
        raise UserInputError(f"{path} is not the description of an embedded codec: {ex}") from None


if __name__ == "__main__":
    sys.exit(main())
