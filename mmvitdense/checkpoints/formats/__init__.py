"""Published layouts, one file each, see `contract`."""
