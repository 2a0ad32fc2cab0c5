"""Layer 1: one form a file. A form maps an example to the completion that is taught, or to None where it cannot."""
