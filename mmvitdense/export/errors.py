"""What is said of a model or file that cannot be exported, run or compared."""


class ExportError(Exception):
    """What was given cannot be exported or run. The message says what was given, what is expected and what to do."""
