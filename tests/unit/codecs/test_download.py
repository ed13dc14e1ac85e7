"""Weights from a hub: what is fetched, and the one line that is said where they cannot be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from codec_s2st.codecs.encodec.config import EncodecConfig
from codec_s2st.codecs.encodec.model import EncodecCodec
from tests.hub_server import COMMIT, serve_hub

TINY = {
    "num_codebooks": 2,
    "codebook_size": 16,
    "latent_dim": 8,
    "num_filters": 2,
    "ratios": [4, 2],
    "num_lstm_layers": 1,
}

# In a process of its own: the hub's address and whether it may be used are read when its library is imported.
SCRIPT = """
import json, socket, sys

opened = []

def refuse(*args, **kwargs):
    opened.append(repr(args[-1]))

    raise OSError("this process has no network")

if sys.argv[1] == "blocked":
    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, refuse)

    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        setattr(socket, name, refuse)

from codec_s2st.cli import main
from codec_s2st.codecs import load_codec
from codec_s2st.errors import CodecS2STError

output = {}

for name in sys.argv[2:]:
    try:
        output[name] = [0, load_codec(name).fingerprint.weights_hash]
    except CodecS2STError as ex:
        output[name] = [ex.exit_code, str(ex)]

print("RESULT", json.dumps([output, opened]))
"""


def write_card(folder: Path, repo: str) -> str:
    name = repo.replace("/", "_").replace("-", "_")

    card = {
        "name": name,
        "model_family": "codec_s2st_encodec",
        "model_arch": "24khz",
        "model_config": TINY,
        "checkpoint": f"hg://{repo}",
    }

    (folder / f"{name}.yaml").write_text(json.dumps(card))

    return name


def load_in_process(
    folder: Path, names: list[str], *, blocked: bool = False, **environment: str
) -> tuple[dict[str, tuple[int, str]], list[str]]:
    """Returns exit code and message, or 0 and the hash of the weights, by name; and the connections that were tried."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, "blocked" if blocked else "open", *names],
        env={
            **os.environ,
            "FAIRSEQ2_USER_ASSET_DIR": str(folder),
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr

    output, opened = json.loads(result.stdout.partition("RESULT ")[2])

    return {name: (code, message) for name, (code, message) in output.items()}, opened


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"

    save_file(EncodecCodec(EncodecConfig(**TINY)).state_dict(), path)  # type: ignore[arg-type]

    return path.read_bytes()


def test_what_a_hub_says_is_one_line_with_the_next_command(tmp_path: Path, weights: bytes) -> None:
    files = {
        "me/good": {"model.safetensors": weights, "model.pt": b"a pickle"},
        "me/pickles": {"model.pt": b"a pickle"},
    }

    with serve_hub(files, gated=frozenset({"me/gated"}), broken=frozenset({"me/broken"})) as hub:
        repos = ["me/good", "me/pickles", "me/gated", "me/absent", "me/broken", "not a name"]

        names = {repo: write_card(tmp_path, repo) for repo in repos}

        output, _ = load_in_process(tmp_path, list(names.values()), HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")

        assert output[names["me/good"]][0] == 0

        # What is never read is never fetched.
        assert not [path for path in hub.requests if path.endswith(".pt")]

    expected = {
        "me/pickles": (2, ["holds no safetensors", "pickles are never read"]),
        "me/gated": (2, ["the repository is gated", "hf auth login"]),
        "me/absent": (2, ["there is no such repository, or it is private", "hf auth login"]),
        "me/broken": (1, ["hg://me/broken: the hub answered 500", "hf download me/broken --include '*.safetensors'"]),
        "not a name": (2, ["a repository is named OWNER/NAME"]),
    }

    for repo, (exit_code, parts) in expected.items():
        found_code, message = output[names[repo]]

        assert found_code == exit_code, message

        assert "\n" not in message

        for part in [*parts, names[repo], repo]:
            assert part in message

    # The hub is gone by now.
    for environment, reason in (
        ({"HF_HUB_OFFLINE": "0"}, "the hub cannot be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "not in the cache, and HF_HUB_OFFLINE forbids a download"),
    ):
        again, _ = load_in_process(tmp_path, [names["me/absent"]], HF_ENDPOINT=hub.url, **environment)

        assert again[names["me/absent"]][0] == 1

        assert reason in again[names["me/absent"]][1]

        assert "hf download me/absent --include '*.safetensors'" in again[names["me/absent"]][1]


def test_offline_mode_opens_no_connection(tmp_path: Path, weights: bytes) -> None:
    snapshot = tmp_path / "hf" / "hub" / "models--me--good" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)

    (snapshot / "model.safetensors").write_bytes(weights)

    refs = snapshot.parents[1] / "refs"
    refs.mkdir()

    (refs / "main").write_text(COMMIT)

    names = [write_card(tmp_path, "me/good"), write_card(tmp_path, "me/absent")]

    output, opened = load_in_process(tmp_path, [*names, "mimi"], blocked=True, HF_HUB_OFFLINE="1")

    assert output[names[0]][0] == 0

    assert output[names[1]][0] == output["mimi"][0] == 1

    assert opened == []

    # The trap works: without the offline mode, a connection is tried.
    output, opened = load_in_process(tmp_path, names[1:], blocked=True, HF_HUB_OFFLINE="0")

    assert output[names[1]][0] == 1

    assert opened
