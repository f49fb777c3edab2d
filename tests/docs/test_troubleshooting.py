"""docs/troubleshooting.md: each symptom has a source, and quotes what the package prints."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / 'docs' / 'troubleshooting.md').read_text()
SYMPTOMS = re.split(r'^### ', TEXT, flags=re.MULTILINE)[1:]


def test_each_symptom_has_a_thread():
    assert len(SYMPTOMS) >= 40
    for symptom in SYMPTOMS:
        assert re.search(r'Threads?:\s[^#]*[\w-]+/[\w.-]+#\d+', symptom), symptom.splitlines()[0]


def test_quotes_are_those_of_the_package():
    source = ''.join(path.read_text('utf-8') for path in sorted((ROOT / 'mmvitdense').rglob('*.py')))
    source = re.sub(r"""['"]\n\s*f?['"]""", '', source)  # one text over several lines
    quotes = re.findall(r'(?<!`)"([^"`]+)"', TEXT.partition('\n## ')[2].replace('\n', ' '))
    assert len(quotes) > 30
    for quote in quotes:
        for part in quote.split('...'):
            assert part.strip(' .,:;?') in source, quote
