"""What runs a network: PyTorch as it is, compiled, or OpenVINO; the same numbers from each."""
