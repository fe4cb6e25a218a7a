"""Export of a training run to a bundle: ONNX model, references, calibration."""
