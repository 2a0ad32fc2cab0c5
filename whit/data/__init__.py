"""Layer 1: from a user's files and the hub to split examples, and from examples to packed batches of token ids."""
