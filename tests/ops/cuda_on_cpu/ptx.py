"""Inline PTX as C++: the instructions that kernels use, each as one statement. An instruction that is not here is an
error of the translation, which names it."""

import re

_TYPES = {
    **{f'{kind}{size}': f'uint{size}_t' for kind in 'bu' for size in (8, 16, 32, 64)},
    **{f's{size}': f'int{size}_t' for size in (8, 16, 32, 64)},
    'f32': 'float',
    'f64': 'double',
    'pred': 'bool',
    'f16': '__half',
    'bf16': '__nv_bfloat16',
    'f16x2': '__half2',
    'bf16x2': '__nv_bfloat162',
}
_CONSTRAINTS = {'h': 'uint16_t', 'r': 'uint32_t', 'l': 'uint64_t', 'f': 'float', 'd': 'double', 'n': 'int64_t'}
_PAIRS = {
    'add': 'a + b',
    'sub': 'a - b',
    'mul': 'a * b',
    'and': 'a & b',
    'or': 'a | b',
    'xor': 'a ^ b',
    'min': 'b < a ? b : a',
    'max': 'a < b ? b : a',
    'shl': 'a << b',
    'shr': 'a >> b',
    'exch': 'b',
}
_COMPARISONS = {'eq': '==', 'ne': '!=', 'lt': '<', 'le': '<=', 'gt': '>', 'ge': '>=', 'lo': '<', 'hs': '>='}
_FUNCTIONS = {
    'ex2': 'std::exp2(a)',
    'lg2': 'std::log2(a)',
    'rcp': '1 / a',
    'rsqrt': '1 / std::sqrt(a)',
    'sqrt': 'std::sqrt(a)',
    'neg': '-a',
    'abs': 'a < 0 ? -a : a',
    'not': '~a',
}
_HINTS = {'prefetch', 'prefetchu', 'applypriority', 'discard', 'membar', 'fence', 'griddepcontrol', 'nanosleep'}


class UnknownError(ValueError):
    """PTX that this file does not translate."""


def translate(text: str, outputs: list[tuple[str, str]], inputs: list[tuple[str, str]]) -> str:
    """C++ of one asm statement; operands are pairs of a constraint and an expression."""
    lines = []
    for i, (constraint, expression) in enumerate((*outputs, *inputs)):
        kind = _CONSTRAINTS[constraint.strip('=+&')]
        start = '0' if constraint.startswith('=') else f'::cuda_on_cpu::as<{kind}>({expression})'
        lines.append(f'{kind} ptx_{i} = {start}; (void)ptx_{i};')
    text = re.sub(r'%(\d+)', r'ptx_\1', text.replace('%%', 'ptx_r_'))
    for statement in re.split(r'[;{}](?![^;]*\}\s*[,;\]])', _keep_vectors(text)):
        lines += _statement(statement.strip().replace('<', '{').replace('>', '}'))
    lines += [f'::cuda_on_cpu::set({expression}, ptx_{i});' for i, (_, expression) in enumerate(outputs)]
    return 'do { ' + ' '.join(lines) + ' } while (0)'


def _keep_vectors(text: str) -> str:
    """Braces around the registers of a vector as angles, those of a block as they are."""
    return re.sub(r'\{([^{};]*)\}', r'<\1>', text)


def _statement(statement: str) -> list[str]:
    if not statement:
        return []
    if statement.startswith('.reg'):
        _, kind, names = re.split(r'\s+', statement, maxsplit=2)
        return [f'{_TYPES[kind[1:]]} {name.strip()}{{}}; (void){name.strip()};' for name in names.split(',')]
    guard, rest = re.fullmatch(r'(?:@(!?\w+)\s+)?(.*)', statement, re.DOTALL).groups()
    opcode, _, arguments = rest.partition(' ')
    code = _instruction(opcode, _split(arguments))
    return [f'if ({guard}) {{ {code} }}' if guard else f'{{ {code} }}']


def _split(arguments: str) -> list[str]:
    """At commas outside of vectors."""
    parts = re.split(r',(?![^{]*\})', arguments)
    return [part.strip() for part in parts if part.strip()]


def _value(argument: str, kind: str) -> str:
    if hexadecimal := re.fullmatch(r'0[fF]([0-9a-fA-F]{8})', argument):
        argument = f'::cuda_on_cpu::bits<float>(0x{hexadecimal[1]}u)'
    elif re.fullmatch(r'-?(0x)?[0-9a-fA-F]+U?', argument) and kind not in ('float', 'double'):
        return f'static_cast<{kind}>({argument})'
    return f'::cuda_on_cpu::as<{kind}>({argument})'


def _elements(argument: str) -> list[str]:
    return [part.strip() for part in argument.strip('{}').split(',')]


def _address(argument: str) -> str:
    base, _, offset = re.fullmatch(r'\[\s*(\w+)\s*(\+\s*(-?\w+)\s*)?\]', argument).groups()
    return f'::cuda_on_cpu::as<uint64_t>({base})' + (f' + ({offset})' if offset else '')


def _words(kind: str, elements: list[str]) -> str:
    values = ', '.join(_value(element, kind) for element in elements)
    return f'::cuda_on_cpu::Words<{kind}, {len(elements)}>{{{{{values}}}}}'


def _instruction(opcode: str, arguments: list[str]) -> str:
    base, *parts = opcode.split('.')
    kinds = [_TYPES[part] for part in parts if part in _TYPES]
    if base in _HINTS:
        return ''
    if base in ('ld', 'ldu', 'st', 'red', 'atom'):
        return _memory(opcode, base, parts, kinds[-1], arguments)
    if base == 'setp':
        sign = next(_COMPARISONS[part] for part in parts if part in _COMPARISONS)
        return f'{arguments[0]} = {_value(arguments[1], kinds[0])} {sign} {_value(arguments[2], kinds[0])};'
    if base == 'selp':
        chosen = f'{arguments[3]} ? {_value(arguments[1], kinds[0])} : {_value(arguments[2], kinds[0])}'
        return f'::cuda_on_cpu::set({arguments[0]}, {chosen});'
    if base in ('mov', 'cvta') and '{' not in ''.join(arguments):
        return f'::cuda_on_cpu::set({arguments[0]}, {_value(arguments[1], kinds[0])});'
    if base == 'cvt' and {'rn', 'rz', 'rni', 'rzi', 'rmi', 'rpi'} & set(parts) <= {'rn', 'rzi'}:
        return f'::cuda_on_cpu::set({arguments[0]}, static_cast<{kinds[0]}>({_value(arguments[1], kinds[1])}));'
    result = _arithmetic(base, parts, kinds, arguments[1:])
    if result is None:
        raise UnknownError(f'the PTX instruction {opcode!r} has no translation; add it to {__file__}')
    return f'::cuda_on_cpu::set({arguments[0]}, {result});'


def _arithmetic(base: str, parts: list[str], kinds: list[str], arguments: list[str]) -> str | None:
    kind = kinds[0] if kinds else ''
    wide = kind.replace('32', '64') if 'wide' in parts else kind
    names = dict(zip('abc', arguments))
    values = {name: f'static_cast<{wide}>({_value(argument, kind)})' for name, argument in names.items()}
    if base in ('shl', 'shr'):
        values['b'] = _value(arguments[1], 'uint32_t')
    if base in ('fma', 'mad') and 'hi' not in parts:
        values['c'] = _value(arguments[2], wide)
        formula = 'std::fma(a, b, c)' if base == 'fma' else 'a * b + c'
    elif base in _PAIRS and 'hi' not in parts:
        formula = _PAIRS[base]
    elif base in _FUNCTIONS:
        formula = _FUNCTIONS[base]
    else:
        return None
    formula = re.sub(r'\b[abc]\b', lambda match: f'({values[match[0]]})', formula)
    return f'static_cast<{wide}>({formula})'


def _memory(opcode: str, base: str, parts: list[str], kind: str, arguments: list[str]) -> str:
    if 'shared' in ' '.join(parts):
        raise UnknownError(f'{opcode!r} has a 32-bit address of shared memory, for which there is no translation')
    if base in ('ld', 'ldu'):
        targets = _elements(arguments[0])
        lines = [f'auto w = ::cuda_on_cpu::load<{kind}, {len(targets)}>({_address(arguments[1])}, "{opcode}");']
        lines += [f'::cuda_on_cpu::set({target}, w.words[{i}]);' for i, target in enumerate(targets)]
        return ' '.join(lines)
    if base == 'st':
        return f'::cuda_on_cpu::store({_address(arguments[0])}, {_words(kind, _elements(arguments[1]))}, "{opcode}");'
    target, *rest = arguments if base == 'atom' else ('', *arguments)
    elements = _elements(rest[1])
    action = next((part for part in parts if part in _PAIRS), None)
    if action is None:
        raise UnknownError(f'the PTX instruction {opcode!r} has no translation; add it to {__file__}')
    numbers = 2 if kind.endswith('2') and kind.startswith('__') else 1
    change = f'[]({kind} a, {kind} b) {{ return {_PAIRS[action]}; }}'
    values = f'{_address(rest[0])}, {_words(kind, elements)}, {change}'
    call = f'::cuda_on_cpu::change<{kind}, {len(elements)}, {numbers}>({values})'
    if not target:
        return f'{call};'
    lines = [f'auto w = {call};']
    lines += [f'::cuda_on_cpu::set({name}, w.words[{i}]);' for i, name in enumerate(_elements(target))]
    return ' '.join(lines)
