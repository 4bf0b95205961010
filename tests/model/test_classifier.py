import numpy as np
import pytest
from bitprop.model.classifier import equiangular_frame


def products(rows):
    rows = rows.astype(int)
    return (rows @ rows.T)[np.triu_indices(len(rows), 1)]


@pytest.mark.parametrize("width", [1, 2, 7, 64])
def test_two_classes_are_antipodal(width):
    rows = equiangular_frame(2, width, seed=5)
    assert (rows[0] == -rows[1]).all()


@pytest.mark.parametrize("classes, width", [(3, 64), (10, 64), (10, 63), (25, 255)])
def test_mean_product_is_at_its_minimum_and_the_spread_small(classes, width):
    # A column of ±1 adds least to the sum of products when it holds as many +1 as -1, or nearly.
    least = width * ((classes % 2) - classes) / 2 / (classes * (classes - 1) / 2)
    for seed in range(3):
        found = products(equiangular_frame(classes, width, seed))
        assert found.mean() <= least + 0.01 * width
        assert found.std() <= 2


def test_better_than_random():
    random = np.random.default_rng(0).choice([-1, 1], size=(100, 128))
    assert products(equiangular_frame(100, 128)).var() < products(random).var() / 3


def test_dtype_values_and_determinism():
    rows = equiangular_frame(7, 33, seed=4)
    assert rows.dtype == np.int8 and rows.shape == (7, 33) and set(np.unique(rows)) == {-1, 1}
    assert (rows == equiangular_frame(7, 33, seed=4)).all()
    assert (rows != equiangular_frame(7, 33, seed=5)).any()


@pytest.mark.parametrize("arguments", [(1, 8), (2, 0), (2, 8, -1)])
def test_refuses(arguments):
    with pytest.raises(ValueError, match="classes ≥ 2, width ≥ 1"):
        equiangular_frame(*arguments)
