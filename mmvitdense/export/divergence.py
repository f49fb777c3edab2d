"""The first node of an exported file whose result is not that of PyTorch."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export.graph_signature import InputKind

from .comparison import relative_error
from .optional import needed
from .runtimes import Arrays, OnnxRuntimeSession
from .tracing import standard_operators

_BYTES_AT_ONCE = 2**28
"""Bytes of results that are compared in one run."""
_CHECKPOINTS = 24
"""Results, spread over the graph, that say between which two it goes wrong."""


@dataclasses.dataclass(frozen=True)
class Divergence:
    """Where a file leaves PyTorch.

    Attributes:
        nodes: Names of the nodes of the operator, the last of which gives the wrong result.
        operators: Their types.
        result: Name of the result.
        error: Its largest difference, as a share of the largest value.
        operator: What PyTorch computes there.
        place: The module of the model.
        source: The line of code.
        constants: What is wrong with constants of these nodes, a sentence each.
    """

    nodes: tuple[str, ...]
    operators: tuple[str, ...]
    result: str
    error: float
    operator: str
    place: str
    source: str
    constants: tuple[str, ...] = ()

    def __str__(self) -> str:
        nodes = ', '.join(f'{name} ({operator})' for name, operator in zip(self.nodes, self.operators))
        text = (
            f'The first node that diverges is {nodes}: its result {self.result!r} is {self.error:.1e} of the largest '
            f'value away from {self.operator} of PyTorch, in {self.place or "the model"}'
        )
        text += f' ({self.source}).' if self.source else '.'
        return ' '.join([text, *self.constants])


def first_divergence(
    path: Path, onnx_program: torch.onnx.ONNXProgram, inputs: Mapping[str, np.ndarray], tolerance: float
) -> Divergence | None:
    """Compare what the nodes of a file give with what PyTorch gives, step by step.

    Results are compared that both have, as nodes are named after PyTorch's operators; first some that are spread over
    the graph, then all between the last right and the first wrong of these.

    Args:
        path: The ONNX file.
        onnx_program: The model, exported anew; its graph of PyTorch is run, and its constants are those to expect.
        inputs: Inputs of the file.
        tolerance: Largest difference that is right, as a share of the largest value.

    Returns:
        The first difference, or None where all that can be compared is equal.
    """
    onnx = needed('onnx', 'Looking for a node')
    model = onnx.load(path, load_external_data=False)
    runs = _Runs(path, model, onnx_program, inputs)
    names = runs.comparable()
    step = max(len(names) // _CHECKPOINTS, 1)
    chosen = [*range(step - 1, len(names) - 1, step), len(names) - 1] if names else []
    before = -1
    for place in chosen:
        if runs.errors([names[place]])[0] > tolerance:
            break
        before = place
    else:
        before, place = -1, len(names) - 1
    # A later result can be right by chance, as where a wrong one is multiplied by zero: then all are compared.
    for start in (before + 1, 0):
        for some in runs.portions(names[start : place + 1] if start else names):
            for name, error in zip(some, runs.errors(some)):
                if error > tolerance:
                    return runs.described(name, error, names)
    return None


class _Runs:
    """Results of a file and of PyTorch by name."""

    def __init__(self, path: Path, model: Any, onnx_program: torch.onnx.ONNXProgram, inputs: Mapping[str, np.ndarray]):
        self.path, self.model, self.inputs = path, model, inputs
        self.fresh, self.program = onnx_program.model, onnx_program.exported_program
        self.operators = {node.name: node for node in self.program.graph.nodes if node.op == 'call_function'}

    def comparable(self) -> list[str]:
        """Names of results that both have, of floating-point numbers, in the order of the file."""
        names = []
        for node in self.model.graph.node:
            for name in node.output:
                operator = self.operators.get(name)
                value = operator.meta.get('val') if operator is not None else None
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    names.append(name)
        return names

    def portions(self, names: Sequence[str]) -> Iterable[list[str]]:
        """Names whose results together are not too large."""
        some, size = [], 0
        for name in names:
            value = self.operators[name].meta['val']
            hint = int(np.prod([side if isinstance(side, int) else 64 for side in value.shape])) * 4
            if some and size + hint > _BYTES_AT_ONCE:
                yield some
                some, size = [], 0
            some.append(name)
            size += hint
        if some:
            yield some

    def errors(self, names: Sequence[str]) -> list[float]:
        """The differences of results."""
        of_torch, of_file = self._of_torch(names), self._of_file(names)
        return [relative_error(of_torch[name], of_file[name]) for name in names]

    def _of_file(self, names: Sequence[str]) -> Arrays:
        onnx = needed('onnx', 'Looking for a node')
        model = type(self.model)()
        model.CopyFrom(self.model)
        model.graph.ClearField('output')
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        # Beside the file, where its weights may lie.
        probe = self.path.with_name(f'.{os.getpid()}-probe.onnx')
        try:
            onnx.save(model, probe)
            return OnnxRuntimeSession(probe, optimized=False)(self.inputs)
        finally:
            probe.unlink(missing_ok=True)

    def _of_torch(self, names: Sequence[str]) -> Arrays:
        interpreter = _Recorder(self.program.graph_module, set(names))
        with torch.no_grad(), standard_operators():
            interpreter.run(*self._arguments())
        return {name: value.numpy() for name, value in interpreter.results.items()}

    def _arguments(self) -> list[torch.Tensor]:
        """Weights, constants and inputs in the order of the graph."""
        program, arguments = self.program, []
        given = iter(self.inputs.values())
        for spec in program.graph_signature.input_specs:
            if spec.kind is InputKind.USER_INPUT:
                arguments.append(torch.from_numpy(next(given)))
            elif spec.target in program.state_dict:
                arguments.append(program.state_dict[spec.target])
            else:
                arguments.append(program.constants[spec.target])
        return arguments

    def described(self, name: str, error: float, comparable: Sequence[str]) -> Divergence:
        """Everything about a result that is wrong."""
        operator = self.operators[name]
        nodes = self._nodes_of(name, set(comparable))
        stack = re.findall(r'File "([^"]+)", line (\d+)', operator.meta.get('stack_trace') or '')
        return Divergence(
            nodes=tuple(node.name for node in nodes),
            operators=tuple(node.op_type for node in nodes),
            result=name,
            error=error,
            operator=str(operator.target),
            place=_place(nodes[-1]),
            source=f'{Path(stack[-1][0]).name}, line {stack[-1][1]}' if stack else '',
            constants=tuple(self._wrong_constants(nodes)),
        )

    def _nodes_of(self, name: str, comparable: set[str]) -> list[Any]:
        """The nodes that lead from results that are right to this one, in the order of the file."""
        makers = {output: node for node in self.model.graph.node for output in node.output}
        wanted, pending = [], [name]
        while pending:
            node = makers.get(pending.pop())
            if node is not None and node not in wanted:
                wanted.append(node)
                pending += [given for given in node.input if given not in comparable]
        return [node for node in self.model.graph.node if node in wanted]

    def _wrong_constants(self, nodes: Sequence[Any]) -> Iterable[str]:
        """What constants of nodes are not what they are in the model."""
        onnx = needed('onnx', 'Looking for a node')
        stored = {value.name: value for value in self.model.graph.initializer}
        for name in dict.fromkeys(given for node in nodes for given in node.input if given in stored):
            expected = self.fresh.graph.initializers.get(name)
            if expected is None:
                continue
            value = onnx.numpy_helper.to_array(stored[name], os.fspath(self.path.parent))
            right = expected.const_value.numpy()
            if value.shape != right.shape:
                yield f'Its constant {name!r} has the shape {value.shape}; expected {right.shape}.'
            elif not np.array_equal(value, right, equal_nan=True):
                wrong = np.argwhere(value != right)
                at = tuple(int(index) for index in wrong[0])
                yield (
                    f'Its constant {name!r} differs from that of the model in {len(wrong)} of {value.size} numbers: '
                    f'{value[at]:g} in the place of {right[at]:g} at {list(at)}.'
                )


class _Recorder(torch.fx.Interpreter):
    """Runs a graph and keeps some of its results."""

    def __init__(self, module: torch.fx.GraphModule, names: set[str]):
        super().__init__(module)
        self.wanted, self.results = names, {}

    def run_node(self, node: torch.fx.Node) -> Any:
        result = super().run_node(node)
        if node.name in self.wanted:
            self.results[node.name] = result.detach().clone()
        return result


def _place(node: Any) -> str:
    """Name of the module that a node comes from."""
    entries = {entry.key: entry.value for entry in node.metadata_props}
    try:
        scopes = ast.literal_eval(entries.get('pkg.torch.onnx.name_scopes', '[]'))
    except (ValueError, SyntaxError):
        return ''
    # Of a part of a list the exporter writes the slice down too.
    return re.sub(r'\.?slice\([^)]*\)', '', scopes[-2]) if len(scopes) > 1 else ''
