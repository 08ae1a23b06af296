"""Label-quality benchmarks: which way of labeling gives the best labels, on features whose truth is known."""
