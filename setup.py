"""Packaging of mmvitdense.

Follows mim: configs, tools and model-index.yml travel inside the package as `mmvitdense/.mim`, so that
`mmvitdense::family/config.py` names a config wherever the package is installed.
"""

import importlib.util
import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop

ROOT = Path(__file__).resolve().parent
MIM_CONTENT = ('configs', 'tools', 'model-index.yml')
EXTRAS = ('onedl', 'openmmlab', 'tests', 'docs', 'optional', 'build')


def read_requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.split('#')[0].strip() for line in lines if line.split('#')[0].strip()]


def read_version() -> str:
    line = next(line for line in (ROOT / 'mmvitdense' / '__init__.py').open() if line.startswith('__version__'))
    return line.split("'")[1]


def fill_mim(package: Path, link: bool) -> None:
    """Put what mim looks for into `package/.mim`, as links for an editable install and as copies for a wheel."""
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


def compiled_ops() -> dict:
    """What setup() needs to compile the deformable kernels, if MMVITDENSE_BUILD_OPS=1 asks for it: for the CPU, and for
    CUDA where nvcc is found. They are of use with the torch they were compiled with, so that one has to be visible:
    pip needs --no-build-isolation."""
    if os.environ.get('MMVITDENSE_BUILD_OPS', '0') != '1':
        return {}
    try:
        from torch.utils.cpp_extension import BuildExtension
    except ImportError as error:
        raise SystemExit(
            f'MMVITDENSE_BUILD_OPS=1 needs torch and setuptools while building ({error}): install them, then run pip '
            'with --no-build-isolation.'
        ) from error
    # By path: importing the package would need OpenMMLab.
    spec = importlib.util.spec_from_file_location('building', ROOT / 'mmvitdense' / 'ops' / 'building.py')
    building = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(building)
    build_ext = BuildExtension.with_options(no_python_abi_suffix=True)
    return {'ext_modules': building.extension_modules(), 'cmdclass': {'build_ext': build_ext}}


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


OPS = compiled_ops()

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
    entry_points={'console_scripts': ['mmvitdense = mmvitdense.commands:main']},
    package_data={'mmvitdense': ['py.typed'], 'mmvitdense.ops': ['csrc/*', 'csrc/cpu/*', 'csrc/cuda/*']},
    ext_modules=OPS.get('ext_modules', []),
    cmdclass={'build_py': BuildPy, 'develop': Develop, **OPS.get('cmdclass', {})},
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
