"""What a run can start from, and what is said where it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fairseq2.assets import AssetCard
from fairseq2.recipe.config import ModelSection

from codec_s2st.data.text import load_text_tokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.exchange.import_hf import import_hf
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY
from codec_s2st.recipes.common.binding import choose_tokenizer
from codec_s2st.recipes.common.initial import InitialModel, find_initial_model
from codec_s2st.share import assets_dir
from tests.hub_server import serve_hub
from tests.llms import write_llm

# In a process of its own: the hub's address is read when its library is imported.
SCRIPT = """
import json, sys

from fairseq2 import init_fairseq2
from fairseq2.recipe.config import ModelSection

init_fairseq2()

from codec_s2st.errors import CodecS2STError
from codec_s2st.recipes.common.initial import find_initial_model

output = {}

for name in sys.argv[1:]:
    try:
        output[name] = [0, str(find_initial_model(name, ModelSection(family="codec_s2st_lm")).path)]
    except CodecS2STError as ex:
        output[name] = [ex.exit_code, str(ex)]

print("RESULT", json.dumps(output))
"""


def find(init: str | None, **section: object) -> InitialModel:
    return find_initial_model(init, ModelSection(family=CODEC_LM_FAMILY, **section))  # type: ignore[arg-type]


class TestFound:
    def test_card_of_a_text_llm(self) -> None:
        initial = find("demo_text_lm")

        assert initial.path == assets_dir() / "models" / "demo_text_lm" / "config.json"

        assert (initial.decoder.family, initial.decoder.model_dim, initial.vocabulary) == ("qwen", 192, "")

        # The demo's tables need no padding.
        assert (800 + 256 + 4 * 512) % initial.config.rows_multiple_of == 0

        assert choose_tokenizer("auto", initial).name == "codec_s2st_demo_tokenizer"

    def test_card_of_a_codec_lm(self) -> None:
        initial = find("demo_cpt")

        assert (initial.name, initial.path, initial.config.rows_multiple_of) == ("codec_s2st_demo_cpt", None, 1)

        assert choose_tokenizer("auto", initial).name == "codec_s2st_demo_tokenizer"

    def test_hugging_face_folder(self, tmp_path: Path) -> None:
        initial = find(str(write_llm(tmp_path, "llama3_2")))

        assert initial.path == tmp_path / "config.json"

        assert initial.decoder.family == "llama" and initial.decoder.rope_scaling is not None

        with pytest.raises(UserInputError, match=f"model '{tmp_path}' comes without a tokenizer"):
            choose_tokenizer("auto", initial)

        assert choose_tokenizer("demo_tokenizer", initial).size == 800

    @pytest.mark.parametrize("file", ["", "card.yaml"])
    def test_published_folder(self, tmp_path: Path, file: str) -> None:
        import_hf(write_llm(tmp_path / "llm"), tmp_path / "out")

        initial = find(str(tmp_path / "out" / file))

        assert initial.path == tmp_path / "out" / "model"

        assert initial.vocabulary == initial.config.vocabulary != ""

    def test_architecture(self) -> None:
        initial = find(None, arch="tiny")

        assert initial.path is None and initial.decoder.model_dim == 32

        assert choose_tokenizer("auto", initial).name == "codec_s2st_demo_tokenizer"

    def test_tokenizer_of_a_card_that_is_in_no_store_goes_by_its_path(self, tmp_path: Path) -> None:
        file = assets_dir() / "tokenizers" / "demo_tokenizer.model"

        card = AssetCard(
            "mine", {"tokenizer_family": "codec_s2st_tokenizer", "tokenizer": str(file), "__base_path__": tmp_path}
        )

        assert load_text_tokenizer(card).name == str(file)


class TestRefused:
    @pytest.mark.parametrize(
        ("init", "message"),
        [
            ("Qwen/Qwen3-0.6B", r"does not exist .*hf download Qwen/Qwen3-0.6B --local-dir FOLDER"),
            ("/no/such/folder", "'/no/such/folder' to start from does not exist"),
            ("demo_text_lmm", "unknown model card 'demo_text_lmm': did you mean"),
            (
                "demo_codec",
                "is a model of the family codec_s2st_melcodec, but must be one of codec_s2st_lm, qwen, llama",
            ),
            # fairseq2's card of a gated model.
            ("llama3_2_1b", r"card 'llama3_2_1b' names no checkpoint, because its model is gated; ask for it at http"),
        ],
    )
    def test_names(self, init: str, message: str) -> None:
        with pytest.raises(UserInputError, match=message):
            find(init)

    def test_run_without_checkpoints(self, tmp_path: Path) -> None:
        tmp_path.joinpath("config.yaml").write_text("init: null\n")

        tmp_path.joinpath("logs").mkdir()

        with pytest.raises(UserInputError, match=r"has no checkpoints to start from"):
            find(str(tmp_path))

    def test_folder_of_nothing_known(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=r"is neither a run .* nor a published model .* nor a Hugging Face"):
            find(str(tmp_path))

    def test_nothing_at_all(self) -> None:
        with pytest.raises(UserInputError, match=r"neither `init` nor `model\.arch` is set"):
            find(None)


def test_cards_on_a_hub(tmp_path: Path) -> None:
    """The one line says which card and repository, and what to do next."""
    config = {
        "model_dim": 32,
        "vocab_size": 50,
        "num_layers": 3,
        "num_attn_heads": 4,
        "num_key_value_heads": 2,
        "ffn_inner_dim": 48,
        "max_seq_len": 256,
        "tied_embeddings": True,
    }

    for name in ("good", "gated", "absent", "other"):
        card = {"name": f"my_{name}", "model_family": "qwen", "model_config": config, "checkpoint": f"hg://me/{name}"}

        (tmp_path / f"{name}.yaml").write_text(json.dumps(card))

    good = (write_llm(tmp_path / "llm") / "model.safetensors").read_bytes()
    other = (write_llm(tmp_path / "other", "llama3") / "model.safetensors").read_bytes()

    files = {"me/good": {"model.safetensors": good}, "me/other": {"model.safetensors": other}}

    names = ["my_good", "my_gated", "my_absent", "my_other"]

    with serve_hub(files, gated=frozenset({"me/gated"})) as hub:
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT, *names],
            env={
                **os.environ,
                "FAIRSEQ2_USER_ASSET_DIR": str(tmp_path),
                "HF_ENDPOINT": hub.url,
                "HF_HOME": str(tmp_path / "hf"),
                "HF_HUB_OFFLINE": "0",
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "NO_PROXY": "127.0.0.1",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    assert result.returncode == 0, result.stderr

    output = json.loads(result.stdout.partition("RESULT ")[2])

    assert output["my_good"][0] == 0

    for name, parts in (
        ("my_gated", ["'my_gated'", "hg://me/gated", "the repository is gated", "hf auth login"]),
        ("my_absent", ["'my_absent'", "hg://me/absent", "there is no such repository"]),
        # No biases, and a head of its own.
        ("my_other", ["has no `model.layers.0.self_attn.q_proj.bias` and 8 more", "'my_other'", "fetch it again"]),
    ):
        code, message = output[name]

        assert code == 2 and "\n" not in message

        assert all(part in message for part in parts), message
