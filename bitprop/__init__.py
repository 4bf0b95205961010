"""Training binary neural networks by Binary Error Propagation on an open FPGA."""

__version__ = "0.1.0"
