"""Reads the model of a run's checkpoint, whose parts may be those of other ranks than there are now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import final

from fairseq2.gang import GangContext
from fairseq2.model_checkpoint import ModelCheckpointLoader, ModelCheckpointLoadOptions, reshard_tensor
from torch import Tensor
from typing_extensions import override

from codec_s2st.checkpoints.manifest import Manifest, ManifestError
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.file_hashes import sha256_of_file
from codec_s2st.tensor_files import read_header


@final
class RunCheckpointLoader(ModelCheckpointLoader):
    """Joins the parts of a model tensor by tensor, after they were checked against the manifest."""

    def __init__(self, gang_context: GangContext) -> None:
        self._gang_context = gang_context

    @override
    def lazy_load(
        self, path: Path, shard_dims: Mapping[str, int], options: ModelCheckpointLoadOptions | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """
        :param path: The folder ``model`` of a checkpoint.

        :raises UserInputError: the checkpoint has no manifest, or one that names other files.
        :raises CodecS2STError: a file does not hold what was written.
        """
        options = options or ModelCheckpointLoadOptions()

        gangs = options.gangs or self._gang_context.get_current_gangs()

        parts = [[read_header(file) for file in files] for files in find_parts(path)]

        source_sizes, target_sizes = (len(parts), len(parts[0])), (gangs.tp.size, gangs.sdp.size)

        # Names are the model's own: there is nothing to convert.
        for name in parts[0][0]:
            splits = [[part[name].read() for part in row if name in part] for row in parts]

            yield (
                name,
                reshard_tensor(name, splits, source_sizes, target_sizes, (gangs.tp.rank, gangs.sdp.rank), shard_dims),
            )

    @override
    def supports_path(self, path: Path) -> bool:
        return path.joinpath("tp_00").is_dir()


def find_parts(path: Path) -> list[list[Path]]:
    """Returns the files of a model, by tensor parallel and by sharded data parallel rank, after checking each.

    :param path: The folder ``model`` of a checkpoint.
    """
    checkpoint = path.parent

    try:
        files = Manifest.read(checkpoint).of(["model"]).files
    except ManifestError as ex:
        raise UserInputError(f"{path} cannot be checked: {ex}", hint="choose another checkpoint") from ex

    for name, record in files.items():
        file = checkpoint / name

        if not file.is_file() or sha256_of_file(file) != record.sha256:
            raise CodecS2STError(
                f"{file} does not hold what was written",
                hint=f"rename {checkpoint}, and the checkpoint before it is the last one",
            )

    output: list[list[Path]] = []

    while row := [name for name in sorted(files) if name.startswith(f"model/tp_{len(output):02d}/")]:
        output.append([checkpoint / name for name in row])

    if not output or len({len(row) for row in output}) > 1 or sum(map(len, output)) < len(files):
        raise UserInputError(f"the parts of {path} do not make a model", hint="choose another checkpoint: --step N")

    return output
