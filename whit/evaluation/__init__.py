"""Layer 3: a task, a model and a way of decoding to one line per completion, and to numbers with intervals."""
