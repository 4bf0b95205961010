"""The products behind every sum: integers and float32 give the same."""

import numpy as np
import pytest
from bitprop.model import blas, step

SHAPES = [(100, 784, 525), (37, 1000, 129), (2048, 61, 35), (2, 2100, 2000), (700, 2, 1100), (3000, 350, 2)]


@pytest.mark.parametrize("batch, width, rows", SHAPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_integer_product_equals_float_product(batch, width, rows, transposed, monkeypatch):
    pytest.importorskip("torch")
    rng = np.random.default_rng(batch)
    if transposed:
        values, matrix = rng.integers(-1, 2, (width, batch), np.int8).T, rng.integers(-1, 2, (width, rows), np.int8).T
    else:
        values, matrix = rng.integers(-1, 2, (batch, width), np.int8), rng.integers(-1, 2, (rows, width), np.int8)
    matrix.flags.writeable = False
    found = blas.integer_product(values, matrix)
    assert found is not None and found.dtype == np.int32
    monkeypatch.setattr(step, "integer_product", lambda values, matrix: None)
    expected = step.matvec(values, matrix)
    assert expected.dtype == np.int32 and np.array_equal(found, expected)


def test_small_or_other_arrays_are_left_to_float32(monkeypatch):
    small, large = np.ones((4, 8), np.int8), np.ones((2048, 2048), np.int8)
    assert blas.integer_product(small, small) is None
    assert blas.integer_product(large.astype(np.int16), large) is None
    # torch takes a single row that is a transposed column for something else.
    assert blas.integer_product(np.ones((2048, 1), np.int8).T, large) is None
    monkeypatch.setattr(blas, "_torch", lambda: None)
    assert blas.integer_product(large, large) is None
    assert np.array_equal(step.matvec(large, large[:8]), np.full((2048, 8), 2048))
