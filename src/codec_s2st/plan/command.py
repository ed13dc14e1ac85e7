"""``codec-s2st plan``: what a training costs before it is begun."""

from __future__ import annotations

import json
import math
import re
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from codec_s2st.arguments import CommandParser
from codec_s2st.errors import UserInputError
from codec_s2st.recipes.common.looking import TRAINING_RECIPES, look_with, recipe_of_preset

if TYPE_CHECKING:
    from codec_s2st.plan.devices import Device
    from codec_s2st.plan.memory import Precision
    from codec_s2st.plan.recipe import PlannedRun

_GPUS: Final = ("a100", "h100", "h200", "l40s", "b200")

CPU: Final = "cpu"

_MOST: Final = 100_000
"""Of devices, frames and tokens: an example of that shape is made."""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code: 0, whether or not the run fits."""
    parser = CommandParser(
        prog="codec-s2st plan",
        description="Say what a training preset costs: operations, memory, time. Nothing is trained and no data read.",
        epilog="further options are those of the recipe: --init, --config K=V",
    )

    parser.add_argument("preset", metavar="PRESET", help="RECIPE/NAME, such as cpt/paper/joint, or a .yaml file")
    parser.add_argument("--recipe", choices=TRAINING_RECIPES, help="the recipe of a .yaml file")
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="the number of devices (default: %(default)s)")
    parser.add_argument(
        "--gpu", choices=(*_GPUS, CPU), required=True, help="the device; cpu is this processor, which is measured"
    )
    parser.add_argument("--arch", metavar="A", help="the architecture of what --init is to name, where it is not here")
    parser.add_argument(
        "--frames", type=int, default=250, metavar="T", help="frames of an utterance (default: %(default)s)"
    )
    parser.add_argument("--text", type=int, default=40, metavar="N", help="tokens of a text (default: %(default)s)")
    parser.add_argument(
        "--utilisation", type=float, nargs=2, metavar=("LOW", "HIGH"), help="the share of the peak that is expected"
    )
    parser.add_argument("--price", type=float, metavar="P", help="of a device for an hour, in any currency")
    parser.add_argument("--json", action="store_true", help="print one JSON object")

    args, options = parser.parse_known_args(list(argv))

    _check(args)

    name = recipe_of_preset(args.preset, args.recipe)

    from codec_s2st.plan.recipe import PlanRecipe
    from codec_s2st.recipes.common.command import make_recipe
    from codec_s2st.recipes.common.training import SpeechTextTrainRecipe

    recipe = make_recipe(name)

    assert isinstance(recipe, SpeechTextTrainRecipe)

    arch = args.arch or arch_of_preset(name, args.preset)

    look_with(PlanRecipe(recipe, arch, lambda run: _print(run, args)), name, args.preset, options)

    return 0


def arch_of_preset(recipe: str, preset: str) -> str | None:
    """Returns what a preset says in a line ``# Arch: NAME``: of which architecture the model is that is to be set."""
    from codec_s2st.share import preset_path

    match = re.search(r"^# Arch: (\S+)$", preset_path(recipe, preset).read_text(encoding="utf-8"), flags=re.MULTILINE)

    return None if match is None else match[1]


def _check(args: Namespace) -> None:
    for flag in ("gpus", "frames", "text"):
        if not 1 <= getattr(args, flag) <= _MOST:
            raise UserInputError(f"--{flag} is {getattr(args, flag)}, but must be 1 to {_MOST}")

    if args.gpu == CPU and args.gpus != 1:
        raise UserInputError(f"--gpus is {args.gpus}, but there is one processor", hint="leave --gpus out")

    if args.price is not None and not 0 <= args.price < math.inf:
        raise UserInputError(f"--price is {args.price:g}, but must be a number from 0")

    if args.utilisation is not None and not 0 < args.utilisation[0] <= args.utilisation[1] <= 1:
        low, high = args.utilisation

        raise UserInputError(f"--utilisation is {low:g} {high:g}, but must rise from above 0 to at most 1")


def _print(run: PlannedRun, args: Namespace) -> None:
    from codec_s2st.plan.devices import UTILISATION
    from codec_s2st.plan.estimate import Batch, advise, make_plan
    from codec_s2st.plan.memory import Settings
    from codec_s2st.plan.report import format_plan
    from codec_s2st.plan.shape import shape_of_mixture

    config, trainer = run.config, run.config.trainer

    shape = shape_of_mixture(
        config.data.mixture,
        config.data.own_tasks(),
        run.builder,
        run.loss,
        temperature=config.data.temperature,
        num_frames=args.frames,
        num_text=args.text,
    )

    num_accumulate = trainer.grad_accumulation.num_batches

    batch = Batch(
        shape=shape.scaled_to(config.data.max_batch_steps),
        num_accumulate=num_accumulate,
        num_steps=config.regime.num_steps,
    )

    checkpointing = trainer.activation_checkpointing

    settings = Settings(
        precision=_precision(run, args.gpus),
        num_devices=args.gpus,
        sharded=trainer.data_parallelism == "fsdp",
        checkpoint_every=checkpointing.every_nth_layer if checkpointing.mode == "layerwise" else 0,
        accumulates=num_accumulate > 1,
    )

    decoder = run.model_config.decoder

    device = _device(run, args.gpu)

    band = UTILISATION["cpu" if args.gpu == CPU else "gpu"] if args.utilisation is None else tuple(args.utilisation)

    plan = make_plan(run.model, decoder, batch, settings, device, band, price=args.price)

    assumptions = [
        *run.assumptions,
        f"an utterance has {args.frames} frames, a text {args.text} tokens (--frames, --text): sequences of"
        f" {shape.num_steps:.0f} positions on average, and text to predict at"
        f" {shape.num_text_targets / shape.num_steps:.1%} of them",
        "batches are full: padding is not counted",
    ]

    advice = [] if plan.fits else advise(run.model, decoder, batch, settings, device, band)

    if args.json:
        print(json.dumps(plan.to_json() | {"preset": args.preset, "assumptions": assumptions, "advice": advice}))
    else:
        print(format_plan(plan, args.preset, assumptions, advice, measured_band=args.utilisation is not None))


def _precision(run: PlannedRun, num_devices: int) -> Precision:
    """Returns what fairseq2's trainer makes of ``trainer.mixed_precision``."""
    import torch

    mode, trainer = run.config.trainer.mixed_precision.mode, run.config.trainer

    if mode == "off":
        return "float32" if run.config.model.dtype == torch.float32 else "bfloat16"

    # It computes from weights in half precision under FSDP alone, and with autocast otherwise.
    if mode == "static" and trainer.data_parallelism == "fsdp" and num_devices > 1:
        return "bfloat16"

    return "autocast"


def _device(run: PlannedRun, gpu: str) -> Device:
    from codec_s2st.plan.devices import GPUS, measure_cpu

    if gpu != CPU:
        return GPUS[gpu]

    decoder = run.model_config.decoder

    return measure_cpu(min(run.config.data.max_batch_steps, 2_048), decoder.model_dim, decoder.ffn_inner_dim)
