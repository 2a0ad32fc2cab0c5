"""Layer 7: one command a file. Heavy imports happen inside the commands, so that `whit --help` is quick."""
