"""Training and evaluation of triplet CNNs for anomalous sound detection."""
