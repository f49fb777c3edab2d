"""Reading files: of torch, safetensors, TorchScript, pickles and archives of numpy."""
