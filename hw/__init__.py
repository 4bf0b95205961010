"""The gateware: a systolic XNOR-popcount array, its memories, counters and sequencer. Knows no board."""
