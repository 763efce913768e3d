"""How embeddings become instructions."""

from __future__ import annotations

from mlpeak.compiler.graph import Call
from mlpeak.compiler.lower import Lowering
from mlpeak.compiler.rules import rule
from mlpeak.compiler.rules_arithmetic import result_of


@rule("embedding")
def _embedding(low: Lowering, call: Call) -> None:
    indices, weight = call.inputs
    assert indices is not None
    assert weight is not None
    table = low.array(weight, call)
    picks, offset, count = low.picks(indices, call, weight.shape[0])
    y = low.result(result_of(call), table.stage)
    low.emit_rows(
        table.stage,
        (table,),
        lambda p: p.embedding(
            table.stage, table.number, (picks.number, picks.columns, offset, count), y.number
        ),
    )


@rule("embedding_backward")
def _embedding_backward(low: Lowering, call: Call) -> None:
    gradient, indices = call.inputs
    assert gradient is not None
    assert indices is not None
    grad = low.rows(gradient, call)
    rows, padding = int(call.params["num_embeddings"]), call.params["padding_idx"]
    picks, offset, count = low.picks(indices, call, rows)
    skipped = -1 if padding is None else int(padding) % rows
    stage = grad.stage
    result = low.result(result_of(call), stage)
    low.emit_whole(
        stage,
        (grad,),
        lambda p: p.embedding_backward(
            stage,
            grad.number,
            (picks.number, picks.columns, offset, count),
            rows,
            skipped,
            result.number,
        ),
    )
