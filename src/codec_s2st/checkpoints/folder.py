"""The folder of a run's checkpoints: ``step_N`` is one that is whole, whatever happened while it was written.

Other names are of no account: ``*.tmp`` is being written or removed, ``step_N.old`` is being replaced, and
``step_N.damaged`` did not hold what was written.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from codec_s2st.checkpoints.manifest import MANIFEST_FILE, Manifest, ManifestError
from codec_s2st.errors import UserInputError


@dataclass(frozen=True)
class CheckpointFolder:
    path: Path

    def steps(self, *, whole: bool = False) -> list[int]:
        """Returns the steps that there are checkpoints of, in order; with ``whole``, those that a run can go on with.

        Those whose manifest cannot be read count as whole.
        """
        return [step for step in self._committed() if not whole or self._is_whole(step)]

    def _committed(self) -> list[int]:
        matches = [(re.fullmatch(r"step_(\d+)", path.name), path) for path in self.path.glob("step_*")]

        return sorted(int(match[1]) for match, path in matches if match and path.joinpath(MANIFEST_FILE).is_file())

    def _is_whole(self, step: int) -> bool:
        try:
            return Manifest.read(self.of(step)).is_whole
        except ManifestError:
            return True

    def of(self, step: int) -> Path:
        return self.path / f"step_{step}"

    def temporary(self, step: int) -> Path:
        """The place where a checkpoint is written."""
        return self.path / f"step_{step}.tmp"

    def begin(self, step: int) -> None:
        """Makes an empty folder at the temporary place.

        :raises OSError: it cannot be made.
        """
        remove(self.temporary(step))

        self.temporary(step).mkdir(parents=True)

    def sync(self, step: int) -> None:
        """Returns when the names of a checkpoint's files are on the disk, which those files are.

        :raises OSError: the file system fails.
        """
        for path in self.temporary(step).rglob("*"):
            if path.is_dir():
                sync(path)

    def commit(self, manifest: Manifest) -> None:
        """Writes the manifest into the temporary folder, the rest of which is on the disk, and gives it its final name.

        A checkpoint of the same step is replaced.

        :raises OSError: one of these fails; what was there is there still.
        """
        temporary, final = self.temporary(manifest.step), self.of(manifest.step)

        manifest.write(temporary)

        sync(temporary)

        old = final.with_name(f"{final.name}.old")

        if final.exists():
            remove(old)

            final.rename(old)

        temporary.rename(final)

        sync(self.path)

        remove(old)

    def discard(self, step: int) -> None:
        """Removes what was written of a checkpoint that is not to be."""
        remove(self.temporary(step))

    def delete(self, step: int) -> None:
        """Removes a checkpoint, which is none from the first moment on."""
        doomed = self.path / f"step_{step}.deleted.tmp"

        remove(doomed)

        if self.of(step).exists():
            self.of(step).rename(doomed)

        remove(doomed)

    def keep_model_of(self, step: int) -> None:
        """Removes all of a checkpoint but its model."""
        folder = self.of(step)

        manifest = Manifest.read(folder)

        kept = ("model", "hg", "hook")

        # First, so that a run will not try to go on with what is left.
        manifest.of(kept).write(folder)

        for kind in {name.split("/")[0] for name in manifest.files}.difference(kept):
            remove(folder / kind)

    def set_aside(self, step: int) -> Path:
        """Renames a damaged checkpoint, so that nobody takes it for one, and returns its new path."""
        aside = self.path / f"step_{step}.damaged"

        remove(aside)

        self.of(step).rename(aside)

        return aside

    def clean(self) -> list[str]:
        """Removes what processes that were killed have left behind; returns the names.

        To be called while no other process works in the folder.
        """
        removed = []

        for path in sorted(self.path.glob("step_*.old")):
            final = path.with_suffix("")

            # It was to be replaced, but the other one had not come yet.
            if not final.exists():
                path.rename(final)
            else:
                removed.append(path.name)

                remove(path)

        for path in sorted(self.path.glob("step_*.tmp")):
            removed.append(path.name)

            remove(path)

        return removed

    def refuse_foreign(self) -> None:
        """
        :raises UserInputError: there are checkpoints, but none with a manifest.
        """
        foreign = self._foreign()

        if foreign and not self.steps():
            raise UserInputError(
                f"{foreign[-1]} has no {MANIFEST_FILE}: fairseq2 itself has written it, or an older version",
                hint="such checkpoints hold pickles, and are not read: train in another folder",
            )

    def _foreign(self) -> list[Path]:
        known = {f"step_{step}" for step in self._committed()}

        return sorted(path for path in self.path.glob("step_*") if path.name[5:].isdigit() and path.name not in known)


def remove(folder: Path) -> None:
    """Removes a folder, or a file in its place; neither need be there."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()

        return

    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        if folder.exists():
            raise


def sync(folder: Path) -> None:
    """Returns when the names in a folder are on the disk."""
    fd = os.open(folder, os.O_RDONLY)

    try:
        os.fsync(fd)
    finally:
        os.close(fd)
