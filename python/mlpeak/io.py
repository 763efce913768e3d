"""Models on disk: the weights as safetensors, everything else as JSON beside them.

``runs/a.safetensors`` holds the parameters under torch's names, readable by any safetensors
library; ``runs/a.json`` holds the architecture, the preprocessing, the target with its classes, the
metrics and the mlpeak version. Each file is written to a temporary name, flushed to the disk and
renamed, so a reader sees a whole file or none; the JSON, written last, carries the weights'
SHA-256, so a pair that does not belong together is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mlpeak
from mlpeak import nn
from mlpeak._extras import missing_extra
from mlpeak._files import replacing
from mlpeak.mlp import Architecture
from mlpeak.sources import Preprocessing, preprocessing_from_json
from mlpeak.tables import Target, target_from_json

FORMAT = 1
DEFAULT_NAME = "model"
WEIGHTS_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class SavedModel:
    """A trained network with all that is needed to predict from raw rows.

    Attributes
    ----------
    model : nn.Sequential
        In evaluation mode.
    architecture : Architecture
    preprocessing : TablePreprocessing or ArrayPreprocessing
    target : ClassTarget or ValueTarget
    metrics : dict of str to float
        Of the held-out rows.
    training : dict
        The settings it was trained with.
    version : str
        The version of mlpeak that saved it.
    """

    model: nn.Sequential
    architecture: Architecture
    preprocessing: Preprocessing
    target: Target
    metrics: dict[str, float] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    version: str = mlpeak.__version__


def check_safetensors() -> None:
    """Raise the ImportError that `save` and `load` would, if safetensors is missing."""
    try:
        import safetensors.numpy  # noqa: F401
    except ImportError as error:
        raise missing_extra("safetensors", "interop", "a model on disk") from error


def model_paths(path: str | Path) -> tuple[Path, Path]:
    """Return the weights' and the description's path.

    `path` is either of the two, both without suffix, or a folder, which holds ``model.*``.
    """
    path = Path(path)
    if path.suffix in (WEIGHTS_SUFFIX, ".json"):
        path = path.with_suffix("")
    elif path.is_dir():
        path = path / DEFAULT_NAME
    return path.with_name(path.name + WEIGHTS_SUFFIX), path.with_name(path.name + ".json")


def save(path: str | Path, saved: SavedModel) -> tuple[Path, Path]:
    """Write a model; folders are made as needed, and a model of that name is replaced.

    Parameters
    ----------
    path : str or Path
        See `model_paths`.
    saved : SavedModel

    Returns
    -------
    weights, description : Path

    Raises
    ------
    OSError
        If the files cannot be written.
    ImportError
        If safetensors is missing.
    """
    check_safetensors()
    from safetensors.numpy import save as to_bytes

    weights_path, description_path = model_paths(path)
    state = {name: _array(value) for name, value in saved.model.state_dict().items()}
    weights = to_bytes(state, metadata={"format": "mlpeak"})
    description = {
        "format": FORMAT,
        "mlpeak": saved.version,
        "architecture": saved.architecture.to_json(),
        "preprocessing": saved.preprocessing.to_json(),
        "target": saved.target.to_json(),
        "metrics": saved.metrics,
        "training": saved.training,
        "weights": {"file": weights_path.name, "sha256": hashlib.sha256(weights).hexdigest()},
    }
    text = json.dumps(description, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    weights_path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(weights_path, weights)
    write_atomically(description_path, text.encode())
    return weights_path, description_path


def load(path: str | Path) -> SavedModel:
    """Read a model that `save` wrote.

    Raises
    ------
    FileNotFoundError
        If one of the two files is missing.
    ValueError
        If a file is damaged, from a newer format, or the two do not belong together.
    ImportError
        If safetensors is missing.
    """
    check_safetensors()
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    weights_path, description_path = model_paths(path)
    for part in (description_path, weights_path):
        if not part.is_file():
            raise FileNotFoundError(f"there is no model at {path}: {part} is missing")
    fields = _read_description(description_path)
    weights = weights_path.read_bytes()
    try:
        if hashlib.sha256(weights).hexdigest() != fields["weights"]["sha256"]:
            raise ValueError(
                f"{weights_path} and {description_path.name} do not belong together: "
                "the weights' SHA-256 is not the one in the JSON"
            )
        architecture = Architecture.from_json(fields["architecture"])
        preprocessing = preprocessing_from_json(fields["preprocessing"])
        target = target_from_json(fields["target"])
        model = architecture.build()
        state = {name: mlpeak.tensor(array) for name, array in from_bytes(weights).items()}
        model.load_state_dict(state)
        model.eval()
        return SavedModel(
            model,
            architecture,
            preprocessing,
            target,
            fields["metrics"],
            fields["training"],
            fields["mlpeak"],
        )
    except SafetensorError as error:
        raise ValueError(f"{weights_path} is no safetensors file: {error}") from error
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{description_path} does not describe a model: {error!r}") from error


def _read_description(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("format"), int):
        raise ValueError(f"{path} does not describe a model of mlpeak")
    if fields["format"] > FORMAT:
        raise ValueError(
            f"{path} has format {fields['format']}, written by mlpeak {fields.get('mlpeak')}; "
            f"this is mlpeak {mlpeak.__version__}, which reads up to format {FORMAT}"
        )
    return fields


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a part."""
    with replacing(path) as file:
        file.write(data)


def _array(value: Any) -> NDArray[Any]:
    return np.ascontiguousarray(value.detach().numpy())
