"""Kill training runs at random moments and compare what they go on to with runs that were left alone."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests are not installed


def main() -> int:
    """Parse the command line and start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kills', type=int, default=50, metavar='N', help='how many kills (default: 50)')
    parser.add_argument('--seed', type=int, default=0, help='other moments with another seed (default: 0)')
    parser.add_argument(
        '--resources',
        action='store_true',
        help='instead, see that memory, threads, descriptors and temporary files stay the same over 1500 iterations, '
        '12 evaluations and 500 inferences',
    )
    parser.add_argument('--folder', type=Path, help='where to work and to leave the runs (default: a temporary one)')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.resources:
            from tests.reliability.resources import check_resources

            return check_resources(folder, iterations=1500, evaluations=12, inferences=500)
        from tests.reliability.stress import run_kills

        return min(1, run_kills(folder, arguments.kills, arguments.seed))


if __name__ == '__main__':
    sys.exit(main())
