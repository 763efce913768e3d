"""`compile`: a module, a loss and an optimizer as one native program."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpeak import _random
from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.compiler.capture import capture_training
from mlpeak.compiler.graph import Graph, Spec
from mlpeak.compiler.lower import Lowering, Update
from mlpeak.compiler.updates import check_optimizer, options_of, rule_of, state_tensors
from mlpeak.nn.module import Module
from mlpeak.optim.optimizer import Optimizer


class CompiledStep:
    """A training step in one native call; made by `mlpeak.compile`."""

    def __init__(self, model: Module, loss: Any, optimizer: Optimizer) -> None:
        check_optimizer(optimizer)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self._program: Any = None

    def _build(self, specs: list[Spec], targets: list[Spec]) -> None:
        self._graph = capture_training(self.model, self.loss, specs, targets)
        rule = rule_of(self.optimizer)
        updates, self._groups = [], []
        slots: dict[tuple[int, int], int] = {}
        wanted = {id(t) for t, _ in self._graph.gradients}
        for g, group in enumerate(self.optimizer.param_groups):
            for param in group["params"]:
                if id(param) not in wanted:
                    continue
                tensors = state_tensors(self.optimizer, param, group)
                state = self.optimizer.state[param]
                slot = slots.setdefault((g, state.get("step", 0)), len(slots))
                if slot == len(self._groups):
                    self._groups.append((group, []))
                self._groups[slot][1].append(state)
                updates.append(Update(param, slot, [None if t is None else t._array for t in tensors]))
        low = Lowering(self._graph, np.dtype(np.float32), updates)
        low.run()
        self._rule = rule
        self._program = low.build()
        self._low = low
        self._program.pack_weights()
        self._sources = []
        for v in (*self._graph.inputs, *self._graph.targets):
            home, integer = low.sources[v.id]
            self._sources.append((home.number, integer, home.columns))

    def __call__(self, x: Any, y: Any) -> float:
        arrays = [np.asarray(a._array if isinstance(a, Tensor) else a) for a in (x, y)]
        if self._program is None:
            self._build([Spec(arrays[0].shape[1:], arrays[0].dtype)], [Spec(arrays[1].shape[1:], arrays[1].dtype)])
        p = self._program
        for (number, integer, columns), a in zip(self._sources, arrays):
            p.set_source(number, integer, a, 1.0, "x", columns)
        for slot, (group, states) in enumerate(self._groups):
            p.set_group(slot, self._rule, options_of(self.optimizer, group, states[0]))
        losses = np.empty(1)
        gen = _random.default_generator
        seed, step = gen.get_state()
        p.run(len(arrays[0]), len(arrays[0]), None, seed, step, _random.DROPOUT, self._graph.random_draws, losses, False, False)
        gen.set_state((seed, step + self._graph.random_draws))
        for group, states in self._groups:
            for s in states:
                if "step" in s: s["step"] += 1
        return float(losses[0])
