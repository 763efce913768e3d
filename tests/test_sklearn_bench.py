"""``mlpeak bench sklearn``: turns, table, files, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlpeak.bench import sklearn_command
from mlpeak.bench.sklearn_workloads import QUICK, Fit, make_fits, timed
from mlpeak.cli import main


def test_quick_run_leaves_table_json_and_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "sklearn", "--quick", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    report = json.loads((tmp_path / "sklearn-1.json").read_text("utf-8"))
    assert [f"{r['group']}, {r['title']}" for r in report["results"]] == list(QUICK)
    for result in report["results"]:
        assert f"{result['group']}, {result['title']}" in out
        assert result["timings"]["mlpeak"]["median"] > 0
        assert abs(result["scores"]["mlpeak"] - result["scores"]["sklearn"]) < 0.02
    assert (tmp_path / "sklearn-1.png").read_bytes().startswith(b"\x89PNG")


def test_libraries_take_turns() -> None:
    log: list[str] = []
    seconds = iter([1.0, 4.0, 3.0, 5.0, 2.0, 6.0])

    def time(fit: Fit, library: str) -> tuple[float, float]:
        log.append(library)
        return next(seconds), 0.5

    result = sklearn_command.measure(make_fits(mnist=False)[0], time, 3)
    assert log == ["mlpeak", "sklearn"] * 3
    assert result.ratio == 5.0 / 2.0


def test_names_are_unique_and_known() -> None:
    names = [fit.name for fit in make_fits(mnist=True)]
    assert len(set(names)) == len(names)
    assert set(QUICK) <= set(names)
    assert len(names) == len(make_fits(mnist=False)) + 1


def test_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "sklearn", "--only", "nothing"]) == 2
    assert "only: is 'nothing'" in capsys.readouterr().err
    assert main(["bench", "sklearn", "--rounds", "0"]) == 2
    assert "rounds: is 0; expected at least 1" in capsys.readouterr().err
    with pytest.raises(ValueError, match="mnist: is not given"):
        timed(Fit("", "", "mnist"), "mlpeak", None)


def test_a_folder_without_mnist_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--mnist", str(tmp_path), "--quick", "--out", str(out)]
    assert main(["bench", "sklearn", *options]) == 2
    words = f"mnist: is '{tmp_path}'; there is no t10k-images-idx3-ubyte.gz in it"
    assert words in capsys.readouterr().err
    assert not out.exists()
