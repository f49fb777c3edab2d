# AIMv2 (apple/ml-aim), not under an open-source licence; 'native' is of the preset aimv2-native-large.
aimv2 = dict(
    pixels=dict(mean=[122.7709383, 116.7460125, 104.09373615], std=[68.5005327, 66.6321579, 70.3231626]),
    large='https://huggingface.co/apple/aimv2-large-patch14-224/resolve/main/model.safetensors',
    large_336='https://huggingface.co/apple/aimv2-large-patch14-336/resolve/main/model.safetensors',
    large_448='https://huggingface.co/apple/aimv2-large-patch14-448/resolve/main/model.safetensors',
    huge='https://huggingface.co/apple/aimv2-huge-patch14-224/resolve/main/model.safetensors',
    native_large='https://huggingface.co/apple/aimv2-large-patch14-native/resolve/main/model.safetensors',
)
