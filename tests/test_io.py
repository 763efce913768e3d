"""Models on disk: what is saved is loaded, and what is damaged is refused."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

pytest.importorskip("safetensors")

import mlpeak
from mlpeak import io
from mlpeak.mlp import ACTIVATIONS, Architecture
from mlpeak.sources.arrays import ArrayPreprocessing
from mlpeak.tables import ClassTarget, ValueTarget
from mlpeak.training import forward

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def saved_model(**architecture) -> io.SavedModel:
    mlpeak.manual_seed(0)
    shape = Architecture(3, (5, 4), 2, **architecture)
    return io.SavedModel(
        shape.build().eval(),
        shape,
        ArrayPreprocessing(3, (0.0, 1.0, 2.0), (1.0, 2.0, 3.0)),
        ClassTarget("species", ("märz", 3, True)),
        {"loss": 0.5, "accuracy": 0.75},
        {"epochs": 7},
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_loaded_model_predicts_the_same_bits(tmp_path, activation):
    saved = saved_model(activation=activation, dropout=0.5)
    io.save(tmp_path / "m", saved)
    loaded = io.load(tmp_path / "m")
    np.testing.assert_array_equal(forward(loaded.model, X), forward(saved.model, X))
    for field in ("architecture", "preprocessing", "target", "metrics", "training", "version"):
        assert getattr(loaded, field) == getattr(saved, field)


def test_weights_have_the_names_torch_gives_them(tmp_path):
    from safetensors.numpy import load_file

    weights, description = io.save(tmp_path / "m", saved_model())
    arrays = load_file(weights)
    assert {name: array.shape for name, array in arrays.items()} == {
        "0.weight": (5, 3),
        "0.bias": (5,),
        "2.weight": (4, 5),
        "2.bias": (4,),
        "4.weight": (2, 4),
        "4.bias": (2,),
    }
    assert json.loads(description.read_text("utf-8"))["mlpeak"] == mlpeak.__version__


@pytest.mark.parametrize("name", ["m", "m.safetensors", "m.json", "new/folder/m"])
def test_either_file_or_the_common_name_is_a_path(tmp_path, name):
    weights, description = io.save(tmp_path / name, saved_model())
    assert (weights.name, description.name) == ("m.safetensors", "m.json")
    assert io.load(tmp_path / name).metrics["accuracy"] == 0.75


def test_a_folder_holds_model(tmp_path):
    io.save(tmp_path, saved_model())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    io.load(tmp_path)


def test_a_name_with_a_dot_keeps_it(tmp_path):
    weights, _ = io.save(tmp_path / "v1.5", saved_model())
    assert weights.name == "v1.5.safetensors"
    io.load(tmp_path / "v1.5")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        io.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_are_as_readable_as_others(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    io.write_atomically(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_symbolic_link_stays_one_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name, target in (("old", "elsewhere/file"), ("dangling", "elsewhere/new")):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "elsewhere" / "file").write_bytes(b"before")
    for name, target in (("old", "file"), ("dangling", "new")):
        io.write_atomically(tmp_path / name, b"after")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "elsewhere" / target).read_bytes() == b"after"


def test_links_in_a_circle_are_an_error_of_the_system(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="links"):
        io.write_atomically(tmp_path / "a", b"")
    assert (tmp_path / "a").is_symlink()


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        io.write_atomically(path, b"bytes")
        assert os.read(reader, 10) == b"bytes"
    finally:
        os.close(reader)
    assert path.is_fifo()


def test_a_file_written_again_keeps_its_permissions(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o600)
    io.write_atomically(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)


def damage_json(key, value):
    def damage(weights, description):
        fields = json.loads(description.read_text("utf-8"))
        fields[key] = value
        description.write_text(json.dumps(fields), "utf-8")

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda weights, _: weights.write_bytes(weights.read_bytes()[:-1]),
            "do not belong together",
        ),
        (lambda _, description: description.write_text("{"), "m.json is not JSON"),
        (lambda _, description: description.write_text("[]"), "does not describe a model"),
        (damage_json("format", 99), "format 99, written by mlpeak .* reads up to format"),
        (damage_json("architecture", {"in_features": 3}), "does not describe a model"),
        (damage_json("target", {}), "does not describe a model"),
    ],
)
def test_damaged_models_are_refused(tmp_path, damage, words):
    damage(*io.save(tmp_path / "m", saved_model()))
    with pytest.raises(ValueError, match=words):
        io.load(tmp_path / "m")


def test_weights_of_another_architecture_are_refused(tmp_path):
    damage_json("architecture", Architecture(3, (6, 4), 2).to_json())(
        *io.save(tmp_path / "m", saved_model())
    )
    with pytest.raises(ValueError, match=r"m\.json does not describe a model"):
        io.load(tmp_path / "m")


@pytest.mark.parametrize("lost", ["m.json", "m.safetensors"])
def test_a_lost_file_is_named(tmp_path, lost):
    io.save(tmp_path / "m", saved_model())
    (tmp_path / lost).unlink()
    with pytest.raises(FileNotFoundError, match=f"{lost} is missing"):
        io.load(tmp_path / "m")


def test_metrics_that_json_cannot_hold_are_refused_before_anything_is_written(tmp_path):
    saved = saved_model()
    saved.metrics["loss"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        io.save(tmp_path / "m", saved)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"activation": "step"}, "activation is 'step'; expected one of relu"),
        ({"hidden": (3, 0)}, "expected positive"),
        ({"dropout": 1.0}, "expected 0 <= dropout < 1"),
    ],
)
def test_architectures_out_of_range(fields, words):
    with pytest.raises(ValueError, match=words):
        Architecture(**{"in_features": 3, "hidden": (4,), "out_features": 1, **fields})


def test_architecture_counts_its_parameters():
    shape = Architecture(784, (256,), 10)
    assert shape.parameters == 784 * 256 + 256 + 256 * 10 + 10
    assert sum(p.numel() for p in shape.build().parameters()) == shape.parameters
    assert len(Architecture(3, (), 1).build()) == 1


def test_value_target_is_kept_exactly(tmp_path):
    saved = saved_model()
    target = ValueTarget("price", 1 / 3, 1e-7)
    fields = {**saved.__dict__, "target": target}
    io.save(tmp_path, io.SavedModel(**fields))
    assert io.load(tmp_path).target == target
