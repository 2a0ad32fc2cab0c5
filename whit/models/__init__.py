"""Layer 1: decoders, their files, adapters and tokenizers."""
