"""PyTorch scripts run here: signatures, and a training with only its imports changed."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

import numpy as np
import pytest

from mlpeak import nn, optim
from mlpeak.nn import functional as F

torch = pytest.importorskip("torch")


SIGNATURES = [
    *[
        (nn, torch.nn, name)
        for name in nn.__all__
        if inspect.isclass(getattr(nn, name)) and name not in ("Module", "Parameter")
    ],
    *[(F, torch.nn.functional, name) for name in F.__all__],
    *[(nn.init, torch.nn.init, name) for name in nn.init.__all__],
    *[(nn.utils, torch.nn.utils, name) for name in nn.utils.__all__],
    *[(optim, torch.optim, name) for name in optim.__all__ if name != "lr_scheduler"],
    *[(optim.lr_scheduler, torch.optim.lr_scheduler, name) for name in optim.lr_scheduler.__all__],
    *[
        (nn.Module, torch.nn.Module, name)
        for name in vars(nn.Module)
        if not name.startswith("_") and name not in ("to", "state_dict")
    ],
]


@pytest.mark.parametrize(("ours", "theirs", "name"), SIGNATURES)
def test_signature_is_torchs(ours: Any, theirs: Any, name: str) -> None:
    try:
        expected = inspect.signature(getattr(theirs, name)).parameters.values()
    except ValueError:
        pytest.skip("torch's function is builtin and has no signature")
    mine = inspect.signature(getattr(ours, name)).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    # the extension that torch does not have
    mine = [p for p in mine if p.kind in named and p.name != "sample_weight"]
    expected = [p for p in expected if p.kind in named]
    assert [(p.name, p.kind, p.default) for p in mine] == [
        (p.name, p.kind, p.default) for p in expected
    ]


SCRIPT = """
    import {package} as torch
    from {package} import nn, optim
    import {package}.nn.functional as F

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 16), nn.ReLU(inplace=True), nn.Linear(16, 8))
            self.norm = nn.LayerNorm(8)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            x = x.flatten(1)
            return self.head(F.gelu(self.norm(self.body(x))))

    torch.manual_seed(0)
    model = Net().double()
    for k, p in enumerate(model.parameters()):
        with torch.no_grad():
            values = numpy.cos(k + numpy.arange(p.numel()))
            p.copy_(torch.from_numpy(values).reshape(p.shape))
    x = torch.from_numpy(numpy.sin(numpy.arange(32.0 * 4)).reshape(32, 2, 2))
    y = torch.from_numpy(numpy.arange(32) % 3)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    history = []
    for epoch in range(10):
        model.train()
        for i in range(0, 32, 8):
            optimizer.zero_grad()
            logits = model(x[i : i + 8])
            loss = criterion(logits, y[i : i + 8])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            logits = model(x)
            correct = (logits.argmax(dim=1) == y).float().mean().item()
            history.append((F.cross_entropy(logits, y).item(), correct))
"""


def test_a_torch_script_runs_with_only_its_imports_changed() -> None:
    histories = []
    for package in ("mlpeak", "torch"):
        names: dict[str, Any] = {"numpy": np}
        exec(textwrap.dedent(SCRIPT.format(package=package)), names)
        histories.append(np.array(names["history"]))
    # 40 Adam steps on gradients that agree to some 1e-15 of their size
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-9)
    assert histories[0][-1, 0] < histories[0][0, 0]
