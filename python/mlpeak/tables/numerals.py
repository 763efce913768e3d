"""Numbers as text: what points and commas in them mean.

The separator between a file's columns decides, never the cells: where it is ``;``, as spreadsheets
write it where the comma is the decimal mark, 1,5 is one and a half, and a point beside a comma
groups digits (1.234,5). Under any other separator a comma groups digits (1,234.5), and 1,5 is
text. So a column means the same in training and in a later file that holds other values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_EXPONENT = r"([eE][+-]?\d+)?$"
# each cell of a column with commas must look so: decimal commas, grouping commas
_DECIMAL = r"^[+-]?(\d*|[1-9]\d{0,2}(\.\d{3})+)(,\d+)" + _EXPONENT + r"|^[+-]?\d+" + _EXPONENT
_GROUPED = r"^[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$|^[+-]?(\d+\.?\d*|\.\d+)" + _EXPONENT
_NUMERAL = r"^[+-]?[\d.,]*\d[\d.,]*" + _EXPONENT
_EITHER = r"^[+-]?[1-9]\d{0,2},\d{3}$"


def read_numbers(text: pl.Series, separator: str) -> tuple[pl.Series | None, str | None]:
    """Return a column of text as integers or real numbers, None if it is neither, and a note.

    Parameters
    ----------
    text : polars.Series
        Without surrounding blanks; missing values are null.
    separator : str
        The mark between the file's columns.

    Returns
    -------
    numbers : polars.Series or None
    note : str or None
        What a user should know about how commas were read, or which values make text of a column
        most of whose values are numbers.

    Examples
    --------
    >>> import polars
    >>> read_numbers(polars.Series("a", ["1,5", "2"]), ";")[0].to_list()
    [1.5, 2.0]
    >>> numbers, note = read_numbers(polars.Series("a", ["1,271", "602"]), ",")
    >>> numbers.to_list()
    [1271, 602]
    >>> note
    "column 'a': the comma in '1,271' is taken to group digits, not as the decimal mark"
    """
    import polars as pl

    # 02139 is a code, not the number 2139
    if text.str.contains(r"^[+-]?0\d").any():
        return None, None
    commas = text.filter(text.str.contains(",", literal=True))
    if commas.is_empty():
        numbers = _cast(text)
        unfit = text.filter(text.cast(pl.Float64, strict=False).is_null() & text.is_not_null())
        return numbers, _exceptions(text, unfit) if numbers is None else None
    decimal = separator == ";"
    unfit = text.filter(~text.str.contains(_DECIMAL if decimal else _GROUPED))
    meaning = "as the decimal mark" if decimal else "to group digits"
    if not unfit.is_empty():
        if not text.drop_nulls().str.contains(_NUMERAL).all():
            return None, _exceptions(text, unfit)
        between = {"\t": "a tab"}.get(separator, separator)
        return None, (
            f"column {text.name!r} is read as text: with {between} between the columns the comma "
            f"in {commas[0]!r} would be taken {meaning}, and {unfit[0]!r} does not fit"
        )
    if decimal:
        plain = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    else:
        plain = text.str.replace_all(",", "", literal=True)
    if not commas.str.contains(_EITHER).all():
        return _cast(plain), None
    other = "to group digits" if decimal else "as the decimal mark"
    return _cast(plain), (
        f"column {text.name!r}: the comma in {commas[0]!r} is taken {meaning}, not {other}"
    )


def _exceptions(text: pl.Series, unfit: pl.Series) -> str | None:
    """Say that few of the values, `unfit`, make text of a column of numbers."""
    known = len(text) - text.null_count()
    if 2 * len(unfit) >= known:
        return None
    return (
        f"column {text.name!r} is read as text: {len(unfit)} of its {known} values are no numbers, "
        f"the first of them {unfit[0]!r}"
    )


def _cast(plain: pl.Series) -> pl.Series | None:
    import polars as pl

    for number_type in (pl.Int64, pl.Float64):
        numbers: pl.Series = plain.cast(number_type, strict=False)
        if numbers.null_count() == plain.null_count():
            return numbers
    return None
