"""From operations and bytes to days: the whole plan of a run, as one record."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from codec_s2st.models.codec_lm.backbones import BackboneConfig
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.plan.devices import Device
from codec_s2st.plan.flops import PartFlops, step_flops
from codec_s2st.plan.memory import MemoryParts, Settings, memory_of
from codec_s2st.plan.shape import BatchShape

RESERVE_GB: Final = 2.0
"""For the contexts of CUDA and NCCL, and workspaces of kernels: a round figure, not measured."""

FRAGMENTATION: Final = 0.05
"""What the allocator wastes of the rest: a round figure, not measured."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one device computes in one step."""

    shape: BatchShape
    """Of one batch."""

    num_accumulate: int

    num_steps: int | None
    """The optimizer's steps of the whole run, if they are known."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """At one utilisation of the devices."""

    utilisation: float
    """The share of the peak that is executed."""

    mfu: float
    """The share of the peak that is useful: without what is computed again."""

    step_seconds: float

    positions_per_second: float
    """Of all devices."""

    days: float | None

    device_hours: float | None

    cost: float | None
    """In the currency of the price."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    device: Device
    num_devices: int
    parameters: dict[str, int]
    batch: Batch
    flops: tuple[PartFlops, ...]
    """Of one step of all devices."""

    memory: MemoryParts
    settings: Settings
    slow: Speed
    fast: Speed

    @property
    def positions_a_step(self) -> float:
        return self.batch.shape.num_steps * self.batch.num_accumulate * self.num_devices

    @property
    def usable_gb(self) -> float:
        return (self.device.memory_gb - RESERVE_GB) * (1 - FRAGMENTATION)

    @property
    def fits(self) -> bool:
        return self.memory.peak / 1e9 <= self.usable_gb

    def to_json(self) -> dict[str, Any]:
        memory = {name: value / 1e9 for name, value in asdict(self.memory).items() if name != "accumulates"}

        return {
            "device": asdict(self.device),
            "num_devices": self.num_devices,
            "parameters": self.parameters,
            "settings": asdict(self.settings),
            "batch": {
                "positions": self.batch.shape.num_steps,
                "accumulate": self.batch.num_accumulate,
                "positions_a_step": self.positions_a_step,
                "steps": self.batch.num_steps,
                "shape": asdict(self.batch.shape),
            },
            "flops": {part.name: {"useful": part.useful, "executed": part.executed} for part in self.flops},
            "memory_gb": memory | {"peak": self.memory.peak / 1e9, "usable": self.usable_gb, "fits": self.fits},
            "slow": asdict(self.slow),
            "fast": asdict(self.fast),
        }


def make_plan(
    model: CodecLM,
    decoder: BackboneConfig,
    batch: Batch,
    settings: Settings,
    device: Device,
    band: tuple[float, float],
    *,
    price: float | None = None,
) -> Plan:
    """
    :param model: May be on the meta device.
    :param band: The lowest and the highest utilisation that is expected.
    :param price: Of a device for an hour.
    """
    num_layers = len(model.decoder.layers)

    every = settings.checkpoint_every

    checkpointed = -(-num_layers // every) / num_layers if every else 0.0

    times = batch.num_accumulate * settings.num_devices

    parts = tuple(
        replace(part, useful=times * part.useful, executed=times * part.executed)
        for part in step_flops(model, batch.shape, checkpointed=checkpointed)
    )

    useful, executed = (sum(getattr(part, name) for part in parts) for name in ("useful", "executed"))

    positions = batch.shape.num_steps * times

    def at(utilisation: float) -> Speed:
        seconds = executed / (utilisation * device.peak_tflops * 1e12 * settings.num_devices)

        whole = None if batch.num_steps is None else seconds * batch.num_steps

        hours = None if whole is None else whole / 3_600 * settings.num_devices

        return Speed(
            utilisation=utilisation,
            mfu=utilisation * useful / executed,
            step_seconds=seconds,
            positions_per_second=positions / seconds,
            days=None if whole is None else whole / 86_400,
            device_hours=hours,
            cost=None if hours is None or price is None else hours * price,
        )

    return Plan(
        device=device,
        num_devices=settings.num_devices,
        parameters=count_parameters(model),
        batch=batch,
        flops=parts,
        memory=memory_of(model, decoder, batch.shape, settings, on_cpu=device.is_cpu),
        settings=settings,
        slow=at(band[0]),
        fast=at(band[1]),
    )


def count_parameters(model: CodecLM) -> dict[str, int]:
    parts = {"embeddings": model.decoder_frontend, "backbone": model.decoder, "heads": model.heads}

    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in parts.items()}

    return counts | {
        "all": sum(counts.values()),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def advise(
    model: CodecLM, decoder: BackboneConfig, batch: Batch, settings: Settings, device: Device, band: tuple[float, float]
) -> list[str]:
    """Returns what to change, the least first, until a plan fits that does not; each line with the peak it leads to."""
    tries: list[tuple[str, Settings, Batch]] = []

    if settings.checkpoint_every != 1:
        settings = replace(settings, checkpoint_every=1)

        tries.append(("trainer.activation_checkpointing.mode=layerwise", settings, batch))

    if not settings.sharded and settings.num_devices > 1:
        settings = replace(
            settings,
            sharded=True,
            precision="float32" if settings.precision == "float32" else "bfloat16",
        )

        tries.append(("trainer.data_parallelism=fsdp", settings, batch))

    for _ in range(4):
        shape = batch.shape

        batch = replace(batch, shape=shape.scaled_to(shape.num_steps / 2), num_accumulate=2 * batch.num_accumulate)

        change = (
            f"data.max_batch_steps={batch.shape.num_steps:.0f}"
            f" trainer.grad_accumulation.num_batches={batch.num_accumulate}"
        )

        tries.append((change, replace(settings, accumulates=True), batch))

    lines = []

    for change, changed, smaller in tries:
        plan = make_plan(model, decoder, smaller, changed, device, band)

        lines.append(f"--config {change}: {plan.memory.peak / 1e9:.1f} GB")

        if plan.fits:
            return lines

    return [*lines, "even then it does not fit: a device with more memory, more devices, or a smaller model"]
