"""How sphinx builds these pages: `pip install -e .[docs]`, then `sphinx-build -W docs build/docs`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / 'extensions'))

project = 'mmvitdense'
author = 'the authors of mmvitdense'
html_title = 'mmvitdense'
html_theme = 'furo'
html_show_copyright = False
extensions = ['myst_parser', 'reference', 'links_out']
exclude_patterns = ['extensions']
# Headings are targets of links, as on the pages of a repository.
myst_heading_anchors = 3
# Code blocks of output and of shells are shown as they are.
highlight_language = 'none'
