"""A training is the same in one process, under DDP, FSDP and tensor parallelism: losses, and every gradient."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest
import torch
from safetensors.torch import load_file

from codec_s2st.codecs import load_codec
from codec_s2st.exchange.publish import publish_model
from codec_s2st.models.codec_lm.adapted import Adapters
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.loader import lazy_checkpoint_path
from codec_s2st.recipes.common.initial import read_run
from codec_s2st.translator import SpeechTranslator
from tests.factories import toy_rows, write_toy_shards
from tests.llms import write_llm
from tests.parallel.record import fixed_ids
from tests.parallel.runs import NUM_STEPS, ONE_RANK, RANKS, VARIANTS, Layout, largest_difference, train
from tests.toy_runs import Toy, assert_equal_weights, load_run

TOLERANCE: Final = 1e-5

HEADS: Final = ("parallel", "depth")

BACKBONES: Final = ("qwen3", "llama")

ALONE: Final = [
    *((heads, "ac") for heads in HEADS),
    ("parallel", "compile"),
    ("lora", "ac"),
    ("lora", "compile"),
    ("packed", "compile"),
]

TOGETHER: Final = [
    *((heads, layout) for heads in HEADS for layout in RANKS),
    *((kind, "tp") for kind in BACKBONES),
    *(("lora", layout) for layout in RANKS if layout != "tp"),
    *(("packed", layout) for layout in ("ddp", "fsdp-layer", "tp")),
]

MAPPED: Final = ("ddp", "fsdp-layer")
"""Layouts that map the file that they start from."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("parallel")

    write_toy_shards(
        folder / "shards", toy_rows(120, num_streams=3, num_valid=20), load_codec("demo_codec").fingerprint.first(3)
    )

    return Toy(folder)


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A textual LLM with as many rows as the demo's tokenizer has ids, and some more."""
    return write_llm(tmp_path_factory.mktemp("llm"), "qwen3", vocab_size=850)


@pytest.fixture(scope="module")
def alone(toy: Toy) -> dict[str, Layout]:
    """Trainings in one process."""
    layouts = {f"{variant}-one": VARIANTS[variant] for variant in VARIANTS}

    layouts.update({f"{variant}-{layout}": VARIANTS[variant] + ONE_RANK[layout] for variant, layout in ALONE})

    return train(toy, layouts, 1)


@pytest.fixture(scope="module")
def together(toy: Toy, llm: Path) -> dict[str, Layout]:
    """Trainings in two processes."""
    layouts = {f"{variant}-{layout}": VARIANTS[variant] + RANKS[layout] for variant, layout in TOGETHER}

    stay = ["optimizer.config.lr=0"]

    layouts["again"] = [f"init={toy.folder / 'depth-fsdp-layer'}", *RANKS["tp"], *stay]

    warm = [f"init={llm}", "tokenizer.name=codec_s2st_demo_tokenizer", *VARIANTS["depth"], *stay]

    layouts["warm-tp"] = [*warm, *RANKS["tp"]]

    layouts.update({f"warm-{layout}": [*warm, *RANKS[layout], "model.mmap=true"] for layout in MAPPED})

    return train(toy, layouts, 2)


def assert_same(layout: Layout, reference: Layout) -> None:
    assert len(layout.losses) > 30

    assert largest_difference(layout.losses, reference.losses) <= TOLERANCE

    assert len(layout.grads) == NUM_STEPS

    for step, (grads, expected) in enumerate(zip(layout.grads, reference.grads, strict=True)):
        assert largest_difference(grads, expected) <= TOLERANCE

        # Every parameter takes part, and some have gradients that are not above the tolerance.
        for name, grad in expected.items():
            # The other half of an update is zero in the first step.
            if step == 0 and name.endswith(".lora.weight_a"):
                assert not grads[name].any() and not grad.any()

                continue

            assert float((grads[name] - grad).abs().max()) < 1e-3 * float(grad.abs().max()), name


@pytest.mark.parametrize(("variant", "name"), ALONE)
def test_one_process(alone: dict[str, Layout], variant: str, name: str) -> None:
    assert_same(alone[f"{variant}-{name}"], alone[f"{variant}-one"])


@pytest.mark.parametrize(("variant", "name"), TOGETHER)
def test_two_processes(alone: dict[str, Layout], together: dict[str, Layout], variant: str, name: str) -> None:
    assert_same(together[f"{variant}-{name}"], alone[f"{variant}-one"])


@pytest.mark.parametrize(("variant", "name"), TOGETHER)
@torch.no_grad()
def test_checkpoint_loads_in_one_process(together: dict[str, Layout], variant: str, name: str) -> None:
    layout = together[f"{variant}-{name}"]

    model = load_run(layout.folder)

    weights = Adapters.read(layout.folder / "checkpoints").merge(layout.weights)

    assert_equal_weights(weights, dict(model.named_parameters()))

    ids, loss_mask = fixed_ids(model)

    output = model(ids, loss_mask=loss_mask)

    for record in layout.records:
        torch.testing.assert_close(record.hidden, output.hidden, rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(record.stream_sums, output.loss.stream_sums, rtol=0, atol=10 * TOLERANCE)


@pytest.mark.parametrize(("variant", "name"), [("parallel", "fsdp-layer"), ("depth", "fsdp-model"), ("depth", "tp")])
def test_checkpoint_is_published_whole(together: dict[str, Layout], tmp_path: Path, variant: str, name: str) -> None:
    layout = together[f"{variant}-{name}"]

    # It is in parts.
    assert len(list(layout.folder.glob("checkpoints/*/model/**/sdp_*.safetensors"))) == 2

    publish_model(layout.folder, tmp_path / "out", "parts", tasks=["s2st"], languages=["spa-eng"], notes={})

    assert_equal_weights(layout.weights, load_file(tmp_path / "out" / "model" / "model.safetensors"))

    assert SpeechTranslator.from_card(str(tmp_path / "out")).name == "codec_s2st_parts"


def test_tensor_parallelism_starts_from_a_run_under_fsdp(together: dict[str, Layout]) -> None:
    assert_equal_weights(together["again"].weights, together["depth-fsdp-layer"].weights)


@pytest.mark.parametrize("name", ["tp", *MAPPED])
def test_ranks_start_from_a_textual_llm(together: dict[str, Layout], llm: Path, name: str) -> None:
    layout = together[f"warm-{name}"]

    config, _ = read_run(layout.folder)

    model = get_codec_lm_hub().load_custom_model(lazy_checkpoint_path(llm), config)

    assert_equal_weights(layout.weights, dict(model.named_parameters()))


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile generates C++, which g++ compiles")
def test_inductor(toy: Toy, alone: dict[str, Layout]) -> None:
    overrides = ["model.compile=true", "model.compile_options.dynamic=true"]

    assert_same(train(toy, {"inductor": overrides}, 1)["inductor"], alone["parallel-one"])


@pytest.mark.long
def test_four_processes(toy: Toy, alone: dict[str, Layout]) -> None:
    """Tensor parallelism within DDP and FSDP."""
    layouts = {
        f"{variant}-tp-{name}": VARIANTS[variant] + RANKS["tp"] + RANKS[name]
        for variant in HEADS
        for name in ("ddp", "fsdp-layer", "fsdp-model")
    }

    for name, layout in train(toy, layouts, 4).items():
        assert_same(layout, alone[f"{name.partition('-')[0]}-one"])

        assert_equal_weights(layout.weights, dict(load_run(layout.folder).named_parameters()))
