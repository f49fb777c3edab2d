# C-RADIOv4 (NVlabs/RADIO), under the NVIDIA Open Model License.
c_radiov4 = dict(
    pixels=dict(mean=[122.7709383, 116.7460125, 104.09373615], std=[68.5005327, 66.6321579, 70.3231626]),
    so400m='https://huggingface.co/nvidia/C-RADIOv4-SO400M/resolve/main/model.safetensors',
    huge='https://huggingface.co/nvidia/C-RADIOv4-H/resolve/main/model.safetensors',
)
