from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from codec_s2st.checkpoints.folder import CheckpointFolder
from codec_s2st.checkpoints.identity import RunIdentity
from codec_s2st.checkpoints.loader import find_parts
from codec_s2st.checkpoints.manifest import Manifest, ManifestError
from codec_s2st.checkpoints.state_files import write_state
from codec_s2st.checkpoints.states import flatten_state
from codec_s2st.errors import CodecS2STError, UserInputError

WHOLE = ("model/tp_00/sdp_00", "optimizer/tp_00/sdp_00", "trainer/rank_00", "data_reader/dp_00")


def commit(folder: CheckpointFolder, step: int, *, names: tuple[str, ...] = WHOLE, value: float = 0.0) -> Path:
    folder.begin(step)

    files = {
        f"{name}.safetensors": write_state(
            folder.temporary(step) / f"{name}.safetensors", flatten_state({"a": torch.full((3,), value)})
        )
        for name in names
    }

    folder.commit(Manifest(step=step, files=files, run=RunIdentity(config={"a": 1}), versions={"torch": "2"}))

    return folder.of(step)


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "checkpoints")


class TestManifest:
    def test_is_read_as_it_was_written(self, folder: CheckpointFolder) -> None:
        manifest = Manifest.read(commit(folder, 7))

        assert manifest.step == 7 and manifest.is_whole and len(manifest.files) == 4

        assert manifest.run == RunIdentity(config={"a": 1}) and manifest.versions == {"torch": "2"}

        assert not manifest.problems(folder.of(7), manifest.files)

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "",
            lambda text: "[]",
            lambda text: text[:-10],
            lambda text: text.replace('\\"step\\": 7', '\\"step\\": 8'),
            lambda text: json.dumps({"sha256": 1, "body": None}),
        ],
    )
    def test_that_was_changed_is_none(self, folder: CheckpointFolder, change: Callable[[str], str]) -> None:
        file = commit(folder, 7) / "manifest.json"

        text = file.read_text()

        assert change(text) != text

        file.write_text(change(text))

        with pytest.raises(ManifestError, match=r"manifest\.json"):
            Manifest.read(folder.of(7))

    @pytest.mark.parametrize(
        ("key", "value", "words"),
        [
            ("files", {"../x": {"size": 1, "sha256": ""}}, r"`\.\./x` is no file of a checkpoint"),
            ("files", {"model/../../x": {"size": 1, "sha256": ""}}, "is no file of a checkpoint"),
            ("files", {"/etc/x": {"size": 1, "sha256": ""}}, "`/etc/x` is no file of a checkpoint"),
            ("files", {"x": {"size": 1, "sha256": ""}}, "`x` is no file of a checkpoint"),
            ("files", {"model/x": {"size": "many", "sha256": ""}}, "'many'"),
            ("files", {}, "it names no files"),
            ("run", {"config": 3}, "the `config` of its run is no mapping"),
            ("run", {"color": {}}, "color"),
            ("format", 2, "has the format 2"),
        ],
    )
    def test_that_was_forged_is_none(self, folder: CheckpointFolder, key: str, value: object, words: str) -> None:
        """Whoever can change it can change its hash."""
        file = commit(folder, 7) / "manifest.json"

        body = json.dumps(json.loads(json.loads(file.read_text())["body"]) | {key: value})

        file.write_text(json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "body": body}))

        with pytest.raises(ManifestError, match=words):
            Manifest.read(folder.of(7))

    def test_tells_what_is_wrong_with_files(self, folder: CheckpointFolder) -> None:
        path = commit(folder, 7)

        manifest = Manifest.read(path)

        model, optimizer, *_ = manifest.files

        data = bytearray(path.joinpath(model).read_bytes())

        data[-1] ^= 1

        path.joinpath(model).write_bytes(data)

        # What this rank does not read, it does not hash.
        assert not manifest.problems(path, [optimizer])

        assert manifest.problems(path, [model, optimizer]) == [
            f"{model} does not hold what was written (another SHA-256)"
        ]

        path.joinpath(optimizer).write_bytes(b"")

        assert manifest.problems(path, [])[0].startswith(f"{optimizer} has 0 bytes instead of ")

        path.joinpath(optimizer).unlink()

        assert manifest.problems(path, []) == [f"{optimizer} cannot be read: No such file or directory"]

    def test_file_of_another_rank_is_not_part_of_it(self, folder: CheckpointFolder) -> None:
        manifest = Manifest.read(commit(folder, 7))

        assert manifest.problems(folder.of(7), ["trainer/rank_01.safetensors"]) == [
            "trainer/rank_01.safetensors is not part of it"
        ]


class TestFolder:
    def test_step_is_there_when_it_is_whole(self, folder: CheckpointFolder) -> None:
        assert folder.steps() == []

        commit(folder, 10)
        commit(folder, 2, names=WHOLE[:1])

        folder.begin(30)

        assert folder.steps() == [2, 10] and folder.steps(whole=True) == [10]

        folder.discard(30)

        assert sorted(path.name for path in folder.path.iterdir()) == ["step_10", "step_2"]

    def test_same_step_is_replaced(self, folder: CheckpointFolder) -> None:
        before = Manifest.read(commit(folder, 10))

        after = Manifest.read(commit(folder, 10, value=1.0))

        assert before.files != after.files and [path.name for path in folder.path.iterdir()] == ["step_10"]

    def test_process_that_was_killed_while_it_replaced_a_step_has_lost_neither(self, folder: CheckpointFolder) -> None:
        commit(folder, 10)

        folder.of(10).rename(folder.path / "step_10.old")

        assert folder.clean() == [] and folder.steps() == [10]

        commit(folder, 20)

        folder.of(10).rename(folder.path / "step_20.old")

        assert folder.clean() == ["step_20.old"] and folder.steps() == [20]

    def test_leftovers_are_removed(self, folder: CheckpointFolder) -> None:
        commit(folder, 10)

        folder.begin(20)

        commit(folder, 30).rename(folder.path / "step_30.deleted.tmp")

        folder.path.joinpath("step_40.tmp").write_text("no folder")

        assert folder.clean() == ["step_20.tmp", "step_30.deleted.tmp", "step_40.tmp"]

        assert [path.name for path in folder.path.iterdir()] == ["step_10"]

    def test_deleted_step_is_gone(self, folder: CheckpointFolder) -> None:
        commit(folder, 10)

        folder.delete(10)
        folder.delete(11)

        assert not list(folder.path.iterdir())

    def test_model_alone_is_kept(self, folder: CheckpointFolder) -> None:
        path = commit(folder, 10)

        folder.keep_model_of(10)

        manifest = Manifest.read(path)

        assert not manifest.is_whole and not manifest.problems(path, manifest.files)

        assert sorted(item.name for item in path.iterdir()) == ["manifest.json", "model"]

        assert find_parts(path / "model") == [[path / "model" / "tp_00" / "sdp_00.safetensors"]]

    def test_checkpoints_of_fairseq2_are_told(self, folder: CheckpointFolder) -> None:
        folder.refuse_foreign()

        folder.path.joinpath("step_5", "trainer").mkdir(parents=True)

        with pytest.raises(UserInputError, match=r"step_5 has no manifest\.json"):
            folder.refuse_foreign()

        commit(folder, 10)

        folder.refuse_foreign()

        assert folder.steps() == [10]


class TestParts:
    def test_are_ordered_by_their_ranks(self, folder: CheckpointFolder) -> None:
        names = tuple(f"model/tp_{tp:02d}/sdp_{sdp:02d}" for tp in range(2) for sdp in range(3))

        path = commit(folder, 1, names=names)

        assert find_parts(path / "model") == [
            [path / "model" / f"tp_{tp:02d}" / f"sdp_{sdp:02d}.safetensors" for sdp in range(3)] for tp in range(2)
        ]

    @pytest.mark.parametrize(
        "names",
        [("trainer/rank_00",), ("model/tp_01/sdp_00",), ("model/tp_00/sdp_00", "model/tp_01/sdp_00", "model/tp_01/b")],
    )
    def test_that_do_not_make_a_model_are_refused(self, folder: CheckpointFolder, names: tuple[str, ...]) -> None:
        path = commit(folder, 1, names=names)

        with pytest.raises(UserInputError, match="do not make a model"):
            find_parts(path / "model")

    def test_that_were_changed_are_refused(self, folder: CheckpointFolder) -> None:
        path = commit(folder, 1)

        path.joinpath("model", "tp_00", "sdp_00.safetensors").write_bytes(b"")

        with pytest.raises(CodecS2STError, match="does not hold what was written"):
            find_parts(path / "model")

        path.joinpath("manifest.json").unlink()

        with pytest.raises(UserInputError, match=r"manifest\.json is missing"):
            find_parts(path / "model")
