"""Training and evaluation; the public Python API is `asd_training.api`: train, evaluate."""
