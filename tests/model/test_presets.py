"""Networks by name reach what they are for."""

from bitprop.model.data import digits
from bitprop.model.learners import HardwareLearner
from bitprop.model.presets import DIGITS_BATCH, DIGITS_EPOCHS, DIGITS_VOTES, digits_network
from bitprop.model.trainer import Training


def test_digits_network_reaches_95_percent():
    dataset = digits()
    learner = HardwareLearner(digits_network(), batch=DIGITS_BATCH)
    training = Training(learner, vote_from=DIGITS_EPOCHS - DIGITS_VOTES)
    for _ in training.run(dataset, DIGITS_EPOCHS):
        pass
    assert training.majority_accuracy(dataset.test.inputs, dataset.test.labels) >= 0.95
