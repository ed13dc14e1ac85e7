from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from codec_s2st.checkpoints.state_files import read_state, record_of, write_state
from codec_s2st.checkpoints.states import StateError, flatten_state, restore_state
from codec_s2st.errors import CodecS2STError, UserInputError


def round_trip(state: dict[Any, object], folder: Path) -> dict[str, Any]:
    record = write_state(folder / "a" / "state.safetensors", flatten_state(state))

    assert record == record_of(folder / "a" / "state.safetensors")

    return read_state(folder / "a" / "state.safetensors")


class TestRoundTrip:
    def test_values_keep_their_types(self, tmp_path: Path) -> None:
        state = {
            "none": None,
            "bool": True,
            "int": -(2**70),
            "float": 0.1 + 0.2,
            "inf": -math.inf,
            "text": "a\n\u00e9",
            "tuple": (1, (2.0, "3"), []),
            "list": [1, {"a": ()}],
            5: {7: {}},
            1.5: True,
            True: None,
        }

        assert repr(round_trip(state, tmp_path)) == repr(state)

    def test_nan_stays_nan(self, tmp_path: Path) -> None:
        assert math.isnan(round_trip({"a": math.nan}, tmp_path)["a"])

    def test_numbers_of_others_become_python_numbers(self, tmp_path: Path) -> None:
        restored = round_trip({"a": np.int64(3), "b": np.float64(0.1), "c": np.float32(0.5)}, tmp_path)

        assert repr(restored) == "{'a': 3, 'b': 0.1, 'c': 0.5}"

    @pytest.mark.parametrize(
        "dtype",
        [
            *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
            *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
        ],
    )
    @pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (3, 5), (2, 3, 4)])
    def test_tensors_keep_their_bits(self, dtype: torch.dtype, shape: tuple[int, ...], tmp_path: Path) -> None:
        tensor = (torch.randn(shape) * 100).to(dtype)

        restored = round_trip({"a": tensor, "b": {"c": [tensor.clone()]}}, tmp_path)

        for other in (restored["a"], restored["b"]["c"][0]):
            assert other.dtype == dtype and other.shape == tensor.shape and torch.equal(other, tensor)

    def test_views_and_parameters(self, tmp_path: Path) -> None:
        tensor = torch.randn(4, 6)

        restored = round_trip({"t": tensor.T, "s": tensor[1:, ::2], "p": torch.nn.Parameter(tensor)}, tmp_path)

        assert torch.equal(restored["t"], tensor.T) and torch.equal(restored["s"], tensor[1:, ::2])

        assert torch.equal(restored["p"], tensor) and not restored["p"].requires_grad

    def test_others_read_the_tensors_too(self, tmp_path: Path) -> None:
        model = torch.nn.Linear(3, 2)

        write_state(tmp_path / "model.safetensors", flatten_state(model.state_dict()))

        tensors = load_file(tmp_path / "model.safetensors")

        assert tensors.keys() == {"weight", "bias"} and torch.equal(tensors["weight"], model.weight)

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adafactor", "RMSprop", "NAdam", "Adagrad"])
    def test_optimizers_go_on_with_it(self, name: str, tmp_path: Path) -> None:
        def make() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
            torch.manual_seed(0)

            model = torch.nn.Linear(5, 4)

            groups = [{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.2}]

            return model, getattr(torch.optim, name)(groups)

        def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
            model(torch.ones(2, 5)).square().sum().backward()

            optimizer.step()

            optimizer.zero_grad()

        one, one_optimizer = make()

        step(one, one_optimizer)

        two, two_optimizer = make()

        two.load_state_dict(one.state_dict())

        two_optimizer.load_state_dict(round_trip(one_optimizer.state_dict(), tmp_path))

        for model, optimizer in ((one, one_optimizer), (two, two_optimizer)):
            step(model, optimizer)

        assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)


class TestRefused:
    @pytest.mark.parametrize("value", [print, object(), {1, 2}, b"bytes", Path("/"), 1j, torch.float32])
    def test_what_is_not_stored(self, value: object) -> None:
        with pytest.raises(StateError, match="`a/b/0` of a state is of type "):
            flatten_state({"a": {"b": [value]}})

    def test_tensor_of_another_kind(self, tmp_path: Path) -> None:
        with pytest.raises(StateError, match=r"`a` is of the type torch\.complex64"):
            write_state(tmp_path / "x", flatten_state({"a": torch.zeros(2, dtype=torch.complex64)}))

    def test_two_tensors_of_one_name(self) -> None:
        with pytest.raises(StateError, match="two tensors of a state are called `a/1`"):
            flatten_state({"a": {1: torch.zeros(1), "1": torch.zeros(1)}})

    @pytest.mark.parametrize(
        "tree",
        [
            {"eval": "print()"},
            {"tensor": "missing"},
            {"tensor": ["a"]},
            {"dict": 3},
            {"dict": [3]},
            {"dict": [[1, 2, 3]]},
            {"dict": [[{"list": []}, 1]]},
            {"list": {"a": 1}},
            {"dict": [], "list": []},
            [1],
            {"tensor": "a", "placements": [0], "shape": [2], "stride": [1]},
        ],
    )
    def test_trees_that_are_none(self, tree: object) -> None:
        tensors = {"a": torch.zeros(2)}

        with pytest.raises(StateError):
            restore_state(tree, lambda name: tensors[name])

    def test_tree_that_is_deep(self) -> None:
        tree: object = 1

        for _ in range(10_000):
            tree = {"list": [tree]}

        with pytest.raises(StateError):
            restore_state(tree, lambda name: torch.zeros(1))

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\x80\x02}q\x00.", b"\xff" * 100])
    def test_files_that_are_none(self, content: bytes, tmp_path: Path) -> None:
        file = tmp_path / "a.safetensors"

        file.write_bytes(content)

        with pytest.raises(UserInputError, match="is not a safetensors file"):
            read_state(file)

    @pytest.mark.parametrize("metadata", [None, {}, {"state": "{"}, {"state": "[1]"}, {"state": "3"}, {"other": ""}])
    def test_safetensors_without_a_state(self, metadata: dict[str, str] | None, tmp_path: Path) -> None:
        header = json.dumps({} if metadata is None else {"__metadata__": metadata}).encode()

        file = tmp_path / "a.safetensors"

        file.write_bytes(len(header).to_bytes(8, "little") + header)

        with pytest.raises(StateError):
            read_state(file)


class TestWriting:
    def test_full_disk_names_path_and_bytes(self, tmp_path: Path) -> None:
        file = tmp_path / "state.safetensors"

        file.symlink_to("/dev/full")

        state: dict[str, Tensor] = {"a": torch.zeros(1000)}

        with pytest.raises(CodecS2STError) as info:
            write_state(file, flatten_state(state))

        words = f"{file} cannot be written: No space left on device (after 0 of 4,"

        assert str(info.value).startswith(words) and info.value.exit_code == 1

    def test_file_is_synced_to_the_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced = []

        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))

        write_state(tmp_path / "x", flatten_state({}))

        assert synced == [str(tmp_path / "x")]
