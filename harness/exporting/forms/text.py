"""Texts: the codes of their tokens, which the library ``tokenizers`` makes of them. Shape legend: N texts, T tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.data.modalities.tokens import LONGEST, PADDING, UNKNOWN, Tokeniser
from harness.data.raw_texts import Texts
from harness.exporting.forms.form import RawForm, RawInput

_WORDS = 12
_MADE = 16


class TextForm(RawForm[Texts | Sequence[str]]):
    """``N x T``, as the tokeniser that the file holds returns them."""

    def inputs(self, fitted: Mapping[str, Any]) -> tuple[RawInput, ...]:
        """Return the only one."""
        length = fitted["length"]
        facts = {"tokenizer": Tokeniser(fitted).as_json(length), "characters": LONGEST * length}
        return (RawInput("tokens", "tokens", "int64", (length,), facts=facts),)

    def prepared(self, fitted: Mapping[str, Any]) -> nn.Module:
        """Return what tells where there are tokens."""
        del fitted
        return PreparedTokens()

    def arrays(self, fitted: Mapping[str, Any], raw: Texts | Sequence[str]) -> dict[str, np.ndarray]:
        """Return the codes that the tokeniser of the file makes of texts."""
        from tokenizers import Tokenizer

        (tokens,) = self.inputs(fitted)
        texts = raw.values.tolist() if isinstance(raw, Texts) else raw
        found = Tokenizer.from_str(tokens.facts["tokenizer"]).encode_batch(
            [text[: tokens.facts["characters"]] for text in texts]
        )
        return {tokens.name: np.array([each.ids for each in found], np.int64)}

    def made_up(self, fitted: Mapping[str, Any]) -> Sequence[str]:
        """Return known words in any order, an empty text, strange signs, and a long text."""
        rng = np.random.default_rng(0)
        words = [token for token in Tokeniser(fitted).tokens if token.strip()]
        known = [" ".join(rng.choice(words, _WORDS)) for _ in range(_MADE)]
        return [*known, "", " ", "Ünseen \N{SNOWMAN} \t wörds", " ".join(rng.choice(words, 2 * fitted["length"]))]


class PreparedTokens(nn.Module):
    """Takes codes ``N x T`` as int64."""

    def forward(self, codes_NT: Tensor) -> tuple[Tensor, ...]:
        """Return the codes, of an empty text with one unknown token, and where there are any."""
        empty_N1 = (codes_NT == PADDING).all(dim=1, keepdim=True)
        first_N1 = torch.where(empty_N1, UNKNOWN, codes_NT[:, :1])
        codes_NT = torch.cat([first_N1, codes_NT[:, 1:]], dim=1)
        return codes_NT, codes_NT != PADDING
