"""``manifest.json``, the last file of a checkpoint to be written: what the others are, and of which run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from codec_s2st.checkpoints.identity import RunIdentity
from codec_s2st.checkpoints.state_files import FileRecord, record_of

MANIFEST_FILE: Final = "manifest.json"

_FORMAT: Final = 1

_MAX_BYTES: Final = 64 << 20


class ManifestError(Exception):
    """A checkpoint has no manifest, or one that cannot be understood."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    step: int

    files: Mapping[str, FileRecord]
    """By path in the folder of the checkpoint."""

    run: RunIdentity

    versions: Mapping[str, str]
    """Of the packages that have written it."""

    @property
    def is_whole(self) -> bool:
        """Whether a run can go on with it; if not, it holds the model alone."""
        return any(name.startswith("trainer/") for name in self.files)

    def of(self, kinds: Iterable[str]) -> Manifest:
        """Returns the manifest of the files of some kinds, such as ``model``."""
        kept = {name: record for name, record in self.files.items() if name.split("/")[0] in kinds}

        return Manifest(step=self.step, files=kept, run=self.run, versions=self.versions)

    def write(self, folder: Path) -> None:
        """Writes it into a folder, in whose place a whole one is at any time.

        :raises OSError: it cannot be written.
        """
        body = json.dumps(
            {
                "format": _FORMAT,
                "step": self.step,
                "files": {name: record._asdict() for name, record in sorted(self.files.items())},
                "run": asdict(self.run),
                "versions": dict(self.versions),
            },
            indent=1,
        )

        temporary = folder / f"{MANIFEST_FILE}.tmp"

        with temporary.open("w", encoding="utf-8") as fp:
            fp.write(json.dumps({"sha256": _hash(body), "body": body}, indent=1))

            fp.flush()

            os.fsync(fp.fileno())

        temporary.rename(folder / MANIFEST_FILE)

    @staticmethod
    def read(folder: Path) -> Manifest:
        """
        :raises ManifestError: ``folder`` has none, or one that has been changed.
        """
        file = folder / MANIFEST_FILE

        try:
            if file.stat().st_size > _MAX_BYTES:
                raise ManifestError(f"{file} is too large for a manifest")

            content = json.loads(file.read_bytes())

            body = content["body"]

            if content["sha256"] != _hash(body):
                raise ManifestError(f"{file} does not hold what was written")

            values = json.loads(body)

            if values["format"] != _FORMAT:
                raise ManifestError(f"{file} has the format {values['format']}, but {_FORMAT} is what is known")

            return Manifest(
                step=int(values["step"]),
                files=_read_files(values["files"]),
                run=_read_run(values["run"]),
                versions=values["versions"],
            )
        except FileNotFoundError:
            raise ManifestError(f"{file} is missing") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as ex:
            raise ManifestError(f"{file} cannot be read: {ex}") from ex

    def problems(self, folder: Path, names: Iterable[str]) -> list[str]:
        """Returns in words what is wrong with some files of the checkpoint in ``folder``; all are looked at, these are
        read too.
        """
        output = []

        for name, record in self.files.items():
            try:
                size = folder.joinpath(name).stat().st_size
            except OSError as ex:
                output.append(f"{name} cannot be read: {ex.strerror}")
            else:
                if size != record.size:
                    output.append(f"{name} has {size:,} bytes instead of {record.size:,}")

        if output:
            return output

        for name in names:
            try:
                if name not in self.files:
                    output.append(f"{name} is not part of it")
                elif record_of(folder / name) != self.files[name]:
                    output.append(f"{name} does not hold what was written (another SHA-256)")
            except OSError as ex:
                output.append(f"{name} cannot be read: {ex.strerror}")

        return output


def _read_files(values: Mapping[str, Mapping[str, Any]]) -> dict[str, FileRecord]:
    """
    :raises ValueError: a file would lie outside of a folder of the checkpoint, or there is no file at all.
    """
    for name in values:
        path = PurePosixPath(name)

        if path.is_absolute() or ".." in path.parts or len(path.parts) < 2 or str(path) != name:
            raise ValueError(f"`{name}` is no file of a checkpoint")

    if not values:
        raise ValueError("it names no files")

    return {name: FileRecord(int(record["size"]), str(record["sha256"])) for name, record in values.items()}


def _read_run(values: Mapping[str, Any]) -> RunIdentity:
    """
    :raises ValueError: a part of it is no mapping.
    """
    for key, value in values.items():
        if not isinstance(value, Mapping):
            raise ValueError(f"the `{key}` of its run is no mapping")

    return RunIdentity(**values)


def _hash(body: Any) -> str:
    return hashlib.sha256(str(body).encode()).hexdigest()
