"""Every example runs, writes its picture and shows what its page says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import mlpeak
from mlpeak import nn

pytest.importorskip("matplotlib")


ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))

# what the pages claim, as (lowest, highest)
CLAIMS = {
    "linear_regression": {"slope error": (0, 1e-3), "intercept error": (0, 1e-3)},
    "why_nonlinear": {
        "linear": (0.5, 0.8),
        "tanh": (0.98, 1),
        "collapsed layer differs by": (0, 1e-5),
    },
    "losses": {
        "slope MSE": (-1, 1),
        "slope L1": (1.8, 2.2),
        "slope Huber": (1.5, 2.2),
        "steps cross-entropy": (1, 50),
        "steps MSE": (100, 300),
    },
    "how_sure": {"coverage of 95 %": (0.93, 0.97), "largest gap": (0, 0.04)},
    "mnist_mlp": {"accuracy": (0.95, 1)},
}


def load(name: str):
    spec = importlib.util.spec_from_file_location(
        f"example_{name}", ROOT / "examples" / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_shows_what_its_page_says(name, tmp_path, request, monkeypatch):
    if name == "mnist_mlp":
        monkeypatch.setenv("MLPEAK_MNIST", str(request.getfixturevalue("mnist_10k")))
    results = load(name).main(tmp_path)
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for claim, (low, high) in CLAIMS[name].items():
        assert low <= results[claim] <= high, claim


def test_mnist_example_says_which_folder_lacks_the_images(tmp_path, monkeypatch):
    monkeypatch.setenv("MLPEAK_MNIST", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match=r"none has no t10k-images.*; name a folder"):
        load("mnist_mlp").main(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").touch()
    with pytest.raises(SystemExit, match="has no train-labels"):
        load("mnist_mlp").main(tmp_path, tmp_path)


def test_more_linear_layers_collapse_into_one_too():
    example = load("why_nonlinear")
    mlpeak.manual_seed(0)
    layers = [nn.Linear(2, 8), nn.Identity(), nn.Linear(8, 5), nn.Linear(5, 2)]
    inputs = mlpeak.randn(20, 2)
    weight, bias = example.collapsed(nn.Sequential(*layers))
    assert weight.shape == (2, 2)
    expected = nn.Sequential(*layers)(inputs).detach().numpy()
    np.testing.assert_allclose((inputs @ weight.T + bias).detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_has_a_page_with_its_picture(name):
    page = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    assert f"images/{name}.png" in page
    assert f"examples/{name}.py" in page
    picture = ROOT / "docs" / "images" / f"{name}.png"
    # a page should load at once
    assert picture.stat().st_size < 150_000
