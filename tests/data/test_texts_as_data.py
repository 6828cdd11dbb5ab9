"""Texts as data: tokenisers, codes and masks, and what is kept of them in preprocessing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data import check_preprocessing, load, prepare
from harness.data.modalities.tokens import PADDING, UNKNOWN, Tokeniser, trained
from harness.data.unusual import Unusual
from harness.errors import DataError, HardwareError
from harness.spec.task import CsvTask
from harness.spec.text_reading import RESERVED, TextReading

WORDS = TextReading(tokeniser="words", vocabulary=50)
PAIRS = TextReading(tokeniser="bpe", vocabulary=300)
TEXTS = ["The cat sat on the mat.", "the dog sat; the cat ran!", "A dog, a cat, a mat", "the end"]
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def table(path, texts, classes):
    pd.DataFrame({"body": texts, "kind": classes, "stars": range(len(texts))}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A table whose texts say their class."""
    rng = np.random.default_rng(0)
    common = ["the", "film", "was", "quite", "really", "a", "bit"]
    own = {"good": ["lovely", "great", "fine"], "bad": ["dull", "awful", "poor"]}
    classes = rng.choice(list(own), 120)
    texts = [" ".join([*rng.choice(common, rng.integers(2, 9)), *rng.choice(own[name], 2)]) for name in classes]
    return table(tmp_path_factory.mktemp("texts") / "reviews.csv", texts, classes)


@pytest.fixture(scope="module")
def dataset(reviews):
    return load(CsvTask(csv=reviews, target="kind", text="body", tokeniser="words"), seed=0)


def test_words_are_those_that_occur_twice_the_commonest_first():
    counts = Counter(word for text in TEXTS for word in re.findall(r"\w+|[^\w\s]+", text.lower()))
    fitted = trained(TEXTS, WORDS)
    assert Counter({word: counts[word] for word in fitted["words"]}) == {w: n for w, n in counts.items() if n > 1}
    assert [counts[word] for word in fitted["words"]] == sorted((n for n in counts.values() if n > 1), reverse=True)
    codes = {word: code for code, word in enumerate(fitted["words"], start=RESERVED)}
    expected = [[codes.get(word, UNKNOWN) for word in re.findall(r"\w+|[^\w\s]+", text.lower())] for text in TEXTS]
    assert list(Tokeniser(fitted).cut(TEXTS)) == expected


def joined(word, merges):
    """Cut a word as byte pairs do: again and again the pair that was learnt first is joined."""
    parts = list(word)
    while ranks := [(merges.index(pair), place) for place, pair in enumerate(pairwise(parts)) if pair in merges]:
        _, place = min(ranks)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts


def test_byte_pairs_are_the_commonest_neighbours():
    texts = ["low lower lowest"] * 3 + ["newer wider"] * 2
    merges = [tuple(pair) for pair in trained(texts, PAIRS)["merges"]]
    words = Counter(f"Ġ{word}" for text in texts for word in text.split())
    for number, merge in enumerate(merges):
        counts = Counter(
            pair
            for word, count in words.items()
            for pair in pairwise(joined(word, merges[:number]))
            for _ in range(count)
        )
        assert counts[merge] == max(counts.values()), merge
    tokens = [token for word in ["lowest", "newest"] for token in joined(f"Ġ{word}", merges)]
    found = next(iter(Tokeniser({"tokeniser": "bpe", "merges": merges}).cut(["Lowest newest"])))
    assert len(found) == len(tokens)
    assert (found[0] == found[1]) == (tokens[0] == tokens[1])


@settings(max_examples=40)
@given(st.lists(ANY, min_size=1, max_size=5))
def test_byte_pairs_spell_whatever_they_are_given(texts):
    tokeniser = Tokeniser(trained(TEXTS, PAIRS))
    for text, codes in zip(texts, tokeniser.cut(texts), strict=True):
        assert all(RESERVED <= code < tokeniser.codes for code in codes)
        assert bool(codes) or not text.strip()


@pytest.mark.slow
@pytest.mark.parametrize("how", [WORDS, PAIRS], ids=["words", "bpe"])
def test_the_same_texts_give_the_same_tokeniser_in_every_process(how):
    code = (
        "import json, sys; from harness.data.modalities.tokens import trained;"
        "from harness.spec.text_reading import TextReading as T;"
        "print(json.dumps(trained(json.loads(sys.argv[1]), T(**json.loads(sys.argv[2])))))"
    )
    texts = [f"{word}{number} {word} and {number}" for number in range(40) for word in ("alpha", "beta", "gamma")]
    arguments = [sys.executable, "-c", code, json.dumps(texts), how.model_dump_json()]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == trained(texts, how)


def test_a_model_is_called_with_codes_and_where_they_are(dataset):
    tokens, mask = dataset.shape.inputs
    assert (tokens.kind, tokens.dtype, mask.kind, mask.dtype, mask.shape) == (
        "tokens",
        "int64",
        "mask",
        "bool",
        tokens.shape,
    )
    codes_NT, mask_NT = dataset.train.inputs
    assert codes_NT.shape == (len(dataset.train), *tokens.shape)
    assert codes_NT.max() < tokens.cardinalities[0] == len(dataset.preprocessing["words"]) + RESERVED
    assert np.array_equal(mask_NT, codes_NT != PADDING)
    assert np.array_equal(mask_NT, np.arange(tokens.sizes[0]) < mask_NT.sum(axis=1, keepdims=True))
    assert mask_NT.any(axis=1).all()


def test_the_tokeniser_and_the_length_are_of_the_training_part_alone(tmp_path):
    texts = [f"usual words here {place % 3}" for place in range(60)]
    path = table(tmp_path / "x.csv", texts, ["a", "b"] * 30)
    task = CsvTask(csv=path, target="kind", text="body", tokeniser="words")
    held_out = load(task, seed=0).split_index["validation"]
    for row in held_out:
        texts[row] = "other words " * 50
    table(path, texts, ["a", "b"] * 30)
    data = load(task, seed=0)
    assert data.shape.inputs[0].shape == (4,)
    assert "other" not in data.preprocessing["words"]
    assert data.validation.inputs[1].all()


def test_texts_are_cut_where_nearly_all_of_training_end_and_it_is_told(tmp_path):
    texts = [" ".join(["word"] * (1 + place)) for place in range(100)]
    path = table(tmp_path / "x.csv", texts, ["a", "b"] * 50)
    free = load(CsvTask(csv=path, target="kind", text="body", tokeniser="words", split={"seed": 1}), seed=0)
    lengths = 1 + np.sort(free.split_index["train"])
    length = free.shape.inputs[0].sizes[0]
    assert length == np.quantile(lengths, 0.95, method="higher")
    share = (lengths > length).mean()
    assert (
        f"x: texts are read up to {length} tokens; {share:.1%} of those of training have more, and are cut"
        in free.notes
    )
    assert load(CsvTask(csv=path, target="kind", text="body", length=7), seed=0).shape.inputs[0].shape == (7,)


def test_preprocessing_is_plain_data_and_the_tokeniser_comes_back_from_it(dataset):
    again = json.loads(json.dumps(dataset.preprocessing))
    check_preprocessing(again)
    test = dataset.open_test()
    raw = dataset.raw_test(np.arange(len(test)))
    for form in (raw, list(raw.values), np.array(raw.values), pd.DataFrame({"more": 1, "body": raw.values})):
        found = prepare(again, form)
        assert all(np.array_equal(*pair) for pair in zip(found.inputs, test.inputs, strict=True))


def test_an_empty_text_is_one_unknown_token(dataset):
    unusual = Unusual()
    codes_NT, mask_NT = prepare(dataset.preprocessing, ["", " ", None], unusual=unusual).inputs
    assert codes_NT[:, 0].tolist() == [UNKNOWN] * 3
    assert mask_NT.sum(axis=1).tolist() == [1] * 3
    assert unusual.missing == {"body": 1}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("one text", "raw samples are a single text; give a list of texts"),
        (["fine", 7], "raw samples hold 7, which is no text"),
        (pd.DataFrame({"bodi": ["x"]}), "column 'body' is missing; did you mean 'bodi'"),
    ],
)
def test_what_is_no_text_is_refused(raw, message, dataset):
    with pytest.raises(DataError, match=re.escape(message)):
        prepare(dataset.preprocessing, raw)


@pytest.mark.parametrize(
    "damage",
    [
        {"length": 0},
        {"length": 10**9},
        {"words": "abc"},
        {"words": ["x" * 2000]},
        {"tokeniser": "pickle"},
        {"tokeniser": "bpe", "merges": [["a", "b", "c"]]},
        {"encoding": "no-such"},
    ],
    ids=str,
)
def test_damaged_preprocessing_is_refused(damage, dataset):
    with pytest.raises(ValueError, match="validation error"):
        check_preprocessing({**dataset.preprocessing, **damage})


@pytest.mark.parametrize(
    "merges", [[("th", "e")], [("t", " ")], [("a", "a")] + [("a" * 2**n, "a" * 2**n) for n in range(1, 12)]]
)
def test_byte_pairs_that_join_what_is_no_token_are_refused(merges, dataset):
    with pytest.raises(DataError, match=r"which are no tokens; it is damaged"):
        prepare({**dataset.preprocessing, "tokeniser": "bpe", "merges": merges}, ["text"])


def test_a_missing_library_is_told_with_how_to_install_it(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(HardwareError, match=r"a task of texts needs the package tokenizers.*'harness-automl\[text\]'"):
        prepare(dataset.preprocessing, ["text"])
