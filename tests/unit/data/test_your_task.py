"""What ``docs/guides/your-task.md`` shows, as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from codec_s2st.data.alignment import TimedSpan
from codec_s2st.data.manifest import iter_rows, read_manifest
from codec_s2st.data.task_entries import parse_tasks
from codec_s2st.data.templates import TEMPLATES, find_template
from codec_s2st.share import recipes_dir

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "your-task.md").read_text()


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_entry_and_python_value_are_the_same_task() -> None:
    [entry] = code_blocks("yaml")

    section = YAML(typ="safe", pure=True).load(entry)["data"]

    own = parse_tasks(section["tasks"], where="data.tasks")

    for item in section["mixture"]:
        find_template(item["task"], own)

    names: dict[str, object] = {}

    exec(code_blocks("python")[1], names)

    assert names["spelled"] == own["s2st_spelled"]


def test_manifest_with_an_alignment_is_written(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", code_blocks("python")[0]], cwd=tmp_path, check=True)

    [row] = iter_rows(read_manifest(tmp_path))

    assert row.source_alignment == (TimedSpan("buenos", 0.12, 0.48), TimedSpan("días", 0.48, 0.95))


def test_every_task_and_only_presets_that_exist_are_named() -> None:
    table = GUIDE.split("## The tasks that are there already")[1].split("##")[0]

    assert all(f"`{name}`" in table for name in TEMPLATES)

    presets = re.findall(r"`((?:cpt|s2st)/\S+?)`", GUIDE)

    assert len(presets) == 3 and all(recipes_dir().joinpath(f"{name}.yaml").is_file() for name in presets)
