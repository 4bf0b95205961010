import numpy as np
import pytest
from bitprop.model.encode import (
    DistributiveThermometerEncoder,
    GlobalMedianEncoder,
    MedianEncoder,
    ThermometerEncoder,
    ThresholdEncoder,
)

ENCODERS = [
    MedianEncoder(),
    GlobalMedianEncoder(),
    ThermometerEncoder(3),
    DistributiveThermometerEncoder(3),
    ThresholdEncoder([1, 2]),
]


def test_median_is_above_only():
    values = np.array([[0, 10], [1, 20], [2, 30]])
    assert MedianEncoder().fit_transform(values).tolist() == [[-1, -1], [-1, -1], [1, 1]]


def test_global_median_of_mostly_black_images_is_pixel_above_zero():
    values = np.array([[0, 0, 0, 1], [0, 0, 200, 0]], dtype=np.uint8)
    assert GlobalMedianEncoder().fit_transform(values).tolist() == [[-1, -1, -1, 1], [-1, -1, 1, -1]]


def test_thresholds_feature_by_feature_at_or_above():
    code = ThresholdEncoder([3, 6, 10, 13]).fit_transform(np.array([[0, 6], [16, 9]]))
    assert code.tolist() == [[-1, -1, -1, -1, 1, 1, -1, -1], [1, 1, 1, 1, 1, 1, -1, -1]]


def test_thermometer_is_equally_spaced():
    encoder = ThermometerEncoder(3).fit(np.array([[0.0, 4], [8, 4]]))
    assert encoder.thresholds.tolist() == [[2, 4, 6], [4, 4, 4]]


def test_distributive_thermometer_shares_out_the_samples():
    values = np.random.default_rng(0).lognormal(size=(4000, 2))
    code = DistributiveThermometerEncoder(3).fit_transform(values)
    assert np.allclose((code == 1).mean(axis=0), [0.75, 0.5, 0.25] * 2, atol=0.001)


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: type(encoder).__name__)
def test_contract(encoder):
    values = np.random.default_rng(1).normal(size=(9, 5))
    code = encoder.fit(values).transform(values)
    assert code.dtype == np.int8 and len(code) == 9 and code.shape[1] % 5 == 0
    assert set(np.unique(code)) <= {-1, 1}
    with pytest.raises(ValueError, match="row 2, feature 1 is nan"):
        encoder.transform(np.where(np.arange(45).reshape(9, 5) == 11, np.nan, values))
    with pytest.raises(ValueError, match="must be finite"):
        encoder.fit(np.full((2, 2), np.inf))
    with pytest.raises(ValueError, match="must have 5 features, not 4"):
        encoder.transform(values[:, :4])
    with pytest.raises(ValueError, match=r"must be \(n, features\)"):
        encoder.fit(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="must be numbers"):
        encoder.fit([["a"]])


def test_transform_needs_fit():
    with pytest.raises(RuntimeError, match="needs fit first"):
        MedianEncoder().transform([[1.0]])


@pytest.mark.parametrize("bits", [0, 257, 1.5])
def test_refuses_bits(bits):
    with pytest.raises(ValueError, match="bits must be an integer from 1 to 256"):
        ThermometerEncoder(bits)
    with pytest.raises(ValueError, match="ascending"):
        ThresholdEncoder([2, 1])
