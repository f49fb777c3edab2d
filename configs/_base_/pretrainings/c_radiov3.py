# C-RADIOv3 (NVlabs/RADIO), under the NVIDIA Open Model License.
c_radiov3 = dict(
    pixels=dict(mean=[122.7709383, 116.7460125, 104.09373615], std=[68.5005327, 66.6321579, 70.3231626]),
    base='https://huggingface.co/nvidia/C-RADIOv3-B/resolve/main/model.safetensors',
    large='https://huggingface.co/nvidia/C-RADIOv3-L/resolve/main/model.safetensors',
    huge='https://huggingface.co/nvidia/C-RADIOv3-H/resolve/main/model.safetensors',
    giant='https://huggingface.co/nvidia/C-RADIOv3-g/resolve/main/model.safetensors',
)
