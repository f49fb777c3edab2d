"""Read by Python as it starts: mmengine and mmdet import it, two seconds, for what no tool of ours takes."""

import sys

sys.modules['transformers'] = None
