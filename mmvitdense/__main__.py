"""`python -m mmvitdense COMMAND ...`, the same as `mmvitdense COMMAND ...`."""

import sys

from mmvitdense.commands import main

if __name__ == '__main__':
    sys.exit(main())
