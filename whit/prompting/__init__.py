"""Layer 1: one way of asking a file. A way of asking maps an example to the messages that the model is given."""
