"""Templates of what researchers are asked."""
