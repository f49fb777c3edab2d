"""YAML files of mmengine are read without making the objects that they name."""

from collections.abc import Iterator
from contextlib import contextmanager

MODULE = 'mmengine.fileio.handlers.yaml_handler'


@contextmanager
def plain_values() -> Iterator[None]:
    """Inside, `!!python/object` and the like in a YAML file are an error; tuples, which mmengine writes, are read."""
    import mmengine.fileio.handlers.yaml_handler as handler
    import yaml

    class Loader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
        pass

    Loader.add_constructor(
        'tag:yaml.org,2002:python/tuple', lambda loader, node: tuple(loader.construct_sequence(node))
    )
    before, handler.Loader = handler.Loader, Loader
    try:
        yield
    finally:
        handler.Loader = before
