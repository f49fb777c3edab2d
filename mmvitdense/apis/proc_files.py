"""Numbers that Linux gives of a process or of the machine in files."""

from __future__ import annotations

from pathlib import Path


def numbers_of(path: str | Path, colon: bool = True) -> dict[str, int]:
    """{name: number} of lines such as `VmHWM:  1234 kB`, or without the colon; nothing where there is no such file."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.partition(':' if colon else ' ')
        number = (rest.split() or [''])[0]
        if number.isdigit():
            found[name] = int(number)
    return found
