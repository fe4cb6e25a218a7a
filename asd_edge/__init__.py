"""Anomalous sound detection on edge devices."""
