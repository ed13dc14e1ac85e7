"""The codec of docs/guides/your-codec.md, run as the guide has it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from fairseq2.composition import register_file_assets
from fairseq2.runtime.dependency import DependencyContainer
from safetensors.torch import save_file

import codec_s2st.codecs
from codec_s2st.codecs import load_codec
from codec_s2st.tokens.streams import StreamSpec

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "your-codec.md"


def test_guide_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = GUIDE.read_text(encoding="utf-8")

    files = re.findall(r"```python\n# file: (\S+)\n(.*?)```", text, flags=re.DOTALL)

    assert [name for name, _ in files] == ["config.py", "model.py", "__init__.py"]

    folder = tmp_path / "toy"
    folder.mkdir()

    for name, content in files:
        (folder / name).write_text(content)

    monkeypatch.setattr(codec_s2st.codecs, "__path__", [*codec_s2st.codecs.__path__, str(tmp_path)])

    cards = re.findall(r"```yaml\n(name: codec_s2st_toy\n.*?)```", text, flags=re.DOTALL)

    (tmp_path / "toy.yaml").write_text(cards[0])

    from codec_s2st.codecs.toy import register  # type: ignore[import-not-found]

    def extend(container: DependencyContainer) -> None:
        register(container)

        register_file_assets(container, tmp_path)

    from fairseq2 import init_fairseq2

    monkeypatch.setattr("fairseq2.runtime.dependency._resolver", None)

    init_fairseq2(extras=extend)

    from codec_s2st.codecs.toy.config import ToyConfig  # type: ignore[import-not-found]
    from codec_s2st.codecs.toy.model import ToyCodec  # type: ignore[import-not-found]

    torch.manual_seed(2)

    trained = ToyCodec(ToyConfig())

    save_file(trained.state_dict(), tmp_path / "toy.safetensors")

    try:
        codec = load_codec("toy")

        assert codec.spec == StreamSpec((256,) * 4, hop_length=320, sample_rate=16_000)

        assert torch.equal(codec.codebooks, trained.codebooks)

        # A frame that is an entry of the first code book is that entry.
        wave = trained.codebooks[0, [3, 200]].detach().reshape(1, 1, -1)

        assert codec.encode(wave)[0, 0].tolist() == [3, 200]

        torch.testing.assert_close(codec.decode(codec.encode(wave)[:, :1]), wave)

        assert codec.encode(wave[..., :-1]).shape == (1, 4, 2)
    finally:
        for name in [name for name in sys.modules if name.startswith("codec_s2st.codecs.toy")]:
            del sys.modules[name]
