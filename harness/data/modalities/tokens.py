"""Tokenisers: trained and run by the library ``tokenizers``, kept as plain lists and built again from these.

Texts are normalised (NFKC, lower case). ``words`` cuts them into words and runs of signs and keeps the commonest that
occur twice (``WordLevel``); ``bpe`` begins with bytes and joins the commonest neighbours within words (byte-pair
encoding, Sennrich, Haddow & Birch 2016, arXiv:1508.07909, on bytes as GPT-2 has it).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from harness.errors import DataError
from harness.extras import load_extra
from harness.spec.text_reading import RESERVED, TextReading

PADDING, UNKNOWN = range(RESERVED)
"""The codes that are no tokens."""
LONGEST = 64
"""Characters of a token of byte pairs at most."""
_NONE = " "
"""Stands for what is unknown in the library's vocabularies: no token is a blank."""
_AT_ONCE = 2048
"""Texts that are cut into tokens at a time."""
_TWICE = 2
"""A word that occurs once in training teaches nothing but what an unknown word is."""


def trained(texts: Sequence[str], how: TextReading) -> dict[str, Any]:
    """Return the tokeniser of some texts, as plain data; the same texts give the same.

    Raises :class:`DataError` where no word occurs twice.
    """
    library = _library()
    pairs = how.tokeniser == "bpe"
    tokenizer = _pipeline(
        library, library.models.BPE() if pairs else library.models.WordLevel(unk_token=_NONE), pairs=pairs
    )
    size = how.vocabulary - RESERVED
    if pairs:
        alphabet = library.pre_tokenizers.ByteLevel.alphabet()
        trainer = library.trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=alphabet, max_token_length=LONGEST, show_progress=False
        )
    else:
        trainer = library.trainers.WordLevelTrainer(vocab_size=size, min_frequency=_TWICE, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    if pairs:
        return {"tokeniser": "bpe", "merges": model["merges"]}
    words = sorted(model["vocab"], key=model["vocab"].__getitem__)
    if not words:
        raise DataError("no word occurs twice in the training texts; say `tokeniser: bpe`")
    return {"tokeniser": "words", "words": words}


class Tokeniser:
    """Cuts texts into tokens as fitted preprocessing says; what was received is checked before it is used."""

    def __init__(self, fitted: Mapping[str, Any]) -> None:
        self._library = library = _library()
        self._merges: list[tuple[str, ...]] | None = None
        """None of words."""
        if fitted["tokeniser"] == "bpe":
            self._merges = [tuple(pair) for pair in fitted.get("merges", ())]
            self._vocabulary = _joined(library.pre_tokenizers.ByteLevel.alphabet(), self._merges)
        else:
            words = dict.fromkeys(fitted.get("words", ()))
            self._vocabulary = {_NONE: 0} | {word: code for code, word in enumerate(words, start=1)}
        self.codes = len(self._vocabulary) + 1
        """How many there are: 0 of padding, 1 of what is unknown, then the tokens'."""
        self._tokenizer = self._with(self._vocabulary)
        self._decoder = None if self._merges is None else library.decoders.ByteLevel()

    @property
    def tokens(self) -> list[str]:
        """What each code stands for, as text; "" of padding and of what is unknown."""
        found = [self._tokenizer.id_to_token(code) for code in range(1, self.codes - 1)]
        words = [self._decoder.decode([token]) for token in found] if self._decoder else found
        return ["", "", *words]

    def as_json(self, length: int) -> str:
        """Return it as the library itself reads it, where its numbers are the codes, ``length`` of them a text."""
        tokenizer = self._with({token: code + 1 for token, code in self._vocabulary.items()})
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(pad_id=PADDING, length=length)
        text: str = tokenizer.to_str()
        return text

    def _with(self, vocabulary: dict[str, int]) -> Any:
        models = self._library.models
        if self._merges is None:
            return _pipeline(self._library, models.WordLevel(vocab=vocabulary, unk_token=_NONE), pairs=False)
        return _pipeline(self._library, models.BPE(vocab=vocabulary, merges=self._merges), pairs=True)

    def cut(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Yield the codes of each text."""
        for first in range(0, len(texts), _AT_ONCE):
            for found in self._tokenizer.encode_batch_fast(list(texts[first : first + _AT_ONCE])):
                yield [code + 1 for code in found.ids]


def _joined(alphabet: Sequence[str], merges: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return the code of each token less one. Raises :class:`DataError` where a pair has what is no token before it."""
    codes = {token: code for code, token in enumerate([_NONE, *sorted(alphabet)])}
    for left, right in merges:
        token = left + right
        if left not in codes or right not in codes or _NONE in (left, right) or len(token) > LONGEST:
            raise DataError(f"the tokeniser joins {left[:9]!r} and {right[:9]!r}, which are no tokens; it is damaged")
        codes.setdefault(token, len(codes))
    return codes


def _pipeline(library: ModuleType, model: Any, *, pairs: bool) -> Any:
    tokenizer = library.Tokenizer(model)
    normalizers, cutting = library.normalizers, library.pre_tokenizers
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = cutting.ByteLevel(add_prefix_space=True) if pairs else cutting.Whitespace()
    return tokenizer


def _library() -> ModuleType:
    # Its threads would compete with trials, and it warns of them after a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return load_extra("tokenizers", extra="text", use="a task of texts")
