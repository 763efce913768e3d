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
    picks, offset, count = low.picks(indices, call)
    source, _, _ = low.integer_parts.get(indices.id, (indices, 0, 0))
    # What is checked is all columns of an input, each of which may belong to a table of its own.
    limits = low.limits.setdefault(source.id, [None] * picks.columns)
    for column in range(offset, offset + count):
        limits[column] = min(weight.shape[0], limits[column] or weight.shape[0])
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
    picks, offset, count = low.picks(indices, call)
    rows, padding = int(call.params["num_embeddings"]), call.params["padding_idx"]
    skipped = -1 if padding is None else int(padding) % rows
    stage = grad.stage
    result = low.result(result_of(call), stage)
    low.emit_whole(
        stage,
        (grad,),
        lambda p: p.embedding_backward(
            stage, grad.number, (picks.number, picks.columns, offset, count), rows, skipped,
            result.number,
        ),
    )
