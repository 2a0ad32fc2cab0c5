"""Layer 4: a stage maps an artifact to an artifact. `train` is the one training stage; `sft`, `kd`, `rl` are presets."""
