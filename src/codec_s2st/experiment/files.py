"""The files of an experiment's folder that are written before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Final

from codec_s2st.errors import UserInputError
from codec_s2st.experiment.experiment import Experiment
from codec_s2st.experiment.pipeline import Compiled
from codec_s2st.experiment.reading import read_experiment
from codec_s2st.launch.fields import read_yaml
from codec_s2st.launch.record import write_whole

_EXPERIMENT: Final = "experiment.yaml"


def write_experiment(experiment: Experiment, compiled: Compiled, folder: Path, *, out: Path) -> Path:
    """Writes ``experiment.yaml``, ``configs/*.yaml`` and ``pipeline.yaml``, and returns the last.

    :param out: the folder of the experiment; another than ``folder`` in a dry run.
    :raises UserInputError: the folder cannot be written.
    """
    content = read_yaml(experiment.file, "experiment")

    assert isinstance(content, Mapping)

    content = {**content, "title": experiment.title, "seeds": list(experiment.seeds)}

    steps = compiled.steps

    if folder.absolute() != out.absolute():
        # Only what is read lies elsewhere; a configuration counts by its content.
        steps = {name: {**step, "run": [_moved(word, folder) for word in step["run"]]} for name, step in steps.items()}

    try:
        (folder / "configs").mkdir(parents=True, exist_ok=True)

        for name, config in compiled.configs.items():
            write_whole(folder / "configs" / f"{name}.yaml", _to_yaml(config))

        write_whole(folder / _EXPERIMENT, _to_yaml(content))

        file = folder / "pipeline.yaml"

        write_whole(file, _to_yaml({"out": str(out.absolute()), "steps": steps}))
    except OSError as ex:
        raise UserInputError(f"{folder} cannot be written: {ex.strerror}") from None

    return file


def check_files(experiment: Experiment) -> None:
    """Looks for what is read hours after the experiment has begun.

    :raises UserInputError: a file that the experiment names is not there.
    """
    from codec_s2st.data.manifest import manifest_path

    for corpus in experiment.corpora.values():
        if corpus.manifest is not None:
            manifest_path(corpus.manifest)

    retention = experiment.retention

    for file in () if retention is None else (retention.text, retention.choices):
        if file is not None and not file.is_file():
            raise UserInputError(f"file '{file}', which `retention` names, does not exist")


def open_experiment(out: Path) -> Experiment:
    """Reads the experiment whose folder ``out`` is.

    :raises UserInputError: it is none.
    """
    file = out / _EXPERIMENT

    if not file.is_file():
        raise UserInputError(f"'{out}' is not the folder of an experiment", hint="codec-s2st experiment four-way OUT")

    return read_experiment(file)


def _moved(word: str, folder: Path) -> str:
    return word.replace("${out}/configs/", f"{folder}/configs/")


def _to_yaml(content: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)

    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]

    # Long commands stay on their lines.
    yaml.width = 10_000

    text = StringIO()

    yaml.dump(_plain(content), text)

    return text.getvalue()


def _plain(content: Any) -> Any:
    """Returns it without what appears twice, which YAML would write as anchor and alias."""
    if isinstance(content, Mapping):
        return {key: _plain(value) for key, value in content.items()}

    return [_plain(value) for value in content] if isinstance(content, list | tuple) else content
