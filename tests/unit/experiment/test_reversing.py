from __future__ import annotations

from pathlib import Path

from codec_s2st.cli import main
from codec_s2st.data.manifest import ManifestRow, iter_rows, manifest_frame, read_manifest, write_manifest


def test_source_and_target_are_exchanged(tmp_path: Path) -> None:
    row = ManifestRow(
        id="a",
        split="test",
        source_audio="wav/a.wav",
        source_text="hola",
        source_lang="spa",
        source_seconds=1.5,
        target_audio="/elsewhere/b.wav",
        target_text="hello",
        target_lang="eng",
    )

    write_manifest(manifest_frame([row]), tmp_path)

    assert main(["experiment", "reverse", str(tmp_path), str(tmp_path / "new")]) == 0

    [found] = iter_rows(read_manifest(tmp_path / "new" / "manifest.parquet"))

    assert (found.id, found.split) == ("a", "test")
    assert (found.source_audio, found.source_text, found.source_lang) == ("/elsewhere/b.wav", "hello", "eng")
    assert (found.target_audio, found.target_text, found.target_lang) == (str(tmp_path / "wav/a.wav"), "hola", "spa")
    assert (found.source_seconds, found.target_seconds) == (None, 1.5)
