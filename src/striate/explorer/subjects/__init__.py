"""What is explored, by where it comes from: a network by name, a finished run, an ONNX file."""
