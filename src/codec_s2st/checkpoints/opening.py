"""Decides which checkpoint a run goes on with."""

from __future__ import annotations

from collections.abc import Sequence

from fairseq2.gang import Gang
from fairseq2.logging import log

from codec_s2st.checkpoints.agreement import gather, on_one_rank, raise_everywhere
from codec_s2st.checkpoints.folder import CheckpointFolder
from codec_s2st.checkpoints.identity import RunIdentity
from codec_s2st.checkpoints.manifest import Manifest, ManifestError
from codec_s2st.errors import CodecS2STError, UserInputError


def open_checkpoints(
    folder: CheckpointFolder, gang: Gang, run: RunIdentity, files: Sequence[str], *, strict: bool
) -> None:
    """Makes the last checkpoint of a folder one that the run can go on with.

    What processes that were killed have left is removed. Checkpoints after the last one whose files hold what was
    written are set aside with a warning. All ranks must call.

    :param files: What this rank reads of a checkpoint.
    :param strict: Whether a checkpoint that is damaged ends the run instead.

    :raises UserInputError: the checkpoint is of another run; the differences are listed.
    :raises CodecS2STError: no checkpoint holds what was written; or, if ``strict``, the last one does not.
    """
    on_one_rank(gang, folder.path, lambda: _clean(folder))

    damaged: list[tuple[int, str]] = []

    for step in reversed(folder.steps(whole=True)):
        problem = _find_problem(folder, step, gang, run, files)

        if problem is None:
            break

        damaged.append((step, problem))

        if strict:
            raise _damaged(damaged, "remove it, or set checkpoints.strict=false to go on with the one before")
    else:
        if damaged:
            raise _damaged(damaged, "train in another folder, or remove them to start from the first step again")

    for step, problem in damaged:
        log.warning("CHECKPOINT {} IS DAMAGED: {}. The run goes on with an earlier one; this one is now called step_{}.damaged.", folder.of(step), problem, step)  # fmt: skip  # noqa: E501

        _set_aside(folder, step, gang)


def _clean(folder: CheckpointFolder) -> None:
    removed = folder.clean()

    if removed:
        log.info("Removed what an earlier process had not finished: {}.", ", ".join(removed))

    folder.refuse_foreign()


def _set_aside(folder: CheckpointFolder, step: int, gang: Gang) -> None:
    on_one_rank(gang, folder.path, lambda: folder.set_aside(step))


def _find_problem(
    folder: CheckpointFolder, step: int, gang: Gang, run: RunIdentity, files: Sequence[str]
) -> str | None:
    """Returns in words what is wrong with a checkpoint on any rank, to all ranks."""
    error: CodecS2STError | None = None

    problems: list[str] = []

    try:
        manifest = Manifest.read(folder.of(step))

        if differences := manifest.run.differences(run):
            error = UserInputError(
                f"the run cannot go on with {folder.of(step)}: {'; '.join(differences)}",
                hint="change it back, or start another run from these weights: --init RUN",
            )
        elif manifest.step != step:
            problems = [f"its manifest is of step {manifest.step}"]
        else:
            problems = manifest.problems(folder.of(step), files)
    except ManifestError as ex:
        problems = [str(ex)]

    raise_everywhere(gang, error)

    for rank, found in enumerate(gather(gang, problems)):
        if found:
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""

            return f"{found[0]}{more}" if gang.size == 1 else f"rank {rank}: {found[0]}{more}"

    return None


def _damaged(damaged: Sequence[tuple[int, str]], hint: str) -> CodecS2STError:
    step, problem = damaged[0]

    which = f"checkpoint {step}"

    if len(damaged) > 1:
        which = f"all {len(damaged)} checkpoints, such as that of step {step},"

    return CodecS2STError(f"{which} cannot be trusted: {problem}", hint=hint)
