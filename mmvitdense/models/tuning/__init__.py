"""What changes how an existing ViT is trained."""

from .lora import add_lora, build_lora, merge_lora, remove_lora, unmerge_lora
from .peft_files import load_peft, save_peft

__all__ = ['add_lora', 'build_lora', 'load_peft', 'merge_lora', 'remove_lora', 'save_peft', 'unmerge_lora']
