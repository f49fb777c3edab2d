"""Write the tables of models in the READMEs, docs/models.md and model-index.yml from the metafiles, and those of
docs/weights.md.

In a README, a table stands between `<!-- models: NAME-PATTERN ... -->` and `<!-- end of models -->`; the patterns, as
of file names, choose models of the folder in the order of the metafile. On docs/models.md, `<!-- choices: TASK on DATA
SET -->` has all with such a published result, smallest first. The tables of docs/weights.md are those of
`mmvitdense.pretrainings`. `--check` writes nothing and ends with 1 where something is not up to date.
"""

from __future__ import annotations

import argparse
import sys

from mmvitdense.apis.zoo_tables import write_tables


def main() -> int:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; say what is not up to date')
    arguments = parser.parse_args()
    changed = write_tables(write=not arguments.check)
    for path in changed:
        print(f'{"out of date" if arguments.check else "written"}: {path}')
    return 1 if changed and arguments.check else 0


if __name__ == '__main__':
    sys.exit(main())
