"""Export of a run to a bundle; the public Python API is `asd_export.export.export`."""
