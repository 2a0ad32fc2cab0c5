"""Layer 2: token ids in, token ids out. Templates, text and verifiers are above."""
