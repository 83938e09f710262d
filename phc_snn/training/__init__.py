"""Training of a `PHCSSM`, its checkpoints, and the jobs of the command line."""
