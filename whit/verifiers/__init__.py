"""Layer 1: one verifier a file. A verifier maps a completion and its example to a verdict and never raises on text."""
