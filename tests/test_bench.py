"""``mlpeak bench``: turns, statistics, the peak, the report, and refusals."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import mlpeak
from mlpeak import _core
from mlpeak.bench import kernels, picture, report, runner
from mlpeak.bench.command import choose_libraries, choose_plan
from mlpeak.bench.kernels import activations, optimizers, products, rows, sums
from mlpeak.bench.worker import Worker
from mlpeak.bench.workloads import Unavailable, Workload, libraries_of, load_family, select
from mlpeak.cli import main

PEAK = {"float32": 1e11, "float64": 5e10, "memory": 1e10, "level2": 1e11, "level2_bytes": 1 << 20}
PLAN = runner.Plan(rounds=5, turn=1e-4, warm_up=1e-5, peak_milliseconds=1, peak_bytes=1 << 20)


class Scripted:
    """A player whose calls take the seconds of a list, in turn, and that logs what it is asked."""

    def __init__(self, name, seconds, log):
        self.name, self.seconds, self.log = name, iter(seconds), log

    def ask(self, message):
        self.log.append((self.name, message["do"], message.get("calls")))
        if message["do"] == "prepare":
            return {"seconds": 1e-4}
        return {"seconds": next(self.seconds)}

    def close(self):
        pass


def tiny(name="product", **amounts):
    def prepare():
        x = np.ones((4, 4), np.float32)
        return lambda: x @ x

    return Workload("tiny", name, "float32", dict.fromkeys(("mlpeak", "numpy"), prepare), **amounts)


def test_rounds_alternate_between_the_libraries():
    log = []
    players = {name: Scripted(name, [1.0] * 5, log) for name in ("mlpeak", "numpy", "torch")}
    runner.measure(tiny(flops=1), players, PLAN)
    assert [entry[0] for entry in log] == list(players) * (1 + PLAN.rounds)
    assert [entry[1] for entry in log] == ["prepare"] * 3 + ["time"] * 3 * PLAN.rounds


def test_a_turn_has_calls_enough_to_fill_it():
    log = []
    plan = runner.Plan(rounds=1, turn=0.005)
    runner.measure(tiny(flops=1), {"mlpeak": Scripted("mlpeak", [1.0], log)}, plan)
    assert log[-1] == ("mlpeak", "time", 50)  # 0.005 s / 1e-4 s


def test_statistics_are_the_rounds_median_least_and_quartile_distance():
    timing = runner.summarize([5.0, 1.0, 2.0, 4.0, 3.0])
    assert timing == runner.Timing(median=3.0, least=1.0, spread=(4.0 - 2.0) / 3.0)
    assert runner.summarize([2.0]) == runner.Timing(2.0, 2.0, 0.0)


def test_ratio_is_to_the_best_other():
    timings = {
        name: runner.Timing(seconds, seconds, 0.0)
        for name, seconds in {"mlpeak": 2.0, "numpy": 6.0, "torch": 3.0}.items()
    }
    assert runner.Result(tiny(flops=1), timings).ratio() == 1.5
    assert runner.Result(tiny(flops=1), {"mlpeak": timings["mlpeak"]}).ratio() is None
    assert runner.Result(tiny(flops=1), {"numpy": timings["numpy"]}).ratio() is None


def test_a_workload_that_a_library_lacks_is_left_out_for_it():
    workload = Workload("tiny", "x", "float32", {"mlpeak": lambda: lambda: None}, bytes=1)
    players = {name: Worker(name, [workload], 1) for name in ("mlpeak", "numpy")}
    assert set(runner.measure(workload, players, PLAN).timings) == {"mlpeak"}


def test_workers_in_this_process_give_a_complete_report(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    workloads = [tiny(flops=2 * 4**3), tiny("stream", bytes=128)]
    players = {name: Worker(name, workloads, 1) for name in ("mlpeak", "numpy")}
    seen = []
    results = runner.measure_all(workloads, players, PLAN, seen.append)
    assert seen == results
    peak = runner.measure_peak(players["mlpeak"], PLAN)
    assert set(peak) == set(PEAK)
    assert min(peak.values()) > 0
    versions = {name: player.ask({"do": "describe"})["version"] for name, player in players.items()}
    assert versions["numpy"] == np.__version__

    whole = report.as_json("kernels", results, peak, versions, [0], PLAN)
    report.write_json(whole, tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert set(read) == {
        *("schema", "family", "date", "machine", "versions", "build", "threads", "cpus", "plan"),
        *("peak", "results"),
    }
    assert {"cpu", "system", "python"} == set(read["machine"])
    assert read["build"]["flags"] == mlpeak.config()["flags"]
    assert read["plan"]["rounds"] == PLAN.rounds
    product, stream = read["results"]
    assert set(product) == {
        "group",
        "shape",
        "dtype",
        "flops",
        "bytes",
        "ratio",
        "missing",
        "timings",
    }
    ours = product["timings"]["mlpeak"]
    assert set(ours) == {"median", "least", "spread", "rate", "share_of_peak"}
    assert ours["rate"] == pytest.approx(128 / ours["median"] * 1e-9)
    assert ours["share_of_peak"] == pytest.approx(128 / ours["median"] / peak["float32"])
    assert stream["timings"]["numpy"]["share_of_peak"] is None
    assert 0 < ours["least"] <= ours["median"]

    report.print_table(results, peak)
    assert "product" in capsys.readouterr().out
    picture.draw(results, peak, "tiny", "rate", tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_limits_are_the_higher_of_those_before_and_after():
    low, high = dict.fromkeys(PEAK, 1.0), dict.fromkeys(PEAK, 2.0)
    assert runner.merge_peaks({**high, "memory": 1.0}, {**low, "memory": 2.0}) == high


def test_table_is_plain_text_without_rich(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    timings = {"mlpeak": runner.Timing(1e-6, 1e-6, 0.25), "numpy": runner.Timing(2e-6, 2e-6, 0.0)}
    report.print_table([runner.Result(tiny(flops=50_000), timings)], PEAK)
    title, header, row = capsys.readouterr().out.strip().splitlines()
    assert title == "tiny (geometric mean of ratios 2.00)"
    assert header.split()[0] == "shape"
    # 50 000 operations in 1 us are 50 GFLOP/s, half of the peak
    assert row.split() == ["product", "1.0", "2.0", "2.00", "25%", "50.0", "GFLOP/s", "50%"]


def test_processes_take_turns_and_end(tmp_path):
    cpus = runner.choose_cpus(1)
    workloads = load_family("kernels", quick=True)
    players = {name: runner.Process("kernels", name, cpus) for name in ("mlpeak", "numpy")}
    try:
        result = runner.measure(workloads[0], players, PLAN)
        assert set(result.timings) == {"mlpeak", "numpy"}
        with pytest.raises(runner.PlayerError, match="numpy: KeyError"):
            players["numpy"].ask({"do": "prepare", "workload": "none", "warm_up": 0})
    finally:
        for player in players.values():
            player.close()
    with pytest.raises((runner.PlayerError, OSError, ValueError)):
        players["mlpeak"].ask({"do": "describe"})


def test_command_writes_table_json_and_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    options = ["--quick", "--only", "tanh", "--libraries", "numpy", "--out", str(tmp_path)]
    assert main(["bench", "kernels", *options]) == 0
    assert "FMA peak" in capsys.readouterr().out
    read = json.loads((tmp_path / "kernels-1.json").read_text("utf-8"))
    assert [set(r["timings"]) for r in read["results"]] == [{"mlpeak", "numpy"}]
    assert (tmp_path / "kernels-1.png").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nothing"], "family: is 'nothing'; expected kernels"),
        (["nothing"], ", sklearn"),
        (["kernels", "--suite", "sgd"], "suite: is 'sgd'; kernels has none"),
        (["sklearn", "--suite", "sgd"], "suite: is 'sgd'; sklearn has none"),
        (["kernels", "--only", "nothing"], "only: no workload has 'nothing' in its name"),
        (["kernels", "--threads", "0"], "threads: is 0; expected 1 to"),
        (["kernels", "--threads", "100000"], "threads: is 100000; expected 1 to"),
        (["kernels", "--rounds", "0"], "rounds: is 0; expected at least 1"),
        (["kernels", "--libraries", "nothing"], "libraries: is 'nothing'; expected mlpeak, numpy"),
    ],
)
def test_wrong_names_are_refused_before_anything_runs(options, words, capsys, tmp_path):
    assert main(["bench", *options, "--out", str(tmp_path / "new")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_worker_refuses_an_unknown_library():
    with pytest.raises(ValueError, match="library: is 'nothing'; expected mlpeak, numpy, torch"):
        Worker("nothing", [], 1)


def test_libraries_that_are_not_installed_take_no_part(monkeypatch):
    monkeypatch.setattr("mlpeak.bench.command.find_spec", lambda name: name != "torch")
    offered = ["mlpeak", "numpy", "torch", "torch-compile"]
    assert choose_libraries([], offered) == ["mlpeak", "numpy"]
    with pytest.raises(ImportError, match="torch-compile is not installed"):
        choose_libraries(["torch-compile"], offered)


def test_libraries_that_no_workload_is_written_for_are_refused():
    offered = libraries_of(load_family("kernels"))
    assert offered == ["mlpeak", "numpy", "torch"]
    with pytest.raises(ValueError, match=r"is 'jax'; expected mlpeak, numpy, torch$"):
        choose_libraries(["jax"], offered)


def test_a_library_that_cannot_run_a_workload_is_reported_with_its_reason(capsys):
    def refuse():
        raise Unavailable("no compiler was found")

    workload = Workload("tiny", "x", "float32", {**tiny(flops=1).prepare, "torch": refuse}, flops=1)
    players = {name: Worker(name, [workload], 1) for name in ("mlpeak", "numpy")}
    players["torch"] = Worker("numpy", [workload], 1)
    players["torch"].name = "torch"
    result = runner.measure(workload, players, PLAN)
    assert set(result.timings) == {"mlpeak", "numpy"}
    report.print_missing([result])
    assert capsys.readouterr().out == "torch did not run x: no compiler was found\n"


def test_plan_takes_the_rounds_alone():
    assert choose_plan(False, None) == runner.Plan()
    assert choose_plan(True, 7).rounds == 7
    assert choose_plan(True, 7).turn == runner.QUICK_PLAN.turn


def test_names_are_unique_and_quick_ones_exist():
    names = [w.name for w in kernels.workloads()]
    assert len(names) == len(set(names))
    assert set(kernels.QUICK) <= set(names)
    assert len(select(load_family("kernels"), ["adam"])) == 2


SMALL = {
    "product": lambda p: products.layer_product("g", p, 3, 5, 7, "float64"),
    "activation": lambda name: activations.activation(name, "4Ki"),
    "backward": lambda name: activations.activation_backward(name, "4Ki"),
}


@pytest.mark.parametrize(
    "workload",
    [
        *(SMALL["product"](p) for p in ("forward", "grad_input", "grad_weight")),
        *(SMALL["activation"](name) for name in ("exp", "relu", "sigmoid", "tanh", "gelu", "silu")),
        *(SMALL["backward"](name) for name in ("relu", "sigmoid", "tanh", "gelu", "silu")),
        products.square(8, "float64"),
        rows.cross_entropy(8, 10),
        rows.layer_norm(8, 16),
        rows.layer_norm_backward(8, 16),
        rows.rms_norm(8, 16),
        rows.batch_norm(8, 16),
        optimizers.sgd("s", 10),
        optimizers.adam("s", 10),
        sums.total("4Ki"),
        sums.column_sums(8, 10),
    ],
    ids=lambda w: w.name,
)
def test_each_workload_runs_on_each_library(workload):
    for library in workload.prepare:
        if library == "torch":
            pytest.importorskip("torch")
        workload.prepare[library]()()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_product_passes_the_fma_peak(dtype, tier):
    """What a kernel reaches is below the peak: the best of each, measured in turns.

    30 % are left for a clock that moves in between.
    """
    mlpeak.set_num_threads(1)
    workload = products.square(128, dtype)
    worker = Worker("mlpeak", [workload], 1)
    worker.ask({"do": "prepare", "workload": workload.name, "warm_up": 0})
    reached, peak = 0.0, 0.0
    for _ in range(5):
        seconds = worker.ask({"do": "time", "calls": 3})["seconds"]
        reached = max(reached, workload.flops / seconds)
        peak = max(peak, _core._fma_peak(dtype, 20))
    assert reached < 1.3 * peak


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: _core._fma_peak("float16", 1), "dtype is 'float16'; expected float32, float64"),
        (lambda: _core._fma_peak("float32", -1), "milliseconds is -1"),
        (lambda: _core._memory_bandwidth(0, 1), "bytes is 0"),
    ],
)
def test_peaks_refuse_wrong_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_parent_keeps_its_own_cpus():
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("no affinity here")
    before = os.sched_getaffinity(0)
    with runner._pinned([min(before)]):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
