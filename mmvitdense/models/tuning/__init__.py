"""What changes how an existing ViT is trained."""

from .lift_pretraining import LiFTPretraining
from .lora import add_lora, build_lora, merge_lora, remove_lora, unmerge_lora
from .naf_pretraining import NAFPretraining
from .peft_files import load_peft, save_peft
from .upsampler_pretraining import UpsamplerPretraining

__all__ = [
    'LiFTPretraining',
    'NAFPretraining',
    'UpsamplerPretraining',
    'add_lora',
    'build_lora',
    'load_peft',
    'merge_lora',
    'remove_lora',
    'save_peft',
    'unmerge_lora',
]
