"""Where the jobs of a study run. `local`: worker processes of this machine."""
