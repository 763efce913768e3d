"""Tables: preprocessing, targets, splits, and their JSON."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pytest

pl = pytest.importorskip("polars")

from mlpeak.sources import Options, load_rows, load_training  # noqa: E402
from mlpeak.sources.arrays import ArrayPreprocessing  # noqa: E402
from mlpeak.sources.dataset import split_rows  # noqa: E402
from mlpeak.tables import (  # noqa: E402
    ClassTarget,
    TablePreprocessing,
    ValueTarget,
    fit_target,
    read_table,
    target_from_json,
)
from mlpeak.tables.target import decide_task, target_values  # noqa: E402

# ---- preprocessing -------------------------------------------------------------------------------

DAYS = [datetime.date(2020, 1, 2), datetime.date(2020, 1, 3)]


def test_numbers_are_imputed_by_the_median_standardised_and_marked():
    rows = TablePreprocessing.fit(pl.DataFrame({"a": [1.0, 2.0, None, 9.0]}))
    x, remarks = rows.transform(pl.DataFrame({"a": [1.0, 2.0, None, 9.0]}))
    values = np.array([1.0, 2.0, 2.0, 9.0])
    expected = (values - values.mean()) / values.std()
    assert rows.features == ["a", "a missing"]
    # two roundings of the statistics and one to float32
    np.testing.assert_allclose(x[:, 0], expected, rtol=4 * np.finfo(np.float32).eps)
    assert x[:, 1].tolist() == [0, 0, 1, 0]
    assert x.dtype == np.float32
    assert remarks == []


@pytest.mark.parametrize("unit", [1e-140, 1e-170, 1e-310, 1e140])
def test_tiny_and_huge_numbers_are_standardised(unit):
    values = unit * np.array([1.0, 2.0, 3.0, 6.0])
    expected = (np.array([1.0, 2.0, 3.0, 6.0]) - 3.0) / np.sqrt(3.5)
    column, _ = TablePreprocessing.fit(pl.DataFrame({"a": values})).transform(
        pl.DataFrame({"a": values})
    )
    array = ArrayPreprocessing.fit(values[:, None]).transform(values[:, None])
    # below 1e-308 the numbers themselves have fewer bits: 1e-310 is 2e13 of the smallest
    for x in (column, array):
        np.testing.assert_allclose(x[:, 0], expected, rtol=4 * np.finfo(np.float32).eps, atol=0)


def test_values_too_far_from_those_in_training_are_refused():
    values = np.array([1.0, 2.0, 3.0])
    far = np.array([2.0, 1e60])
    rows = TablePreprocessing.fit(pl.DataFrame({"a": values}))
    with pytest.raises(ValueError, match=r"column 'a' holds 1e\+60, which is too far"):
        rows.transform(pl.DataFrame({"a": far}))
    with pytest.raises(ValueError, match=r"x holds 1e\+60, which is too far"):
        ArrayPreprocessing.fit(values[:, None]).transform(far[:, None])
    target = fit_target(values, np.arange(3), "y", "regression")
    with pytest.raises(ValueError, match=r"target 'y' holds 1e\+60, which is too far"):
        target.encode(far)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_count_as_missing(bad):
    rows = TablePreprocessing.fit(pl.DataFrame({"a": [1.0, bad, 3.0]}))
    x, _ = rows.transform(pl.DataFrame({"a": [1.0, bad, 3.0]}))
    assert x[:, 1].tolist() == [0, 1, 0]
    assert np.isfinite(x).all()


def test_missing_values_new_since_training_are_remarked():
    rows = TablePreprocessing.fit(pl.DataFrame({"a": [1, 2, 3, 4, 4]}))
    x, remarks = rows.transform(pl.DataFrame({"a": [None, 3]}, schema={"a": pl.Int64}))
    assert x[0, 0] == x[1, 0]
    assert remarks == ["column 'a': 1 missing values (none in training) replaced by the median 3"]


def test_the_median_of_dates_is_remarked_as_a_date():
    rows = TablePreprocessing.fit(pl.DataFrame({"a": DAYS}))
    _, remarks = rows.transform(pl.DataFrame({"a": [None, DAYS[0]]}))
    assert remarks[0].endswith("replaced by the median 2020-01-02T12:00")


def test_categories_are_one_hot_with_a_slot_for_the_rest():
    rows = TablePreprocessing.fit(pl.DataFrame({"c": ["x", "y", "x", "y", "rare", None]}))
    assert rows.features == ["c=x", "c=y", "c other"]
    x, remarks = rows.transform(pl.DataFrame({"c": ["y", "x", "rare", "never seen", None]}))
    assert x.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
    assert "2 of 5 values are rare or unseen" in remarks[0]


def test_codes_are_the_same_levels_as_whole_and_as_real_numbers(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("code,n\n1.0,1\n2.0,2\n,3\n1.0,4\n2.0,5\n")
    rows = TablePreprocessing.fit(read_table(path, ["code"]), categorical=["code"])
    assert rows.features == ["code=1", "code=2", "code other", "n"]
    for codes in (["1", "2"], ["1.0", "2"], [1, 2], [1.0, 2.0]):
        x, remarks = rows.transform(pl.DataFrame({"code": codes, "n": [1, 1]}))
        assert x[:, :3].tolist() == [[1, 0, 0], [0, 1, 0]]
        assert remarks == []


def test_levels_are_capped_to_the_most_frequent():
    values = ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2
    rows = TablePreprocessing.fit(pl.DataFrame({"c": values}), max_levels=2)
    assert rows.features == ["c=a", "c=b", "c other"]
    assert "2 of 4 levels" in rows.notes[0]


def test_booleans_dates_and_times_become_numbers():
    frame = pl.DataFrame(
        {
            "flag": [True, False],
            "day": [datetime.date(1970, 1, 2), datetime.date(1970, 1, 4)],
            "moment": [datetime.datetime(1970, 1, 1, 12), datetime.datetime(1970, 1, 2)],
            "time": [datetime.time(0, 0, 1), datetime.time(0, 1)],
            "span": [datetime.timedelta(seconds=2), datetime.timedelta(seconds=4)],
        }
    )
    rows = TablePreprocessing.fit(frame)
    assert [c.mean for c in rows.columns] == [0.5, 2.0, 0.75, 30.5, 3.0]
    x, _ = rows.transform(frame)
    assert x[1].tolist() == [-1, 1, 1, 1, 1]


def test_useless_columns_are_left_out_with_the_reason():
    n = 40
    frame = pl.DataFrame(
        {
            "id": range(n),
            "customer_id": range(n, 0, -1),
            "name": [f"person {i}" for i in range(n)],
            "constant": [7] * n,
            "void": [None] * n,
            "use": [i % 5 for i in range(n)],
        }
    )
    rows = TablePreprocessing.fit(frame)
    assert rows.features == ["use"]
    assert rows.left_out == {
        "id": "it numbers the rows",
        "customer_id": "it numbers the rows",
        "name": "nearly every value differs, as in a name or identifier",
        "constant": "the same value everywhere",
        "void": "no values",
    }


def test_numbered_rows_under_another_name_are_kept_with_a_note():
    rows = TablePreprocessing.fit(pl.DataFrame({"day": range(30)}))
    assert rows.features == ["day"]
    assert "--ignore day" in rows.notes[0]


def test_ignore_and_categorical():
    frame = pl.DataFrame({"a": [1, 2, 1, 2], "b": [1, 2, 3, 5]})
    rows = TablePreprocessing.fit(frame, ignore=["b"], categorical=["a"])
    assert rows.features == ["a=1", "a=2", "a other"]
    with pytest.raises(ValueError, match="there is no column 'z'; columns 'a', 'b'"):
        TablePreprocessing.fit(frame, ignore=["z"])


def test_types_no_feature_is_made_of_are_refused():
    with pytest.raises(ValueError, match=r"column 'a' has the type List.*--ignore a"):
        TablePreprocessing.fit(pl.DataFrame({"a": [[1], [2]], "b": [1, 2]}))


def test_nothing_left_to_learn_from_is_refused():
    with pytest.raises(ValueError, match=r"no column is left .*'a': the same value everywhere"):
        TablePreprocessing.fit(pl.DataFrame({"a": [1, 1, 1]}))


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ({"a": [1.0]}, "the table lacks column 'b', which the model was trained on"),
        ({"b": ["x"]}, "the table lacks column 'a'"),
        (
            {"a": ["tall"], "b": ["x"]},
            "'a' held numbers in training; here it holds the text 'tall'",
        ),
        ({"a": [datetime.date(2020, 1, 1)], "b": ["x"]}, "'a' held numbers .* holds dates"),
        ({"a": [[1]], "b": ["x"]}, "'a' held numbers .* the type List"),
    ],
)
def test_a_later_table_that_does_not_fit_is_refused(new, words):
    rows = TablePreprocessing.fit(pl.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "x", "y"]}))
    with pytest.raises(ValueError, match=words):
        rows.transform(pl.DataFrame(new))


@pytest.mark.parametrize(
    ("column", "new", "words"),
    [
        (
            [True, False],
            ["true", "Yes", "no"],
            "booleans in training; here it holds the text 'Yes'",
        ),
        ([True, False], ["true"], "booleans in training; here it holds the text 'true'"),
        (DAYS, ["2024-01-01", "soon"], "dates in training; here it holds the text 'soon'"),
        ([datetime.time(1), datetime.time(2)], ["10:00", "noon"], "times .* the text 'noon'"),
    ],
)
def test_text_where_training_had_another_type_is_shown(column, new, words):
    rows = TablePreprocessing.fit(pl.DataFrame({"a": column}))
    with pytest.raises(ValueError, match=f"'a' held {words}"):
        rows.transform(pl.DataFrame({"a": new}))


def test_preprocessing_survives_json():
    frame = pl.DataFrame({"a": [1.5, None, 4.0], "b": ["ä", "ä", None], "c": [1, 1, 1]})
    rows = TablePreprocessing.fit(frame)
    again = TablePreprocessing.from_json(json.loads(json.dumps(rows.to_json())))
    assert again == TablePreprocessing(rows.columns, rows.left_out)
    np.testing.assert_array_equal(again.transform(frame)[0], rows.transform(frame)[0])


# ---- target and split ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"], "classification"),
        ([True, False], "classification"),
        ([0, 1, 2] * 10, "classification"),
        ([0.0, 1.0] * 10, "classification"),
        (list(range(30)), "regression"),
        ([1, 2, 3], "regression"),
        ([0.5, 1.0] * 20, "regression"),
        (list(range(21)) * 10, "regression"),
    ],
)
def test_task_is_decided_by_the_target(values, task):
    assert decide_task(target_values(pl.Series("y", values))) == task


def test_classes_are_sorted_labels_and_unknown_ones_are_minus_one():
    values = target_values(pl.Series("y", ["b", "a", "b", "c"] * 2))
    target = fit_target(values, np.arange(8), "y", "classification")
    assert target == ClassTarget("y", ("a", "b", "c"))
    assert target.encode(np.array(["c", None, "z", "a"], object)).tolist() == [2, -1, -1, 0]


def test_integer_classes_match_floats_and_text():
    target = fit_target(np.array([3.0, 7.0] * 5), np.arange(10), "y", "classification")
    assert target == ClassTarget("y", (3, 7))
    assert target.encode(np.array([7, 3])).tolist() == [1, 0]
    assert target.encode(np.array(["7", "3"], object)).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("classes", "values"),
    [
        (("Maybe", "True", "False"), [True, False]),
        (("x", "1.0", "2.0"), [1.0, 2.0]),
        (("x", "1.0", "2.0"), [1, 2]),
        (("x", "1", "2"), ["1.0", "2.0"]),
        (("x", True, False), ["True", "FALSE"]),
        (("x", 1, 2), ["1.0", "2"]),
    ],
)
def test_classes_are_found_whatever_type_the_later_column_has(classes, values):
    codes = ClassTarget("y", classes).encode(target_values(pl.Series("y", values)))
    assert codes.tolist() == [1, 2]


def test_codes_with_leading_zeros_and_labels_that_differ_in_text_stay_apart():
    target = ClassTarget("y", ("01", "1", "1.0"))
    values = target_values(pl.Series("y", ["1.0", "1", "01", "001"]))
    assert target.encode(values).tolist() == [2, 1, 0, -1]


def test_values_are_standardised_by_the_training_rows_alone():
    values = np.array([0.0, 2.0, 100.0])
    target = fit_target(values, np.array([0, 1]), "y", "regression")
    assert target == ValueTarget("y", 1.0, 1.0)
    codes = target.encode(values)
    assert codes.tolist() == [[-1.0], [1.0], [99.0]]
    assert target.decode(codes).tolist() == values.tolist()
    assert target_from_json(json.loads(json.dumps(target.to_json()))) == target


@pytest.mark.parametrize(
    ("values", "task", "words"),
    [
        (["a"] * 9, "classification", "one class 'a'; two are needed"),
        ([f"n{i}" for i in range(9)], "classification", "9 classes in 9 rows"),
        (["x", "y"] * 5, "regression", "is to be a number; it holds 'x'"),
        ([4.0] * 9, "regression", "is 4 in every row"),
    ],
)
def test_useless_targets_are_refused(values, task, words):
    encoded = target_values(pl.Series("y", values))
    with pytest.raises(ValueError, match=f"target 'y' .*{words}"):
        fit_target(encoded, np.arange(len(encoded)), "y", task)


def test_split_takes_the_same_share_of_each_class():
    labels = np.array([0] * 50 + [1] * 10 + [2] * 2 + [3])
    training, test = split_rows(labels, len(labels), 0.2, seed=0)
    assert np.bincount(labels[test], minlength=4).tolist() == [10, 2, 1, 0]
    assert sorted([*training, *test]) == list(range(len(labels)))


def test_split_depends_on_the_seed_alone():
    first = split_rows(None, 100, 0.3, seed=1)
    np.testing.assert_array_equal(first[1], split_rows(None, 100, 0.3, seed=1)[1])
    assert len(first[1]) == 30
    assert not np.array_equal(first[1], split_rows(None, 100, 0.3, seed=2)[1])


# ---- arrays --------------------------------------------------------------------------------------


def test_pixels_are_standardised_as_one_with_exact_statistics():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 10
    rows = ArrayPreprocessing.fit(pixels)
    assert rows.mean == (115.0,)
    assert rows.scale == (np.sqrt(np.mean((pixels.astype(float) - 115.0) ** 2)),)
    x = rows.transform(pixels)
    assert x.shape == (2, 12)
    np.testing.assert_allclose((x.mean(), x.std()), (0.0, 1.0), atol=1e-6)
    with pytest.raises(ValueError, match="trained on 8-bit pixels; here x is float64"):
        rows.transform(pixels / 255)


def test_features_of_an_array_are_standardised_each_and_constants_become_zero():
    x = np.array([[1.0, 5.0], [3.0, 5.0]])
    rows = ArrayPreprocessing.fit(x)
    assert rows.transform(x).tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert ArrayPreprocessing.from_json(json.loads(json.dumps(rows.to_json()))) == rows
    with pytest.raises(ValueError, match="a row has 3 values; the model was trained on 2"):
        rows.transform(np.zeros((1, 3)))


# ---- the whole way -------------------------------------------------------------------------------


def houses(rows: int = 60) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "rooms": [None if i % 10 == 3 else i % 6 for i in range(rows)],
            "town": [("Ulm", "Bonn", "Köln")[i % 3] for i in range(rows)],
            "price": [None if i % 20 == 7 else 100.0 * (i % 6) + 7.5 * i for i in range(rows)],
        }
    )


@pytest.mark.parametrize("name", ["houses.csv", "houses.parquet"])
def test_training_rows_of_a_table(tmp_path, name):
    path = tmp_path / name
    houses().write_parquet(path) if path.suffix == ".parquet" else houses().write_csv(path)
    data = load_training(str(path), Options(target="price"))
    assert data.name == "houses"
    assert data.target.task == "regression"
    assert (len(data.x_train), len(data.x_test)) == (46, 11)
    assert data.x_train.shape[1] == len(data.preprocessing.features) == 6
    assert data.notes[0] == "3 of 60 rows have no 'price' and were dropped"
    np.testing.assert_allclose(data.y_train.mean(), 0.0, atol=1e-6)

    rows = load_rows(str(path), data.preprocessing, data.target)
    assert rows.x.shape == (60, 6)
    assert np.isnan(rows.target).sum() == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "name the column to predict with --target; it has rooms, town, price"),
        ({"target": "rent"}, "has no column 'rent'; it has rooms, town, price"),
        ({"target": "price", "ignore": ("rooms", "town")}, "no column is left"),
        ({"target": "town", "task": "regression"}, "'town' is to be a number"),
        ({"target": "price", "held_out": 0.001}, "change --validation-share"),
    ],
)
def test_wrong_options_for_a_table(tmp_path, options, words):
    path = tmp_path / "houses.csv"
    houses().write_csv(path)
    with pytest.raises(ValueError, match=words):
        load_training(str(path), Options(**options))


@pytest.mark.parametrize(("field", "value"), [("held_out", 0.0), ("held_out", 1.0), ("task", "x")])
def test_options_out_of_range(field, value):
    with pytest.raises(ValueError, match="expected"):
        Options(**{field: value})
