"""`mmvitdense throughput`, from a checkout."""

import sys

from mmvitdense.commands import tool

if __name__ == '__main__':
    sys.exit(tool('throughput'))
