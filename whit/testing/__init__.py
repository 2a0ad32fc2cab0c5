"""Doubles for tests: a two-layer model, a byte tokenizer, a generator that replays. Nothing else imports them."""
