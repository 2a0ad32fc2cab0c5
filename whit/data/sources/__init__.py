"""Layer 1: one kind of source a file. A source maps a path or a name to examples in train, dev and test."""
