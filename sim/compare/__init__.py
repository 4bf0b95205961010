"""The accelerator beside the best software that could be written for processors: same rule, same bits, same samples."""
