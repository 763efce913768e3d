"""Reading tables: separators, column types, numbers with commas, damaged files."""

from __future__ import annotations

import datetime
import gzip
from pathlib import Path

import pytest

pl = pytest.importorskip("polars")

from mlpeak.sources import Options, load_rows, load_training  # noqa: E402
from mlpeak.tables import TablePreprocessing, read_table  # noqa: E402


def csv(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        (["1", "NA", "-3"], pl.Int64, [1, None, -3]),
        (["1", "2.5", "1e3"], pl.Float64, [1.0, 2.5, 1000.0]),
        (["true", "FALSE", ""], pl.Boolean, [True, False, None]),
        (["02139", "10115", "?"], pl.String, ["02139", "10115", None]),
        ([" red", "blue ", "n/a"], pl.String, ["red", "blue", None]),
        (["", "NaN", "null"], pl.Null, [None, None, None]),
        (
            ["2020-02-29", "", "1969-12-31"],
            pl.Date,
            [datetime.date(2020, 2, 29), None, datetime.date(1969, 12, 31)],
        ),
        (
            ["24.12.2020", "1.1.2021"],
            pl.Date,
            [datetime.date(2020, 12, 24), datetime.date(2021, 1, 1)],
        ),
        (["2020-01-02T03:04:05"], pl.Datetime, [datetime.datetime(2020, 1, 2, 3, 4, 5)]),
        (
            ["2020-01-02T03:04:05.5Z", "2020-01-02T03:04:06Z"],
            pl.Datetime,
            [
                datetime.datetime(2020, 1, 2, 3, 4, 5, 500000),
                datetime.datetime(2020, 1, 2, 3, 4, 6),
            ],
        ),
        (["", "2020-01-02 03:04+00:00"], pl.Datetime, [None, datetime.datetime(2020, 1, 2, 3, 4)]),
        (["10:30:00"], pl.Time, [datetime.time(10, 30)]),
        (["1", "two"], pl.String, ["1", "two"]),
    ],
)
def test_column_gets_the_type_all_its_values_have(tmp_path, cells, dtype, values):
    rows = "".join(f"{cell},0\n" for cell in cells)
    column = read_table(csv(tmp_path, f"a,b\n{rows}"))["a"]
    assert column.dtype == dtype
    assert column.to_list() == values


def test_text_columns_stay_text(tmp_path):
    path = csv(tmp_path, "code,n\n1,1\n2,2\n")
    assert read_table(path, text_columns=["code"])["code"].to_list() == ["1", "2"]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_separator_is_found_in_the_header(tmp_path, mark):
    frame = read_table(csv(tmp_path, f"a{mark} b\n1{mark}x\n"))
    assert frame.columns == ["a", "b"]
    assert frame.row(0) == (1, "x")


@pytest.mark.parametrize(
    ("mark", "cells", "values"),
    [
        (";", ["1,5", "2"], [1.5, 2.0]),
        (";", ["1.234,50", "-2,00"], [1234.5, -2.0]),
        (";", ["1,5E+03", ",5"], [1500.0, 0.5]),
        (";", ["0.5", "7"], [0.5, 7.0]),
        ("\t", ["1,234.5", "-1,234,567", "1e3"], [1234.5, -1234567.0, 1000.0]),
        (",", ['"1,234,567"', "2"], [1234567, 2]),
    ],
)
def test_commas_in_numbers_mean_what_the_separator_says(tmp_path, mark, cells, values):
    notes: list[str] = []
    rows = "".join(f"{cell}{mark}x\n" for cell in cells)
    frame = read_table(csv(tmp_path, f"a{mark}b\n{rows}"), notes=notes)
    assert frame["a"].to_list() == values
    assert notes == []


@pytest.mark.parametrize(
    ("mark", "values", "words"),
    [
        ("\t", [600, 1271, 602, 1345], "to group digits, not as the decimal mark"),
        (";", [600.0, 1.271, 602.0, 1.345], "as the decimal mark, not to group digits"),
    ],
)
def test_a_comma_that_may_mean_either_is_noted(tmp_path, mark, values, words):
    notes: list[str] = []
    rows = "".join(f"{cell}{mark}x\n" for cell in ("600", "1,271", "602", "1,345"))
    frame = read_table(csv(tmp_path, f"a{mark}b\n{rows}"), notes=notes)
    assert frame["a"].to_list() == values
    assert notes == [f"column 'a': the comma in '1,271' is taken {words}"]


def test_notes_on_commas_reach_training_and_prediction(tmp_path):
    rows = "".join(f"1,{100 + i}\t{i % 2}\n" for i in range(40))
    path = str(csv(tmp_path, f"a\tb\n{rows}", "t.tsv"))
    data = load_training(path, Options(target="b"))
    assert data.preprocessing.columns[0].mean > 1000
    words = "column 'a': the comma in '1,100' is taken to group digits, not as the decimal mark"
    assert words in data.notes
    assert words in load_rows(path, data.preprocessing, data.target).notes


@pytest.mark.parametrize(
    ("mark", "cells", "unfit"), [(";", ["0.5", "1,5"], "0.5"), ("\t", ["2", "1,5"], "1,5")]
)
def test_numbers_that_cannot_be_read_alike_are_text_with_a_note(tmp_path, mark, cells, unfit):
    notes: list[str] = []
    rows = "".join(f"{cell}{mark}x\n" for cell in cells)
    frame = read_table(csv(tmp_path, f"a{mark}b\n{rows}"), notes=notes)
    assert frame["a"].to_list() == cells
    assert "column 'a' is read as text" in notes[0]
    assert f"{unfit!r} does not fit" in notes[0]


@pytest.mark.parametrize("mark", [",", ";"])
@pytest.mark.parametrize("unfit", ["-", "None"])
@pytest.mark.parametrize("number", ["1.5", '"1,500"'])
def test_a_few_cells_that_make_text_of_numbers_are_noted(tmp_path, mark, unfit, number):
    notes: list[str] = []
    rows = "".join(f"{cell}{mark}x\n" for cell in ("2", number, "", unfit, "3", unfit))
    frame = read_table(csv(tmp_path, f"a{mark}b\n{rows}"), notes=notes)
    assert frame["a"].dtype == pl.String
    assert notes == [
        f"column 'a' is read as text: 2 of its 5 values are no numbers, the first of them {unfit!r}"
    ]


@pytest.mark.parametrize("cells", [["2", "A1", "B7"], ["02139", "10115", "A1"]])
def test_codes_are_text_without_a_note(tmp_path, cells):
    notes: list[str] = []
    rows = "".join(f"{cell},x\n" for cell in cells)
    assert read_table(csv(tmp_path, f"a,b\n{rows}"), notes=notes)["a"].to_list() == cells
    assert notes == []


def test_commas_in_text_are_not_remarked(tmp_path):
    notes: list[str] = []
    frame = read_table(csv(tmp_path, "a;b\nUlm, Bonn;1\nRom;2\n"), notes=notes)
    assert frame["a"].to_list() == ["Ulm, Bonn", "Rom"]
    assert notes == []


def test_separators_within_quotes_do_not_count(tmp_path):
    frame = read_table(csv(tmp_path, '"x, in m, or so";"y, in m";k\n1;2;3\n'))
    assert frame.columns == ["x, in m, or so", "y, in m", "k"]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (",a,b", ["", "a", "b"]),
        ("a,,b", ["a", "", "b"]),
        (" ,a,b", ["", "a", "b"]),
        (",Unnamed: 0,b", ["", "Unnamed: 0", "b"]),
    ],
)
def test_a_column_without_a_name_that_numbers_the_rows_is_left_out(tmp_path, header, names):
    rows = "".join(f"{i},{i},{i}\n" for i in range(30))
    frame = read_table(csv(tmp_path, f"{header}\n{rows}"))
    assert frame.columns == names
    numbered = [name for name in names if name not in ("a", "b")]
    left_out = TablePreprocessing.fit(frame).left_out
    assert left_out == dict.fromkeys(numbered, "it numbers the rows")


def test_several_columns_without_a_name_are_told_apart(tmp_path):
    frame = read_table(csv(tmp_path, ",a,\n1,2,3\n"))
    assert frame.row(0) == (1, 2, 3)
    assert frame.columns[:2] == ["", "a"]


@pytest.mark.parametrize("name", ["t.csv.gz", "T.CSV.GZ"])
def test_gzip_and_byte_order_mark(tmp_path, name):
    path = csv(tmp_path, gzip.compress(b"\xef\xbb\xbfa,b\n1,2\n"), name)
    assert read_table(path).to_dict(as_series=False) == {"a": [1], "b": [2]}


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,x\n2,y\n\n",
        "a,b\r\n1,x\r\n2,y\r\n\r\n\r\n",
        "\na,b\n1,x\n2,y\n",
        b"\xef\xbb\xbf\r\na,b\r\n1,x\r\n2,y",
        "a,b\n\n1,x\n\n\n2,y\n",
    ],
)
def test_blank_lines_are_no_rows(tmp_path, text):
    frame = read_table(csv(tmp_path, text))
    assert frame.to_dict(as_series=False) == {"a": [1, 2], "b": ["x", "y"]}


def test_blank_lines_in_quotes_and_rows_of_missing_values_stay(tmp_path):
    frame = read_table(csv(tmp_path, 'a,b\n1,"x\n\ny"\n\n,\n2,z\n'))
    assert frame.rows() == [(1, "x\n\ny"), (None, None), (2, "z")]


def test_a_blank_line_is_a_missing_value_of_the_only_column(tmp_path):
    assert read_table(csv(tmp_path, "a\n1\n\n2\n"))["a"].to_list() == [1, None, 2]


ZIPPED = gzip.compress(b"a,b\n1,2\n" * 9, mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "", "is empty"),
        ("t.csv", "a,b\n", "has a header but no rows"),
        ("t.csv", "a,b\n1,2,3\n", "cannot be read as a table: line 2 has 3 cells, the header 2"),
        ("t.csv", '\na;b\n"x\n;y";2\n\n1;2;3\n', "line 6 has 3 cells, the header 2"),
        ("t.csv", b"a,b\n\xff\xfe,2\n", "cannot be read as a table: it is not text in UTF-8"),
        ("t.csv", "Größe,b\n1,2\n".encode("latin-1"), "it is not text in UTF-8"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16"), "it is not text in UTF-8"),
        ("t.csv", "a, a\n1,2\n", "two columns named 'a'"),
        ("t.csv", "a,a\n1,2\n", "two columns named 'a'"),
        ("t.parquet", "not parquet", "cannot be read as a table"),
        ("t.csv.gz", b"a,b\n1,2\n", r"t\.csv\.gz cannot be read as a table: Not a gzipped file"),
        ("t.csv.gz", ZIPPED[:-12], r"t\.csv\.gz cannot be read as a table: Compressed file ended"),
        ("t.csv.gz", ZIPPED[:-8] + bytes(8), r"t\.csv\.gz cannot be read as a table: CRC"),
        ("t.csv.gz", ZIPPED[:10] + b"\xff" + ZIPPED[11:], r"t\.csv\.gz cannot be .*decompressing"),
        ("t.csv.gz", gzip.compress(b"", mtime=0), r"t\.csv\.gz is empty"),
        ("t.csv", "\n", r"t\.csv is empty"),
        ("t.csv", "a\n1,2\n", "cannot be read as a table: line 2 has 2 cells, the header 1"),
        ("t.xlsx", "x", r"expected a name ending in \.csv"),
    ],
)
def test_unreadable_tables_are_refused_with_the_reason(tmp_path, name, content, words):
    with pytest.raises(ValueError, match=words):
        read_table(csv(tmp_path, content, name))


def test_absent_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.csv"):
        read_table(tmp_path / "none.csv")
