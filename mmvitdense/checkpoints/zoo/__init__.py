"""The zoo: which published weights belong to which config, and how to get them."""

from .entry import Result, ZooEntry
from .metafiles import zoo_entries, zoo_entry

__all__ = ['Result', 'ZooEntry', 'zoo_entries', 'zoo_entry']
