"""What a model returns: the first tensor is the prediction, and every tensor is reached."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.models import leaves, mapped, prediction

TREES = st.recursive(
    st.sampled_from([torch.tensor(float(n)) for n in range(5)]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1),
    ),
    max_leaves=6,
)


@given(tree=TREES)
def test_mapping_keeps_the_form_and_reaches_every_tensor_once(tree):
    doubled = mapped(lambda x: 2 * x, tree)
    assert [float(x) for x in leaves(doubled)] == [2 * float(x) for x in leaves(tree)]
    assert prediction(tree) is next(leaves(tree))
    assert str(mapped(lambda x: x, tree)) == str(tree)


def test_what_is_no_tensor_is_passed_over():
    logits = torch.ones(2)
    outputs = {"loss": None, "logits": logits, "size": 3}
    assert prediction(outputs) is logits
    assert mapped(lambda x: x + 1, outputs) == {"loss": None, "logits": pytest.approx([2.0, 2.0]), "size": 3}
