"""Optimizers against PyTorch over 20 steps, their groups, state, texts and refusals."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlpeak import nn, optim
from mlpeak._from_data import from_numpy, tensor

STEPS = 20

# name of the class and its options
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.1}),
    "SGD-decay": ("SGD", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    "SGD-momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "SGD-dampening": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    "SGD-nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "SGD-nesterov-max": (
        "SGD",
        {"lr": 0.01, "momentum": 0.9, "nesterov": True, "maximize": True},
    ),
    "Adam": ("Adam", {"lr": 0.01}),
    "Adam-options": (
        "Adam",
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1, "maximize": True},
    ),
    "Adam-amsgrad": ("Adam", {"lr": 0.02, "betas": (0.5, 0.6), "amsgrad": True}),
    "Adam-decoupled": (
        "Adam",
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "AdamW": ("AdamW", {"lr": 0.01}),
    "AdamW-options": (
        "AdamW",
        {"lr": 0.02, "betas": (0.8, 0.6), "weight_decay": 0.2, "amsgrad": True, "maximize": True},
    ),
    "RMSprop": ("RMSprop", {"lr": 0.01}),
    "RMSprop-options": (
        "RMSprop",
        {"lr": 0.01, "alpha": 0.8, "eps": 1e-6, "weight_decay": 0.1, "maximize": True},
    ),
    "RMSprop-momentum": ("RMSprop", {"lr": 0.01, "momentum": 0.9}),
    "RMSprop-centered": ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True}),
    "Adagrad": ("Adagrad", {"lr": 0.1}),
    "Adagrad-options": (
        "Adagrad",
        {
            "lr": 0.1,
            "lr_decay": 0.1,
            "weight_decay": 0.1,
            "initial_accumulator_value": 0.3,
            "eps": 1e-8,
            "maximize": True,
        },
    ),
}


class Run:
    """A small network of one of the libraries on data and weights that both share."""

    def __init__(self, library: str, case: str, **options: Any) -> None:
        rng = np.random.default_rng(7)
        weights = [rng.normal(size=s) for s in ((6, 4), (6,), (2, 6), (2,))]
        batches = [(rng.normal(size=(9, 4)), rng.normal(size=(9, 2))) for _ in range(STEPS)]
        name, defaults = CASES[case]
        if library == "torch":
            import torch

            module, optimizers, wrap = torch.nn, torch.optim, torch.from_numpy
        else:
            module, optimizers, wrap = nn, optim, from_numpy
        self.model: Any = module.Sequential(
            module.Linear(4, 6), module.Tanh(), module.Linear(6, 2)
        ).double()
        for parameter, value in zip(self.model.parameters(), weights, strict=True):
            parameter.detach().numpy()[...] = value
        self.loss = module.MSELoss()
        self.batches = [(wrap(x), wrap(y)) for x, y in batches]
        first, *rest = list(self.model.parameters())
        groups = [{"params": [first]}, {"params": rest, "lr": 0.5 * defaults["lr"]}]
        self.optimizer = getattr(optimizers, name)(groups, **{**defaults, **options})

    def steps(self, start: int = 0, stop: int = STEPS) -> list[np.ndarray]:
        for x, y in self.batches[start:stop]:
            self.optimizer.zero_grad()
            self.loss(self.model(x), y).backward()
            self.optimizer.step()
        return [p.detach().numpy().copy() for p in self.model.parameters()]


def assert_same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        # each step adds a few ulp, which the next steps' gradients pass on
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_are_torchs(case: str) -> None:
    pytest.importorskip("torch")
    before = Run("mlpeak", case).steps(0, 0)
    ours, theirs = Run("mlpeak", case).steps(), Run("torch", case).steps()
    assert_same(ours, theirs)
    assert all((a != b).any() for a, b in zip(ours, before, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_state_has_torchs_layout(case: str) -> None:
    pytest.importorskip("torch")
    ours, theirs = Run("mlpeak", case), Run("torch", case)
    ours.steps()
    theirs.steps()
    mine, expected = ours.optimizer.state_dict(), theirs.optimizer.state_dict()
    assert mine["param_groups"] == expected["param_groups"]
    assert mine["state"].keys() == expected["state"].keys()
    for number, values in expected["state"].items():
        assert mine["state"][number].keys() == values.keys()
        for name, value in values.items():
            got = mine["state"][number][name]
            got = np.asarray(got) if name == "step" else got.numpy()
            assert_same([got], [value.numpy()])
    assert repr(ours.optimizer) == repr(theirs.optimizer)


@pytest.mark.parametrize("case", CASES)
def test_a_saved_state_continues(case: str) -> None:
    whole = Run("mlpeak", case).steps()
    first = Run("mlpeak", case)
    first.steps(0, 8)
    second = Run("mlpeak", case)
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(pickle.loads(pickle.dumps(first.optimizer.state_dict())))
    for a, b in zip(second.steps(8), whole, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", CASES)
def test_a_pickled_optimizer_continues(case: str) -> None:
    whole = Run("mlpeak", case).steps()
    run = Run("mlpeak", case)
    run.steps(0, 8)
    run.model, run.optimizer = pickle.loads(pickle.dumps((run.model, run.optimizer)))
    for a, b in zip(run.steps(8), whole, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", CASES)
def test_torchs_saved_state_continues(case: str) -> None:
    pytest.importorskip("torch")
    first = Run("torch", case)
    first.steps(0, 8)
    second = Run("mlpeak", case)
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert_same(second.steps(8), first.steps(8))


def test_copies_are_independent() -> None:
    run = Run("mlpeak", "Adam")
    run.steps(0, 3)
    twin = copy.deepcopy(run)
    expected = run.steps(3)
    for a, b in zip(twin.steps(3), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def parameter(value: float = 1.0) -> nn.Parameter:
    p = nn.Parameter(tensor([value]))
    p.grad = tensor([1.0])
    return p


def test_a_parameter_without_gradient_stays_as_it_is() -> None:
    a, b = parameter(), parameter()
    b.grad = None
    optimizer = optim.Adam([a, b], lr=0.1)
    optimizer.step()
    assert a.item() == pytest.approx(0.9)
    assert b.item() == 1.0
    assert b not in optimizer.state
    optimizer.zero_grad(set_to_none=False)
    assert a.grad is not None
    assert a.grad.item() == 0.0
    optimizer.zero_grad()
    assert a.grad is None


def test_a_transposed_parameter_is_updated_where_it_is() -> None:
    values = np.arange(6.0).reshape(2, 3)
    p = nn.Parameter(from_numpy(values.T))
    p.grad = from_numpy(np.ones((3, 2)))
    optim.SGD([p], lr=0.5).step()
    np.testing.assert_array_equal(values, np.arange(6.0).reshape(2, 3) - 0.5)


def test_closure_is_called_once_with_gradients_on() -> None:
    from mlpeak.grad_mode import is_grad_enabled, no_grad

    calls = []
    p = parameter()

    def closure() -> str:
        calls.append(is_grad_enabled())
        return "loss"

    with no_grad():
        assert optim.SGD([p], lr=0.5).step(closure) == "loss"
    assert calls == [True]
    assert p.item() == 0.5
    assert optim.SGD([p], lr=0.5).step() is None


def test_a_step_between_forward_and_backward_is_noticed() -> None:
    layer = nn.Linear(2, 1)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    x = tensor([[1.0, 2.0]], requires_grad=True)
    layer(x).sum().backward()
    loss = layer(x).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_groups_take_defaults_and_their_own_options() -> None:
    a, b, c = parameter(), parameter(), parameter()
    optimizer = optim.SGD([{"params": a}, {"params": [b], "lr": 0.5}], lr=0.25)
    optimizer.add_param_group({"params": [c], "lr": 1.0, "weight_decay": 1.0})
    optimizer.step()
    assert (a.item(), b.item(), c.item()) == (0.75, 0.5, -1.0)
    named = optim.SGD([("a", a), ("b", b)], lr=0.1)
    assert named.param_groups[0]["param_names"] == ["a", "b"]
    assert named.param_groups[0]["params"] == [a, b] or named.param_groups[0]["params"][0] is a
    assert optim.SGD(p for p in [a, b]).param_groups[0]["lr"] == 1e-3


def test_a_group_without_momentum_has_no_nesterov() -> None:
    params = [tensor([1.0], requires_grad=True) for _ in range(2)]
    groups = [{"params": params[:1]}, {"params": params[1:], "momentum": 0}]
    optimizer = optim.SGD(groups, lr=0.5, momentum=0.9, nesterov=True)
    for param in params:
        param.grad = tensor([1.0])
    optimizer.step()
    # lr (1 + momentum) of a first Nesterov step; lr alone
    assert [param.item() for param in params] == pytest.approx([1 - 0.5 * 1.9, 1 - 0.5])


def test_an_optimizer_of_ones_own() -> None:
    class Halve(optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"factor": 0.5})

        def _update(self, param: Any, array: Any, grad: Any, group: dict[str, Any]) -> None:
            array *= group["factor"]

    p = parameter(8.0)
    Halve([p]).step()
    assert p.item() == 4.0
    with pytest.raises(NotImplementedError, match="defines neither step nor _update"):
        optim.Optimizer([p], {}).step()


# the same call is made with both libraries, and both refuse with the same words
REFUSALS: dict[str, tuple[Callable[[Any, Any], Any], type[Exception]]] = {
    "SGD-lr": (lambda o, p: o.SGD([p], lr=-1), ValueError),
    "SGD-momentum": (lambda o, p: o.SGD([p], momentum=-0.1), ValueError),
    "SGD-weight_decay": (lambda o, p: o.SGD([p], weight_decay=-0.1), ValueError),
    "SGD-nesterov": (lambda o, p: o.SGD([p], nesterov=True), ValueError),
    "SGD-nesterov-dampening": (
        lambda o, p: o.SGD([p], momentum=0.9, dampening=0.1, nesterov=True),
        ValueError,
    ),
    "Adam-lr": (lambda o, p: o.Adam([p], lr=-1), ValueError),
    "Adam-eps": (lambda o, p: o.Adam([p], eps=-1), ValueError),
    "Adam-beta1": (lambda o, p: o.Adam([p], betas=(1.0, 0.9)), ValueError),
    "Adam-beta2": (lambda o, p: o.AdamW([p], betas=(0.9, -0.1)), ValueError),
    "Adam-weight_decay": (lambda o, p: o.AdamW([p], weight_decay=-1), ValueError),
    "RMSprop-lr": (lambda o, p: o.RMSprop([p], lr=-1), ValueError),
    "RMSprop-eps": (lambda o, p: o.RMSprop([p], eps=-1), ValueError),
    "RMSprop-momentum": (lambda o, p: o.RMSprop([p], momentum=-1), ValueError),
    "RMSprop-weight_decay": (lambda o, p: o.RMSprop([p], weight_decay=-1), ValueError),
    "RMSprop-alpha": (lambda o, p: o.RMSprop([p], alpha=-1), ValueError),
    "Adagrad-lr": (lambda o, p: o.Adagrad([p], lr=-1), ValueError),
    "Adagrad-lr_decay": (lambda o, p: o.Adagrad([p], lr_decay=-1), ValueError),
    "Adagrad-weight_decay": (lambda o, p: o.Adagrad([p], weight_decay=-1), ValueError),
    "Adagrad-initial": (
        lambda o, p: o.Adagrad([p], initial_accumulator_value=-1),
        ValueError,
    ),
    "Adagrad-eps": (lambda o, p: o.Adagrad([p], eps=-1), ValueError),
    "empty": (lambda o, p: o.SGD([]), ValueError),
    "set": (lambda o, p: o.SGD([{"params": {p}}]), TypeError),
    "not-a-tensor": (lambda o, p: o.SGD([1.0]), TypeError),
    "non-leaf": (lambda o, p: o.SGD([p * 2]), ValueError),
    "two-groups": (lambda o, p: o.SGD([{"params": [p]}, {"params": [p]}]), ValueError),
    "group-type": (lambda o, p: o.SGD([p]).add_param_group([p]), TypeError),
    "load-groups": (
        lambda o, p: o.SGD([p]).load_state_dict({"state": {}, "param_groups": []}),
        ValueError,
    ),
    "load-params": (
        lambda o, p: o.SGD([p]).load_state_dict(
            {"state": {}, "param_groups": [{"params": [0, 1]}]}
        ),
        ValueError,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    call, error = REFUSALS[name]
    messages = []
    for package, p in (
        (optim, nn.Parameter(tensor([1.0]))),
        (torch.optim, torch.nn.Parameter(torch.ones(1))),
    ):
        with pytest.raises(error) as caught:
            call(package, p)
        messages.append(str(caught.value).replace("torch.FloatTensor", "Parameter"))
    assert messages[0] == messages[1]


def test_a_single_tensor_is_no_list_of_parameters() -> None:
    with pytest.raises(TypeError, match="should be an iterable of Tensors or dicts, but got"):
        optim.SGD(parameter())


def test_duplicates_in_a_group_warn() -> None:
    p = parameter()
    with pytest.warns(UserWarning, match="parameter group with duplicate parameters"):
        optim.SGD([p, p])


def test_what_the_fused_update_cannot_do_is_refused() -> None:
    for call in (
        lambda: optim.SGD([parameter()], differentiable=True),
        lambda: optim.Adam([parameter()], capturable=True),
        lambda: optim.RMSprop([parameter()], differentiable=True),
        lambda: optim.Adagrad([parameter()], differentiable=True),
    ):
        with pytest.raises(ValueError, match="is True; mlpeak's optimizers update in place"):
            call()


def test_a_state_of_another_shape_is_refused_and_changes_nothing() -> None:
    run = Run("mlpeak", "Adam")
    run.steps(0, 2)
    state = copy.deepcopy(run.optimizer.state_dict())
    state["state"][1]["exp_avg"] = np.zeros(99)
    before = run.optimizer.state_dict()["state"][0]["step"]
    state["state"][0]["step"] = 77
    with pytest.raises(ValueError, match=r"exp_avg has shape \(99,\); expected \(6,\)"):
        run.optimizer.load_state_dict(state)
    assert run.optimizer.state_dict()["state"][0]["step"] == before


def test_what_each_step_updates_begins_with_a_cache_line() -> None:
    """An allocation at most happens to lie so: here are twelve of each kind."""
    layers = [nn.Linear(3 + i, 5) for i in range(12)]
    parameters = [p for layer in layers for p in layer.parameters()]
    optimizer = optim.Adam(parameters)
    for p in parameters:
        p.grad = from_numpy(np.ones(p.shape, np.float32))
    optimizer.step()
    resumed = optim.Adam(parameters)
    resumed.load_state_dict(optimizer.state_dict())
    arrays = [p._array for p in parameters]
    for state in (*optimizer.state.values(), *resumed.state.values()):
        arrays += [state["exp_avg"]._array, state["exp_avg_sq"]._array]
    assert {array.ctypes.data % 64 for array in arrays} == {0}
