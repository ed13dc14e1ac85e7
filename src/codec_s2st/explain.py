"""Turns the errors of others (Python's, fairseq2's) into one line that says which file, and what to do next."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path
from typing import Final

from codec_s2st.errors import CodecS2STError, UserInputError

_MACHINE_ERRNOS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What another path would not mend."""

_CONNECTION_WORDS: Final = ("/gloo/transport/", "NCCL error", "NCCL communicator was aborted")
"""In what the backends of torch.distributed raise when a connection is lost."""


def explain(ex: BaseException) -> CodecS2STError:
    """Returns the error to print for ``ex``; where one of ours is its cause, that one."""
    causes = causes_of(ex)

    for cause in causes:
        if isinstance(cause, CodecS2STError):
            return cause

    for idx, cause in enumerate(causes):
        error = _explain_cause(cause, causes[idx + 1 :])

        if error is not None:
            return error

    if isinstance(ex, OSError):
        return explain_os_error(ex)

    if isinstance(ex, ValueError) and _is_raised_in(ex, "torch/optim/"):
        return UserInputError(f"`optimizer.config` is not valid: {ex}")

    # What `Path.resolve` raises before Python 3.13.
    if isinstance(ex, RuntimeError) and str(ex).startswith("Symlink loop from "):
        return UserInputError(str(ex), hint="remove the link")

    # What a collective operation raises on the ranks that are left, as a bare RuntimeError or a class of torch's own.
    if isinstance(ex, RuntimeError) and any(word in str(ex) for word in _CONNECTION_WORDS):
        return CodecS2STError(
            f"another rank cannot be reached any more: {str(ex).splitlines()[0]}",
            hint="it has ended, or its node: see the logs of all ranks; the same command goes on with the run",
        )

    return CodecS2STError(
        f"unexpected {type(ex).__name__}: {ex}", hint="set CODEC_S2ST_TRACE=1 to see the stack trace, and report it"
    )


def explain_os_error(ex: OSError) -> CodecS2STError:
    """Returns the error for a file that cannot be read or written: path and reason."""
    reason = ex.strerror or str(ex) or type(ex).__name__

    if ex.filename is None:
        return CodecS2STError(reason)

    if ex.errno in _MACHINE_ERRNOS:
        return CodecS2STError(f"{ex.filename}: {reason}")

    return UserInputError(f"{ex.filename}: {reason}")


def explain_extension(value: str, distribution: str | None, ex: BaseException) -> CodecS2STError:
    """Returns the error for a fairseq2 extension that fails: its entry point, its package, the file at fault."""
    file = _file_at_fault(ex)

    place = "" if file is None else f" in {file}"

    owner = "" if distribution is None else f" of the package {distribution}"

    hint = "mend it or uninstall its package"

    if distribution is not None:
        hint = f"mend it, or: pip uninstall {distribution}"

    error = CodecS2STError(f"the fairseq2 extension {value}{owner} fails{place}: {type(ex).__name__}: {ex}", hint=hint)

    error.__cause__ = ex

    return error


def _explain_cause(ex: BaseException, causes: list[BaseException]) -> CodecS2STError | None:
    if isinstance(ex, TypeError):
        from codec_s2st.environment import find_extension_problems

        # fairseq2 lets a TypeError of an extension through, and every program of the environment ends with it.
        return next((error for error in find_extension_problems() if isinstance(error.__cause__, TypeError)), None)

    # What is not raised by fairseq2 needs none of its classes, and their import takes seconds.
    if not type(ex).__module__.startswith("fairseq2."):
        return None

    from fairseq2.assets import AssetMetadataError
    from fairseq2.composition import ExtensionError
    from fairseq2.error import OperationalError

    if isinstance(ex, AssetMetadataError):
        from codec_s2st.environment import find_card_problems

        for problem in find_card_problems():
            return problem

        return UserInputError(f"the asset cards of {ex.source} are faulty: {ex}")

    if isinstance(ex, ExtensionError):
        return explain_extension(ex.entry_point, None, ex.__cause__ or ex)

    if isinstance(ex, OperationalError) and causes and isinstance(causes[0], OSError):
        return explain_os_error(causes[0])

    from codec_s2st.host_errors import explain_host_error

    return explain_host_error(ex, causes)


def _is_raised_in(ex: BaseException, folder: str) -> bool:
    frames = traceback.extract_tb(ex.__traceback__)

    return bool(frames) and folder in Path(frames[-1].filename).as_posix()


def _file_at_fault(ex: BaseException) -> str | None:
    """Returns ``file:line`` of the innermost frame that is neither Python's, fairseq2's nor ours."""
    for frame in reversed(traceback.extract_tb(ex.__traceback__)):
        path = Path(frame.filename)

        if path.parent == Path(__file__).parent or "importlib" in str(path) or "fairseq2" in path.parts:
            continue

        return f"{path}:{frame.lineno}"

    return None


def causes_of(ex: BaseException) -> list[BaseException]:
    """Returns ``ex`` and what caused it, the nearest first."""
    output: list[BaseException] = []

    cause: BaseException | None = ex

    while cause is not None and cause not in output:
        output.append(cause)

        cause = cause.__cause__

    return output
