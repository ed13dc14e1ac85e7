"""Runs of the same training in several layouts, and what is compared of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from tests.parallel.record import Record
from tests.ranks import free_port, run_ranks
from tests.toy_runs import Toy, read_metrics

NUM_STEPS: Final = 5

_DEPTH: Final = "{model_dim: 16, num_layers: 2, num_attn_heads: 2, ffn_inner_dim: 32}"

VARIANTS: Final[dict[str, list[str]]] = {
    "parallel": [],
    "depth": ["model.config_overrides.heads=depth", f"model.config_overrides.depth={_DEPTH}"],
    # Norms of queries and keys, and heads of their own width.
    "qwen3": ["model.config_overrides.decoder={q_norm: true, k_norm: true, qkv_proj_bias: false, head_dim: 12}"],
    # The backbone frozen, and a part of each of the other tables.
    "lora": ["lora.rank=3", "lora.targets=[q_proj, output_proj]", "trainable.text_rows=frozen"],
    "packed": ["data.packing=true"],
    "llama": ["model.config_overrides.decoder={family: llama, qkv_proj_bias: false, norm_eps: 1e-5}"],
}
"""Overrides of the models that are trained."""

ONE_RANK: Final[dict[str, list[str]]] = {
    "one": [],
    "ac": ["trainer.activation_checkpointing.mode=layerwise"],
    # Traces forward and backward passes as inductor does, but needs no compiler and less time.
    "compile": ["model.compile=true", "model.compile_options.backend=aot_eager", "model.compile_options.dynamic=true"],
}
"""Overrides of the layouts of one process."""

RANKS: Final[dict[str, list[str]]] = {
    "ddp": ["trainer.data_parallelism=ddp"],
    "fsdp-layer": ["trainer.data_parallelism=fsdp", "trainer.fsdp.granularity=layer"],
    "fsdp-stack": ["trainer.data_parallelism=fsdp", "trainer.fsdp.granularity=stack"],
    "fsdp-model": ["trainer.data_parallelism=fsdp", "trainer.fsdp.granularity=model"],
    "tp": ["gang.tensor_parallel_size=2"],
}
"""Overrides of the layouts of several processes."""

_MAX_GRAD_NORM: Final = 0.5


@dataclass(frozen=True)
class Layout:
    """A training's result."""

    folder: Path

    records: list[Record]
    """By rank."""

    @property
    def grads(self) -> list[dict[str, Tensor]]:
        """By step and parameter, as they were before they were clipped."""
        output = []

        for step in range(NUM_STEPS):
            norm = read_metrics(self.folder)[step + 1]["Gradient Norm"]

            assert norm > _MAX_GRAD_NORM

            grads = self._join([record.grads[step] for record in self.records])

            output.append({name: grad * norm / _MAX_GRAD_NORM for name, grad in grads.items()})

        return output

    @property
    def weights(self) -> dict[str, Tensor]:
        return self._join([record.weights for record in self.records])

    @property
    def losses(self) -> dict[str, float]:
        """All metrics of training and validation, the norm of the gradient among them."""
        return {
            f"{name}/{step}/{key}": value
            for name in ("train", "valid/s2st", "valid/asr-reverse", "valid/s2tt")
            for step, values in read_metrics(self.folder, name).items()
            for key, value in values.items()
            if key in ("Loss", "Gradient Norm") or key.startswith("loss/")
        }

    def _join(self, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Returns whole tensors; what every rank has must be the same to the last bit."""
        output = {}

        tp_size = self.records[0].tp_size

        for name in parts[0]:
            dim = self.records[0].shard_dims.get(name)

            # fairseq2 lets neighbours share a tensor parallel gang.
            replicas = [[part[name] for part in parts[i : i + tp_size]] for i in range(0, len(parts), tp_size)]

            if dim is None:
                wholes = [tensor for replica in replicas for tensor in replica]
            else:
                wholes = [torch.cat(replica, dim=dim) for replica in replicas]

            assert all(torch.equal(tensor, wholes[0]) for tensor in wholes), name

            output[name] = wholes[0]

        return output


def train(toy: Toy, layouts: Mapping[str, Sequence[str]], world_size: int) -> dict[str, Layout]:
    """Trains in each of ``layouts`` (name -> overrides), one after the other; each rank is a process.

    :returns: By name.
    """
    plan = []

    for name, overrides in layouts.items():
        tp_size = 2 if "gang.tensor_parallel_size=2" in overrides else 1

        arguments = toy.arguments(
            toy.folder / name,
            [
                "model.config_overrides.new_rows_std=0.1",
                # No table of the model is a multiple of it, so that all are padded.
                "model.config_overrides.rows_multiple_of=10",
                # All layouts read the same in a step.
                f"trainer.grad_accumulation.num_batches={2 * tp_size // world_size or 1}",
                # It takes longer than the training.
                "trainer.gc_every_n_steps=null",
                f"trainer.max_grad_norm={_MAX_GRAD_NORM}",
                # A larger one blows rounding errors up, where AdamW divides a gradient of almost zero by its size.
                "optimizer.config.lr=0.001",
                f"regime.num_steps={NUM_STEPS}",
                "regime.publish_metrics_every_n_steps=1",
                f"regime.validate_every_n_steps={NUM_STEPS}",
                f"regime.checkpoint_every_n_steps={NUM_STEPS}",
                "common.metric_recorders.tensorboard.enabled=false",
                *overrides,
            ],
        )

        plan.append({"arguments": arguments, "port": free_port(), "num_steps": NUM_STEPS})

    file = toy.folder / f"plan_{world_size}.json"

    file.write_text(json.dumps(plan))

    run_ranks("tests.parallel.watched", file, world_size)

    return {
        name: Layout(
            toy.folder / name,
            [torch.load(toy.folder / name / f"rank_{rank}.pt", weights_only=False) for rank in range(world_size)],
        )
        for name in layouts
    }


def largest_difference(one: Mapping[str, Tensor | float], two: Mapping[str, Tensor | float]) -> float:
    assert one.keys() == two.keys()

    return max(float((torch.as_tensor(one[key]) - torch.as_tensor(two[key])).abs().max()) for key in one)
