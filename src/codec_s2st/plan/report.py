"""A plan as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from codec_s2st.plan.estimate import FRAGMENTATION, RESERVE_GB, Plan

_PRECISIONS = {
    "float32": "float32",
    "autocast": "bfloat16 by autocast from float32",
    "bfloat16": "bfloat16, optimizer in float32",
}


def format_plan(
    plan: Plan, preset: str, assumptions: Sequence[str], advice: Sequence[str], *, measured_band: bool
) -> str:
    """
    :param measured_band: Whether the user has given the utilisation.
    """
    counts, settings = plan.parameters, plan.settings

    checkpoints = {0: "no activation checkpointing", 1: "every layer computed again"}

    how = [
        "FSDP" if settings.sharded else "DDP",
        _PRECISIONS[settings.precision],
        checkpoints.get(settings.checkpoint_every, f"every {settings.checkpoint_every}th layer computed again"),
    ]

    if plan.num_devices == 1:
        how = how[1:]

    lines = [
        f"{preset} on {plan.num_devices} x {plan.device.name}: {', '.join(how)}",
        "",
        f"parameters        {counts['all'] / 1e6:,.1f} M: embeddings {counts['embeddings'] / 1e6:,.1f}, backbone"
        f" {counts['backbone'] / 1e6:,.1f}, heads {counts['heads'] / 1e6:,.1f}; trained"
        f" {counts['trained'] / 1e6:,.1f}",
        f"positions a step  {plan.positions_a_step:,.0f}: {plan.batch.shape.num_steps:,.0f} x"
        f" {plan.batch.num_accumulate} accumulated x {plan.num_devices} devices",
        f"peak              {plan.device.peak_tflops:,.4g} TFLOP/s, {plan.device.memory_gb:,.4g} GB"
        f" ({plan.device.source})",
        "",
        *_flops(plan),
        "",
        *_memory(plan),
        "",
        *_speed(plan, measured_band),
        "",
        "assumed:",
        *map(_item, assumptions),
    ]

    if advice:
        lines += ["", "it does not fit; in turn, each with the ones before:", *map(_item, advice)]

    return "\n".join(lines)


def _item(line: str) -> str:
    return textwrap.fill(f"- {line}", 110, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _flops(plan: Plan) -> list[str]:
    useful = sum(part.useful for part in plan.flops)

    lines = ["TFLOP a step         useful    executed   share"]

    for part in plan.flops:
        lines.append(
            f"{part.name:<18}{part.useful / 1e12:>9,.2f}{part.executed / 1e12:>12,.2f}{part.useful / useful:>8.1%}"
        )

    executed = sum(part.executed for part in plan.flops)

    return [*lines, f"{'all':<18}{useful / 1e12:>9,.2f}{executed / 1e12:>12,.2f}{1:>8.1%}"]


def _memory(plan: Plan) -> list[str]:
    memory = plan.memory

    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "activations": memory.activations,
        "logits": memory.logits,
        "a layer's backward": memory.layer_gradients,
    }

    verdict = "it fits" if plan.fits else "it does NOT fit"

    return [
        "GB a device",
        *(f"{name:<18}{value / 1e9:>9,.2f}" for name, value in parts.items()),
        f"{'peak':<18}{memory.peak / 1e9:>9,.2f}   of {plan.usable_gb:,.1f} usable ({RESERVE_GB:g} GB and"
        f" {FRAGMENTATION:.0%} are kept free): {verdict}",
    ]


def _speed(plan: Plan, measured_band: bool) -> list[str]:
    slow, fast = plan.slow, plan.fast

    def row(name: str, low: str, high: str) -> str:
        return f"{name:<22}{low:>14}{high:>14}"

    lines = [
        row("expected", "slow", "fast"),
        row("utilisation", f"{slow.utilisation:.0%}", f"{fast.utilisation:.0%}"),
        row("useful MFU", f"{slow.mfu:.1%}", f"{fast.mfu:.1%}"),
        row("seconds a step", f"{slow.step_seconds:,.3g}", f"{fast.step_seconds:,.3g}"),
        row("positions a second", f"{slow.positions_per_second:,.0f}", f"{fast.positions_per_second:,.0f}"),
    ]

    if slow.days is not None and fast.days is not None and slow.device_hours is not None:
        assert fast.device_hours is not None

        lines.append(row(f"days, {plan.batch.num_steps:,} steps", f"{slow.days:,.2f}", f"{fast.days:,.2f}"))
        lines.append(row("device hours", f"{slow.device_hours:,.0f}", f"{fast.device_hours:,.0f}"))

    if slow.cost is not None and fast.cost is not None:
        lines.append(row("cost", f"{slow.cost:,.0f}", f"{fast.cost:,.0f}"))

    if plan.device.is_cpu:
        where = "a guess round the 80 % to which two small models came"
    else:
        where = "41 to 48 % is published of larger models on H100; the lower end is a guess; nothing was measured by us"

    return lines if measured_band else [*lines, f"({where})"]
