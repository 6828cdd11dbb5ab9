"""Texts: int64 codes of tokens ``t_NT``, and ``mask_NT``, which is True where there is one."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NotRequired

import numpy as np
import pandas as pd
from pydantic import Field
from typing_extensions import TypedDict, override

from harness.data.asked_columns import check_columns
from harness.data.features import Fault, Features, Outline
from harness.data.fitted import Target
from harness.data.modalities.tokens import LONGEST, PADDING, UNKNOWN, Tokeniser, trained
from harness.data.modality import Modality, Prepared
from harness.data.raw_texts import Texts, text_series
from harness.data.sources.names import one_form
from harness.data.token_counts import token_counts
from harness.data.unusual import Unusual, add
from harness.errors import DataError
from harness.records import Input, InputKind
from harness.spec.text_reading import Encoding

_MEASURED = 10_000
"""Training texts, evenly chosen, whose tokens are counted."""
_NEARLY_ALL = 0.95
"""Share of the training texts that are read to their end, where the task allows it."""
_NEAR = 0.1
"""Share of the usual distance to the nearest text below which two are near copies."""
_FEWEST_PAIRS = 5
"""Different pairs of neighbouring tokens, of texts that are compared."""
_SHORT = 1 / 20
"""Share of the median length below which a text is very short."""
_Token = Annotated[str, Field(max_length=1000)]
_MOST = Field(max_length=200_000)


class Text(TypedDict):
    """Of texts; ``words`` in the order of their codes from 2, or the ``merges`` of byte pairs in their order.

    ``column`` is what a table of them calls them, ``longer`` the share of the training texts that were cut; the
    others are as those of a table.
    """

    inputs: Literal["text"]
    column: str
    tokeniser: Literal["bpe", "words"]
    words: NotRequired[Annotated[list[_Token], _MOST]]
    merges: NotRequired[Annotated[list[tuple[_Token, _Token]], _MOST]]
    length: Annotated[int, Field(ge=1, le=8192)]
    longer: float
    columns: NotRequired[list[str]]
    separator: NotRequired[Annotated[str, Field(max_length=1)]]
    encoding: NotRequired[Encoding]
    target: Target


class TextModality(Modality[Texts]):
    """A text a sample."""

    name = "text"
    raw = Texts
    form: ClassVar[type] = Text
    seconds_a_value = 5e-7

    @override
    def take(self, raw: Texts, rows: np.ndarray, what: str) -> Texts:
        """Return some of the texts."""
        return raw.only(rows)

    def alike(self, raw: Texts) -> np.ndarray:
        """Tell identical texts."""
        return np.asarray(pd.factorize(raw.values)[0])

    def fit(self, raw: Texts, rows: np.ndarray, what: str) -> dict[str, Any]:
        """Return a tokeniser trained on some texts alone, and how many tokens nearly all of them have."""
        # What is beyond could not be read, whatever its tokens are.
        texts = [text[: LONGEST * raw.how.length] for text in raw.values.iloc[rows]]
        if len(set(texts)) < 2:
            raise DataError(f"{what}: all {len(texts)} training texts are the same; name another column or add texts")
        try:
            fitted = trained(texts, raw.how)
        except DataError as error:
            raise DataError(f"{what}: {error}") from None
        some = texts[:: max(1, len(texts) // _MEASURED)]
        lengths = np.array([len(codes) for codes in Tokeniser(fitted).cut(some)])
        length = int(np.clip(np.quantile(lengths, _NEARLY_ALL, method="higher"), 1, raw.how.length))
        longer = float((lengths > length).mean())
        return {"inputs": "text", "column": raw.column, **fitted, "length": length, "longer": longer}

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[Input, ...]:
        """Return the codes and where there are tokens."""
        shape, codes = (fitted["length"],), Tokeniser(fitted).codes
        return (
            Input(kind=InputKind.TOKENS, shape=shape, dtype="int64", cardinalities=(codes,)),
            Input(kind=InputKind.MASK, shape=shape, dtype="bool"),
        )

    @override
    def prepare(self, fitted: Mapping[str, Any], raw: Any, unusual: Unusual) -> Prepared:
        """Return the tokens of texts: of a list, an array or a series of them, or the column of a table."""
        length = fitted["length"]
        texts = [text[: LONGEST * length] for text in _texts(fitted, raw, unusual)]
        codes_NT = np.full((len(texts), length), PADDING, np.int64)
        for row, codes in enumerate(Tokeniser(fitted).cut(texts)):
            read = codes[:length] or [UNKNOWN]  # of an empty text too there is something to see
            codes_NT[row, : len(read)] = read
        return Prepared((codes_NT, codes_NT != PADDING))

    def width(self, fitted: Mapping[str, Any]) -> int:
        """Return how many tokens are read."""
        return int(fitted["length"])

    @override
    def features(self, fitted: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> Features:
        """Return counts of tokens and of pairs of neighbours."""
        tokeniser = Tokeniser(fitted)
        return Features(token_counts(inputs[0], codes=tokeniser.codes), tokeniser.tokens)

    @override
    def outline(self, fitted: Mapping[str, Any], inputs: Sequence[np.ndarray]) -> Outline:
        """Return which pairs of neighbouring tokens a text has; short ones are like no other."""
        codes = Tokeniser(fitted).codes
        pairs = token_counts(inputs[0], codes=codes)[:, codes:]
        few = np.diff(pairs.indptr) < _FEWEST_PAIRS
        pairs.data[:] = 1.0
        pairs.data[np.repeat(few, np.diff(pairs.indptr))] = np.nan
        return Outline(pairs, _NEAR)

    @override
    def traits(self, raw: Texts) -> dict[str, np.ndarray]:
        """Return how long texts are; an empty one counts as one character."""
        return {"the length in characters": np.maximum(1, _characters(raw))}

    @override
    def faults(self, raw: Texts) -> Iterator[Fault]:
        """Yield texts without a word, and those that are very short beside the others."""
        characters = _characters(raw)
        empty = np.array([re.search(r"\w", text) is None for text in raw.values], np.bool_)
        short = ~empty & (characters < _SHORT * np.median(characters))
        yield Fault("empty", "hold no letter and no digit", "fill them in, or remove them", empty)
        what = f"are shorter than {_SHORT:.0%} of the median, {np.median(characters):,.0f} characters"
        yield Fault("short-texts", what, "look whether they were cut off, and remove what says nothing", short)

    @override
    def columns(self, fitted: Mapping[str, Any]) -> list[str]:
        """Return the column of texts."""
        return [fitted["column"]]

    @override
    def remarks(self, fitted: Mapping[str, Any]) -> tuple[str, ...]:
        """Say how much of the texts is read."""
        longer = f"; {fitted['longer']:.1%} of those of training have more, and are cut" if fitted["longer"] else ""
        return (f"texts are read up to {fitted['length']:,} tokens{longer}",)


def _characters(raw: Texts) -> np.ndarray:
    return np.array([len(text.strip()) for text in raw.values], np.int64)


def _texts(fitted: Mapping[str, Any], raw: Any, unusual: Unusual) -> Iterable[str]:
    if isinstance(raw, Texts):
        texts: Sequence[str] = raw.values.tolist()
        return texts
    if isinstance(raw, str):
        raise DataError("raw samples are a single text; give a list of texts")
    if isinstance(raw, pd.DataFrame):
        frame = raw.set_axis([one_form(name) for name in raw.columns], axis="columns")
        check_columns(fitted, frame.columns)
        raw = frame[fitted["column"]]
    values = pd.Series(raw, dtype=object) if isinstance(raw, pd.Series) else pd.Series(list(raw), dtype=object)
    missing = values.isna().to_numpy()
    add(unusual.missing, fitted["column"], missing)
    values = values.where(~missing, "")
    if odd := [value for value in values if not isinstance(value, str)]:
        raise DataError(f"raw samples hold {reprlib.repr(odd[0])}, which is no text; give texts")
    return text_series(values)
