"""Layer 1: estimates with honest intervals, comparisons of pipelines, planning. numpy and scipy only."""
