"""Layer 1: one task a file; each yields the examples of a split and names its verifier."""
