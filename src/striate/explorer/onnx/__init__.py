"""The network of an ONNX file as a torch module, so that the page walks it as any other."""
