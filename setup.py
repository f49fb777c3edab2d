"""Packaging of mmvitdense.

Follows mim: configs, tools and model-index.yml travel inside the package as ``mmvitdense/.mim``, so that
``mmvitdense::family/config.py`` names a config wherever the package is installed.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop

ROOT = Path(__file__).resolve().parent
MIM_CONTENT = ('configs', 'tools', 'model-index.yml')
EXTRAS = ('onedl', 'openmmlab', 'tests', 'optional', 'build')


def read_requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.split('#')[0].strip() for line in lines if line.split('#')[0].strip()]


def read_version() -> str:
    line = next(line for line in (ROOT / 'mmvitdense' / '__init__.py').open() if line.startswith('__version__'))
    return line.split("'")[1]


def fill_mim(package: Path, link: bool) -> None:
    """Put what mim looks for into ``package/.mim``, as links for an editable install and as copies for a wheel."""
    mim = package / '.mim'
    shutil.rmtree(mim, ignore_errors=True)
    mim.mkdir(parents=True)
    for name in MIM_CONTENT:
        source, target = ROOT / name, mim / name
        if link:
            target.symlink_to(Path('..', '..', name), target_is_directory=source.is_dir())
        elif source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy(source, target)


class BuildPy(build_py):
    def run(self):
        super().run()
        if self.editable_mode:
            fill_mim(ROOT / 'mmvitdense', link=True)
        else:
            fill_mim(Path(self.build_lib) / 'mmvitdense', link=False)


class Develop(develop):
    def run(self):
        fill_mim(ROOT / 'mmvitdense', link=True)
        super().run()


setup(
    name='mmvitdense',
    version=read_version(),
    description='Dense prediction with plain Vision Transformers on OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmvitdense', 'mmvitdense.*']),
    install_requires=read_requirements('runtime'),
    extras_require={name: read_requirements(name) for name in EXTRAS},
    cmdclass={'build_py': BuildPy, 'develop': Develop},
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
