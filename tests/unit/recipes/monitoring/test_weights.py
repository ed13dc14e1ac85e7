from __future__ import annotations

import pytest
import torch
from fairseq2.device import CPU
from fairseq2.gang import create_fake_gangs
from fairseq2.metrics import MetricBag

from codec_s2st.recipes.common.monitoring.weights import GROUPS, WeightProbe, group_of
from tests.factories import tiny_config, tiny_model


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("decoder_frontend.embed.weight", "embedding"),
        ("module.decoder.layers.0.ffn.gate_proj.weight", "backbone"),
        ("decoder.layers.0.self_attn.q_proj.lora.weight_a", "adapters"),
        ("heads.depth.decoder.layers.0.ffn.gate_proj.weight", "depth"),
        ("heads.stream0_weight", "heads"),
    ],
)
def test_parameters_have_groups(name: str, group: str) -> None:
    assert group_of(name) == group


@pytest.mark.parametrize("heads", ["parallel", "parallel+depth"])
def test_norms_and_update_ratios_are_those_of_copies(heads: str) -> None:
    model = tiny_model(tiny_config(pattern=heads)).train()

    model.decoder_frontend.requires_grad_(False)

    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)

    probe, bag = WeightProbe(model, optimizer, create_fake_gangs(CPU)), MetricBag(CPU)

    probe.prepare(bag)

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))

    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    probe.arm(bag)

    optimizer.step()

    probe.arm(None)

    after = dict(model.named_parameters())

    # Another step, which is not measured.
    expected = {}

    for group in GROUPS:
        names = [name for name in before if group_of(name) == group]

        if names:
            norm = torch.cat([after[name].detach().flatten() for name in names]).norm()

            expected[f"weights/norm_{group}"] = float(norm)

            if group != "embedding":
                change = torch.cat([(after[name].detach() - before[name]).flatten() for name in names]).norm()

                expected[f"weights/update_ratio_{group}"] = float(change / norm)

    optimizer.step()

    values: dict[str, object] = {name: metric.compute() for name, metric in bag.metrics.items()}

    probe.publish(values)

    assert values == pytest.approx(expected, rel=1e-5)
