"""A user's own program as a judge: it is given a list of files and prints a number a file."""

from __future__ import annotations

import math
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.judges.judge import ALL_SYSTEMS, QUALITY, SIMILARITY, Recording
from codec_s2st.evaluation.report import REFERENCE_AUDIO
from codec_s2st.evaluation.signal import Measurement

LIST: Final = "{list}"
SOURCES: Final = "{sources}"
REFERENCES: Final = "{references}"
"""What stands in a command for a file with a path a line: recordings, and what each is compared with."""


_MAX_BYTES: Final = 1 << 24
"""More than that is no list of numbers."""

_LOOK_SECONDS: Final = 0.1


class CommandError(Exception):
    """The program did not do its work; what it printed is worth nothing."""


@final
class CommandJudge:
    """Runs a program once a set of recordings. Recordings that lack what it asks for are not in its lists."""

    def __init__(self, name: str, command: str, *, timeout: float, weights: Path | None = None) -> None:
        """
        :param name: Of the metric, in reports.
        :param command: As in a shell, though none is involved: words, quotes, and the placeholders above.
        :param timeout: After so many seconds it is ended.
        :param weights: A file whose SHA-256 goes into reports.

        :raises UserInputError: the command cannot be taken apart, or names no list, or there are no such weights.
        """
        from codec_s2st.file_hashes import sha256_of_file

        what = f"judge '{name}'"

        try:
            self._words = shlex.split(command)
        except ValueError as ex:
            raise UserInputError(f"the command of {what} cannot be read: {ex}") from None

        if not any(LIST in word for word in self._words):
            raise UserInputError(
                f"the command of {what} has no {LIST}, for the list of files", hint=f'command: "python my.py {LIST}"'
            )

        if weights is not None and not weights.is_file():
            raise UserInputError(f"the weights '{weights}' of {what} do not exist")

        self._timeout = timeout

        self._has_sources, self._has_references = SOURCES in command, REFERENCES in command

        self.name = f"{name} (command)"

        self.quality = SIMILARITY if self._has_sources or self._has_references else QUALITY

        # The reference's recording is not compared with itself.
        systems = tuple(system for system in ALL_SYSTEMS if not (self._has_references and system == REFERENCE_AUDIO))

        self.metrics: Mapping[str, tuple[str, ...]] = {name: systems}

        self.instrument = None if weights is None else Identity(weights.name, sha256_of_file(weights))

        self.signature = f"command:{command}"

        self._metric = name

    def judge(self, recordings: Sequence[Recording]) -> list[dict[str, Measurement]]:
        # In one run, whatever the system: programs take long to load their weights.
        chosen = [idx for idx, recording in enumerate(recordings) if self._applies(recording)]

        found: list[dict[str, Measurement]] = [{} for _ in recordings]

        if chosen:
            try:
                measurements = self._run([recordings[idx] for idx in chosen])
            except CommandError as ex:
                measurements = [Measurement(None, str(ex))] * len(chosen)

            for idx, measurement in zip(chosen, measurements, strict=True):
                found[idx] = {self._metric: measurement}

        return found

    def _applies(self, recording: Recording) -> bool:
        return (
            recording.system in self.metrics[self._metric]
            and not (self._has_sources and recording.source is None)
            and not (self._has_references and recording.reference is None)
        )

    def _run(self, recordings: Sequence[Recording]) -> list[Measurement]:
        with tempfile.TemporaryDirectory(prefix="codec_s2st_judge_") as folder:
            lists: dict[str, list[Path | None]] = {
                LIST: [recording.audio for recording in recordings],
                SOURCES: [recording.source for recording in recordings],
                REFERENCES: [recording.reference for recording in recordings],
            }

            words = list(self._words)

            for placeholder, paths in lists.items():
                file = Path(folder, f"{placeholder[1:-1]}.txt")

                if any(placeholder in word for word in words):
                    file.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")

                words = [word.replace(placeholder, str(file)) for word in words]

            lines = _run(words, self._timeout, Path(folder))

        if len(lines) != len(recordings):
            raise CommandError(f"it printed {len(lines)} lines for {len(recordings)} files")

        return [_number(line) for line in lines]


def _run(words: Sequence[str], timeout: float, folder: Path) -> list[str]:
    """Returns the lines that a program prints.

    :param folder: Where they are kept until it ends. Pipes would stay open for as long as anything that it has started
        and left behind.

    :raises CommandError: it cannot be started, fails, takes too long, or prints too much.
    """
    output, errors = folder / "output", folder / "errors"

    try:
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
    except OSError as ex:
        raise CommandError(f"'{words[0]}' cannot be started: {ex.strerror}") from None

    try:
        _wait(process, timeout, (output, errors))
    finally:
        # What it has started ends with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

        process.wait()

    if process.returncode != 0:
        last = (_read(errors).strip() or "it printed no reason").splitlines()[-1]

        raise CommandError(f"it ended with {process.returncode}: {last:.200}")

    return _read(output).splitlines()


def _wait(process: subprocess.Popen[bytes], timeout: float, files: Sequence[Path]) -> None:
    until = time.monotonic() + timeout

    while True:
        if any(file.stat().st_size > _MAX_BYTES for file in files):
            raise CommandError(f"it printed more than {_MAX_BYTES / 1e6:.0f} MB")

        with suppress(subprocess.TimeoutExpired):
            process.wait(max(min(_LOOK_SECONDS, until - time.monotonic()), 0.0))

            return

        if time.monotonic() >= until:
            raise CommandError(f"it was ended after {timeout:g} s (`timeout`)")


def _read(file: Path) -> str:
    with file.open("rb") as fp:
        return fp.read(_MAX_BYTES).decode(errors="replace")


def _number(line: str) -> Measurement:
    try:
        value = float(line)
    except ValueError:
        return Measurement(None, f"it printed {line.strip()[:80]!r}, which is no number")

    return Measurement(value) if math.isfinite(value) else Measurement(None, f"it printed {line.strip()}")
