"""Tests of the folders that a run locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from codec_s2st.recipes.common.locks import lock_folder, lock_scope

OTHER = """
import sys
from pathlib import Path

from codec_s2st.errors import UserInputError
from codec_s2st.recipes.common.locks import lock_folder

try:
    lock_folder(Path(sys.argv[1]))
except UserInputError:
    sys.exit(3)
"""


def other_process_gets(folder: Path) -> bool:
    code = subprocess.run([sys.executable, "-c", OTHER, str(folder)], check=False).returncode

    assert code in (0, 3)

    return code == 0


def test_folder_is_locked_until_the_scope_ends(tmp_path: Path) -> None:
    with lock_scope():
        lock_folder(tmp_path)
        lock_folder(tmp_path)

        assert not other_process_gets(tmp_path)

    assert other_process_gets(tmp_path)


def test_program_without_a_scope_holds_it_until_it_ends(tmp_path: Path) -> None:
    held = (
        "import sys; from pathlib import Path; from codec_s2st.recipes.common.locks import lock_folder;"
        " lock_folder(Path(sys.argv[1])); lock_folder(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )

    with subprocess.Popen(
        [sys.executable, "-c", held, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        process.stdout.readline()

        assert not other_process_gets(tmp_path)

        process.stdin.close()

    assert other_process_gets(tmp_path)
