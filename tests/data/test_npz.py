from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from harness.data import load
from harness.errors import DataError
from harness.records import TaskKind
from harness.spec.task import NpzTask

N = 40
Y = np.arange(N) % 2
RNG = np.random.default_rng(0)


def load_npz(tmp_path, /, seed=0, **arrays):
    path = tmp_path / "arrays.npz"
    np.savez(path, **arrays)
    return load(NpzTask(npz=path), seed=seed)


def test_two_dimensions_are_a_table(tmp_path):
    data = load_npz(tmp_path, x=RNG.normal(size=(N, 5)), y=Y)
    assert (data.shape.inputs[0].kind, data.shape.inputs[0].sizes) == ("numeric", (5,))
    assert data.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("shape", "image"), [((N, 6, 7), (1, 6, 7)), ((N, 1, 6, 7), (1, 6, 7)), ((N, 3, 6, 7), (3, 6, 7))]
)
@pytest.mark.parametrize(("dtype", "kept"), [(np.uint8, np.uint8), (bool, np.uint8), (np.float64, np.float32)])
def test_three_or_four_dimensions_are_images(tmp_path, shape, image, dtype, kept):
    data = load_npz(tmp_path, x=RNG.integers(0, 2, shape).astype(dtype), y=Y)
    assert data.shape.inputs[0].sizes == image
    assert data.train.inputs[0].dtype == kept


def test_text_labels_and_float_targets(tmp_path):
    x = RNG.normal(size=(N, 2))
    assert load_npz(tmp_path, x=x, y=np.array(["no", "yes"])[Y]).class_names == ("no", "yes")
    assert load_npz(tmp_path, x=x, y=x[:, 0]).shape.kind == TaskKind.REGRESSION


def test_several_values_are_each_centred_and_scaled_by_their_training_values(tmp_path):
    y = np.column_stack([1e9 + RNG.normal(size=N), 1e-3 * RNG.normal(size=N)])
    data = load_npz(tmp_path, x=RNG.normal(size=(N, 2)), y=y)
    scaler = StandardScaler().fit(y[data.train.index])
    target = data.shape.target
    assert (target.names, target.shape, data.shape.outputs) == (("0", "1"), (2,), 2)
    np.testing.assert_allclose(target.centre, scaler.mean_)
    np.testing.assert_allclose(target.scale, scaler.scale_)
    for part in (data.train, data.validation, data.open_test()):
        assert (part.targets.dtype, part.targets.shape) == (np.float32, (len(part), 2))
        np.testing.assert_allclose(part.targets / target.scale, scaler.transform(y[part.index]), atol=1e-6)
    assert data.class_names == ()


def test_several_numbers_are_no_classes(tmp_path):
    np.savez(tmp_path / "arrays.npz", x=X, y=np.stack([Y, Y], 1))
    with pytest.raises(DataError, match="holds 2 numbers per sample, which are no classes"):
        load(NpzTask(npz=tmp_path / "arrays.npz", kind="classification"), seed=0)


def test_a_column_that_gives_one_of_several_values_away_is_told(tmp_path):
    x, y = RNG.normal(size=(N, 2)), RNG.normal(size=(N, 2))
    x[:, 1] = 3 * y[:, 1] - 1
    (told,) = [note for note in load_npz(tmp_path, x=x, y=y).notes if "column '1'" in note]
    assert "is the target but for a factor and an offset" in told


def test_fingerprint_depends_on_content_type_and_shape_not_on_compression(tmp_path):
    x = RNG.integers(0, 9, (N, 4, 4)).astype(np.uint8)
    first = load_npz(tmp_path, x=x, y=Y)
    np.savez_compressed(tmp_path / "other.npz", y=Y, x=x)
    assert load(NpzTask(npz=tmp_path / "other.npz"), seed=0).fingerprint == first.fingerprint
    assert load_npz(tmp_path, x=x.reshape(N, 2, 8), y=Y).fingerprint != first.fingerprint
    assert load_npz(tmp_path, x=x.astype(np.int8), y=Y).fingerprint != first.fingerprint


X = RNG.normal(size=(N, 3))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X, "labels": Y}, "holds no array 'y'; known: labels, x"),
        ({"inputs": X, "y": Y}, "holds no array 'x'"),
        ({"x": X, "y": Y[:-1]}, "'y' is 39 of int64: not one each"),
        ({"x": X[:0], "y": Y[:0]}, "not one each"),
        ({"x": X, "y": Y[:, None]}, "'y' is 40 x 1 of int64, expected one number or text per sample"),
        ({"x": X, "y": np.stack([X[:, 0], np.ones(N)], 1)}, r"'y'\[:, 1\] is 1 in every row"),
        ({"x": X, "y": np.array([["a", "b"]] * N)}, "'y' is 40 x 2 of <U1, expected one number or text per sample"),
        ({"x": X, "y": X[:, :, None]}, "'y' is 40 x 3 x 1 of float64, expected one number or text per sample"),
        ({"x": X, "y": np.float64(3)}, "'y' is a single value of float64"),
        ({"x": X[:, 0], "y": Y}, "expected N x F, N x H x W"),
        ({"x": np.zeros((N, 8, 8, 3)), "y": Y}, r"40 x 8 x 8 x 3 of float64.*transpose\(0, 3, 1, 2\)"),
        ({"x": np.zeros((N, 3, 0, 8)), "y": Y}, "40 x 3 x 0 x 8"),
        ({"x": np.where(X > 1, np.nan, X), "y": Y}, "'x' holds NaN or infinite values"),
        ({"x": X, "y": np.where(Y, 1.5, np.nan)}, "'y' holds NaN or infinite values"),
        ({"x": X.astype(complex), "y": Y}, "of complex128; expected numbers"),
        ({"x": X.astype(object), "y": Y}, "Python objects are never loaded"),
        ({"x": np.full((N, 4, 4), 1e39), "y": Y}, "beyond the range of float32"),
        ({"x": X, "y": np.zeros(N, int)}, "only one class"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message) as raised:
        load_npz(tmp_path, **arrays)
    assert str(tmp_path / "arrays.npz") in str(raised.value)


def claim_too_much() -> bytes:
    """An array whose header claims 8 EB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**18,)})
    return header.getvalue() + b"\0" * 8


def test_files_that_are_no_whole_npz_are_refused(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez(path, x=X, y=Y)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[300] ^= 0xFF
    for content in (b"", b"PK\x03\x04 no zip", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"arrays\.npz: is not a whole NPZ file"):
            load(NpzTask(npz=path), seed=0)
    np.save(tmp_path / "single.npy", X)
    with pytest.raises(DataError, match=r"single\.npy: is not a whole NPZ file"):
        load(NpzTask(npz=tmp_path / "single.npy"), seed=0)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", claim_too_much())
        archive.writestr("y.npy", claim_too_much())
    with pytest.raises(DataError, match="do not fit in the host memory"):
        load(NpzTask(npz=path), seed=0)
