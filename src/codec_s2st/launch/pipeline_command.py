"""``codec-s2st launch pipeline``: submits the steps that are not done, each after those it needs; or runs them here."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from codec_s2st.arguments import CommandParser, path_argument
from codec_s2st.errors import UserInputError
from codec_s2st.launch.calls import resolve_configs
from codec_s2st.launch.command import add_preset_options, check_cluster
from codec_s2st.launch.local import run_local
from codec_s2st.launch.pipeline import Pipeline, Step, load_pipeline
from codec_s2st.launch.preset import LOCAL
from codec_s2st.launch.record import write_whole
from codec_s2st.launch.start import Launch, describe, start
from codec_s2st.launch.states import find_states
from codec_s2st.launch.targets import last_launch


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    parser = CommandParser(
        prog="codec-s2st launch pipeline",
        description="Submit the steps that are not done as jobs that wait for each other; or run them here.",
    )

    parser.add_argument("file", metavar="FILE", help="a .yaml file, or a pipeline that is shipped: demo")
    parser.add_argument("--out", metavar="DIR", type=path_argument, help="its folder (default: the one in the file)")

    add_preset_options(parser)

    args = parser.parse_args(argv)

    pipeline = load_pipeline(args.file, out=args.out, preset=args.preset)

    # Said of all before anything is submitted.
    jobs = {step.name: find_job(pipeline, step) for step in pipeline.steps}

    if args.dry_run:
        _describe(pipeline, jobs)

        return 0

    todo = [step for step in pipeline.steps if jobs[step.name] == ""]

    if todo:
        check_cluster(todo[0].preset)

    recipes = [step for step in todo if step.call.out is not None]

    resolved = resolve_configs([step.call for step in recipes]) if recipes else []

    configs = {step.name: config for step, config in zip(recipes, resolved, strict=True)}

    pipeline.out.mkdir(parents=True, exist_ok=True)

    write_whole(pipeline.out / "pipeline.yaml", pipeline.file.read_text(encoding="utf-8"))

    for step in pipeline.steps:
        if step not in todo:
            _say(step, f"job {jobs[step.name]} waits or runs" if jobs[step.name] else "done")

            continue

        needs = [job for name in step.needs if (job := jobs[name])]

        if step.preset.cluster == LOCAL:
            _say(step, "starts")

            code = run_local(step.preset, *start(_launch(pipeline, step), configs.get(step.name)))

            if code != 0:
                return code
        else:
            _, info = start(_launch(pipeline, step), configs.get(step.name), needs)

            jobs[step.name] = info.job_id

            _say(step, f"submitted job {info.job_id}" + (f" after {', '.join(needs)}" if needs else ""))

    print(f"see: codec-s2st launch status {pipeline.out}")

    return 0


def find_job(pipeline: Pipeline, step: Step) -> str | None:
    """Returns the id of the step's job if it waits or runs, ``None`` if the step is done, and else an empty text.

    A step is done if all of it has ended well, ran what the file says now, in the steps that it needs too, and what it
    has written is there.

    :raises UserInputError: it runs here, or what waits or runs is not what the file says now.
    """
    launched = last_launch(pipeline.launches_dir(step))

    if launched is None:
        return ""

    record, info = launched

    [states] = find_states([launched])

    if any(state.is_live for state in states):
        if info.cluster == LOCAL or info.fingerprint != step.fingerprint:
            what = (
                "runs already" if info.cluster == LOCAL else f"waits or runs as job {info.job_id}, with other arguments"
            )

            raise UserInputError(f"step {step.name} {what}", hint=f"codec-s2st launch cancel {pipeline.out}")

        return info.job_id

    paths = [*step.creates, *([] if step.call.out is None else [step.call.out])]

    if record.is_done(info) and info.fingerprint == step.fingerprint and all(path.exists() for path in paths):
        return None

    return ""


def _launch(pipeline: Pipeline, step: Step) -> Launch:
    return Launch(
        name=f"{pipeline.out.name}-{step.name}",
        call=step.call,
        preset=step.preset,
        parent=pipeline.launches_dir(step),
        array=step.array,
        fingerprint=step.fingerprint,
    )


def _describe(pipeline: Pipeline, jobs: dict[str, str | None]) -> None:
    for step in pipeline.steps:
        if jobs[step.name] is None:
            print(f"# {step.name}: done\n")

            continue

        if jobs[step.name]:
            print(f"# {step.name}: job {jobs[step.name]} waits or runs\n")

            continue

        needs = [jobs[name] or f"JOB_OF_{name}" for name in step.needs if jobs[name] is not None]

        print(f"# {step.name}\n{describe(_launch(pipeline, step), needs)}")


def _say(step: Step, text: str) -> None:
    print(f"{step.name}: {text}", flush=True)

    sys.stderr.flush()
