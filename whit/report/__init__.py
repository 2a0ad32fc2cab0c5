"""Layer 6: what run directories say, for people. Reads files, never objects."""
