"""A compiled program as a table."""

from __future__ import annotations

from mlpeak.compiler.bound import Bound

__all__ = ["explain"]

_HEADER = ("stage", "works on", "operation", "MFLOP", "KiB", "us", "share", "GFLOP/s")


def explain(bound: Bound, batch: int) -> str:
    """Return the instructions of a program, their work for a batch, and the time they took.

    Parameters
    ----------
    bound : Bound
    batch : int
        The batch size for which work is counted.

    Returns
    -------
    str
        One line for each native instruction, in the order they run: in a stage, threads first work
        on samples, each on its own, or on columns of all samples' results, then share what is made
        from all samples. FLOPs are those of matrix products; threads are those that the batch is
        worth, where they prove faster than one. Times are microseconds a step, summed over
        threads, if steps were made under `CompiledStep.profile`.
    """
    program = bound.program
    lines = program.lines(batch)
    steps = program.profiled_steps()
    total = sum(line[5] for line in lines)
    rows = [_HEADER]
    for stage, works_on, text, flops, size, nanoseconds in lines:
        timed = steps > 0 and total > 0
        rows.append(
            (
                str(stage),
                works_on,
                text,
                f"{flops / 1e6:.3f}" if flops else "",
                f"{size / 1024:.1f}",
                f"{nanoseconds / steps / 1e3:.2f}" if timed else "",
                f"{nanoseconds / total:.1%}" if timed else "",
                f"{flops * steps / nanoseconds:.1f}" if timed and flops and nanoseconds else "",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADER))]
    text = [_line(rows[0], widths), _line(tuple("-" * w for w in widths), widths)]
    text += [_line(row, widths) for row in rows[1:]]
    flops = sum(line[3] for line in lines)
    text.append("")
    text.append(
        f"batch {batch}, {program.threads_for(batch)} threads, {bound.dtype.name}, "
        f"{flops / 1e6:.3f} MFLOP of matrix products a step"
    )
    if steps and total:
        text.append(f"{total / steps / 1e3:.2f} us a step in instructions, of {steps} steps")
    return "\n".join(text)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        cell.ljust(width) if i in (1, 2) else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
