"""What this machine and this Python have of what the package can use, what is missing, and what mends it."""

from .report import environment_report
from .text import report_as_text

__all__ = ['environment_report', 'report_as_text']
