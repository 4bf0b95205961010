"""ONNX files, run by QONNX's executor."""

import numpy as np
import pytest
from bitprop.model.config import NetworkConfig
from bitprop.model.data import digits
from bitprop.model.exchange import onnx_logits, read_onnx, write_onnx
from bitprop.model.initial import counters_from_weights
from bitprop.model.learners import HardwareLearner
from bitprop.model.trainer import Training


def test_other_runtime_predicts_the_same(tmp_path):
    dataset = digits()
    learner = HardwareLearner(NetworkConfig(layers=(256, 30, 20), classes=10))
    for _ in Training(learner).run(dataset, 2):
        pass
    path = write_onnx(tmp_path / "x.onnx", learner.weights(), learner.state.classifier)
    logits = onnx_logits(path, dataset.test.inputs)
    assert logits.shape == (297, 10)
    assert np.array_equal(logits.argmax(axis=1), learner.predict(dataset.test.inputs))
    weights, classifier = read_onnx(path)
    assert all(np.array_equal(w, v) for w, v in zip(weights, learner.weights(), strict=True))
    assert np.array_equal(classifier, learner.state.classifier)
    other = learner.state.copy()
    other.counters = counters_from_weights(weights)
    assert all(np.array_equal(w, v) for w, v in zip(other.weights(), weights, strict=True))


def test_zero_sums_count_as_plus_one(tmp_path):
    weights = [np.array([[1, 1], [1, -1]])]
    path = write_onnx(tmp_path / "x.onnx", weights, np.array([[1, 1], [1, -1]]))
    assert onnx_logits(path, np.array([[1, -1], [1, 1]])).tolist() == [[2, 0], [2, 0]]


def test_refuses_what_is_not_a_binary_network(tmp_path):
    with pytest.raises(ValueError, match="matrix 1 must be ±1"):
        write_onnx(tmp_path / "x.onnx", [np.zeros((2, 2))], np.ones((2, 2)))
    with pytest.raises(ValueError, match="matrix 2 takes 3 values, not 2"):
        write_onnx(tmp_path / "x.onnx", [np.ones((2, 2))], np.ones((2, 3)))
    (tmp_path / "y.onnx").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ValueError, match="not an ONNX file"):
        read_onnx(tmp_path / "y.onnx")
