"""Layer 1: one loss a file. An objective maps signals of supervised tokens to a value per token; it knows no model."""
