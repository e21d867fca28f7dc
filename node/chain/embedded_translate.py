"""EVM bytecode translated to Python, run by run: the embedded chain's interpreter.

py-evm decodes each instruction anew and moves every operand through its stack object. Here a run of
instructions becomes one Python function whose stack lives in local variables; what touches state, calls, logs
or code is handed to py-evm's own instruction, so gas and state rules stay py-evm's.

Why this is the same machine:
* Gas of plain instructions is charged at the start of their stretch. A stretch ends before every instruction
  that can see gas or leave the frame in good order, so all that can differ is *which* exceptional halt is met
  first, and each of them reverts the whole frame and burns all of its gas.
* Stack bounds are checked for a stretch at once, by the same argument.
* A function follows jumps whose target is a constant; it gives up its locals wherever it hands over or ends.

`tests/unit/node/chain/test_embedded_translate.py` compares it with py-evm's own loop.
"""

from collections.abc import Callable, Iterator
from typing import Any

from eth.vm import opcode_values as op
from eth.vm.forks.prague import opcodes
from eth.vm.logic.invalid import InvalidOpcode

from node.chain.embedded_instructions import (
    CONDITIONS,
    COPIES,
    ENDS,
    EXPRESSIONS,
    FACTS,
    LEAVES_RESULT,
    NAMES,
)

# py-evm's own instructions; Any, because their interface does not declare their gas.
PRAGUE_OPCODES: dict[int, Any] = dict(opcodes.PRAGUE_OPCODES)
# How far a function follows the code: long ones save hand-overs, short ones translate less that never runs.
FOLLOWED = 160
STACK_LIMIT = 1024

Run = Callable[[Any, list[int], Any], int]
Item = int | str  # a constant, or the name of a local variable


class _Writer:
    """Writes one function: the stack's top as names and constants, the rest left where it is."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.top: list[Item] = []
        self.conditions: dict[str, str] = {}  # names that stand for a truth value not yet computed
        self.taken = 0  # how many items of the real stack are consumed
        self.depth = 0  # how many of them were needed so far
        self.depth_checked = 0
        self.growth = 0
        self.gas = 0
        self.gas_line = 0
        self.memory = 0  # length the memory is known to have
        self.names = 0
        self.loaded: dict[str, int] = {}  # names that hold an item of the real stack, by its depth
        self.has_memory = False
        self.begin()

    def begin(self) -> None:
        """Start a stretch: its gas and stack bounds are filled in when it ends."""
        self.gas = self.growth = 0
        self.gas_line = len(self.lines)
        self.lines.append("")

    def end(self) -> None:
        """Write a stretch's checks before its first line."""
        checks = []
        if self.depth > self.depth_checked:
            checks.append(f"if len(s) < {self.depth}: raise InsufficientStack('stack')")
            self.depth_checked = self.depth
        if self.growth > 0:
            checks.append(f"if len(s) > {STACK_LIMIT - self.growth}: raise FullStack('stack')")
        if self.gas:
            checks.append(f"g = meter.gas_remaining - {self.gas}")
            checks.append("if g < 0: raise OutOfGas('plain instructions')")
            checks.append("meter.gas_remaining = g")
        self.lines[self.gas_line] = "\n ".join(checks) or "pass"

    def forget(self) -> None:
        """The real stack is up to date and another instruction works on it."""
        self.top.clear()
        self.conditions.clear()
        self.loaded.clear()
        self.taken = self.depth = self.depth_checked = 0
        self.has_memory = False

    def line(self, text: str) -> None:
        self.lines.append(text)

    def name(self) -> str:
        self.names += 1
        return f"v{self.names}"

    def need(self, count: int) -> None:
        """Bring items of the real stack into names until the top holds `count`."""
        while len(self.top) < count:
            self.taken += 1
            self.depth = max(self.depth, self.taken)
            name = self.name()
            self.line(f"{name} = s[-{self.taken}]")
            self.loaded[name] = self.taken
            self.top.insert(0, name)

    def push(self, item: Item) -> None:
        self.top.append(item)
        self.growth = max(self.growth, len(self.top) - self.taken)

    def pop(self) -> Item:
        self.need(1)
        return self.value(self.top.pop())

    def value(self, item: Item) -> Item:
        """Compute a truth value that was left open."""
        condition = self.conditions.pop(item, None) if isinstance(item, str) else None
        if condition is not None:
            self.line(f"{item} = 1 if {condition} else 0")
        return item

    def settled(self) -> list[str]:
        """Return the lines that bring the real stack up to date, without changing what is known."""
        lines = [f"{x} = 1 if {self.conditions[x]} else 0" for x in self.top if x in self.conditions]
        taken, top = self.taken, self.top
        while taken and top and isinstance(top[0], str) and self.loaded.get(top[0]) == taken:
            taken, top = taken - 1, top[1:]  # it never moved
        items = ", ".join(map(str, top))
        if taken and top:
            lines.append(f"s[-{taken}:] = ({items},)")
        elif taken:
            lines.append(f"del s[-{taken}:]")
        elif len(top) == 1:
            lines.append(f"s.append({items})")
        elif top:
            lines.append(f"s += ({items},)")
        return lines

    def reach(self, start: Item) -> None:
        """Make sure that the memory holds the word at `start`."""
        if not self.has_memory:
            self.line("m = x._memory._bytes")
            self.has_memory = True
        if isinstance(start, int):
            if start + 32 <= self.memory:
                return
            self.memory = start + 32
            self.line(f"if len(m) < {start + 32}:")
        else:
            self.line(f"if len(m) < {start} + 32:")
        self.line(f" x.extend_memory({start}, 32)")
        self.line(" m = x._memory._bytes")


class Translation(dict[int, Run]):
    """A contract's functions by the position they start at; each is written when it is first reached."""

    def __init__(self, code: bytes) -> None:
        super().__init__()
        self._code = code
        self._jumps = frozenset(_jump_destinations(code))
        self._names = {**NAMES, "J": self._jumps}

    def __missing__(self, start: int) -> Run:
        # The source is made of fixed templates, numbers and v1, v2, ...: no text of the contract enters it.
        source = "def run(x, s, meter):\n " + "\n ".join(self._write(start)) + "\n"
        space: dict[str, Any] = {}
        exec(compile(source, f"<evm {start}>", "exec"), self._names, space)
        self[start] = run = space["run"]
        return run

    def _write(self, position: int) -> list[str]:
        code, w = self._code, _Writer()
        for _ in range(FOLLOWED):
            instruction = code[position] if position < len(code) else op.STOP
            if op.PUSH0 <= instruction <= op.PUSH32:
                size = instruction - op.PUSH0
                w.gas += 3 if size else 2
                operand = code[position + 1 : position + 1 + size].ljust(size, b"\0")
                w.push(int.from_bytes(operand, "big"))
                position += 1 + size
                continue
            if instruction == op.JUMP:
                w.gas += 8
                target = w.pop()
                if isinstance(target, int) and target in self._jumps:
                    position = target
                    continue
                w.lines += w.settled()
                w.line(f"if {target} not in J: raise InvalidJumpDestination('jump')")
                w.line(f"return {target}")
                w.end()
                return w.lines
            if instruction == op.JUMPI:
                self._branch(w)
                position += 1
                continue
            if instruction in ENDS or not self._plain(w, instruction, position):
                self._hand_over(w, instruction)
                if instruction in ENDS or instruction not in PRAGUE_OPCODES:
                    w.line("raise AssertionError('the frame has ended')")
                    return w.lines
                w.begin()
            position += 1
        w.lines += w.settled()
        w.line(f"return {position}")
        w.end()
        return w.lines

    def _branch(self, w: _Writer) -> None:
        w.gas += 10
        target = w.pop()
        w.need(1)
        item = w.top.pop()
        condition = w.conditions.pop(item, str(item)) if isinstance(item, str) else str(item)
        w.line(f"if {condition}:")
        w.lines += [f" {line}" for line in w.settled()]
        if not isinstance(target, int):
            w.line(f" if {target} not in J: raise InvalidJumpDestination('jump')")
        elif target not in self._jumps:
            w.line(" raise InvalidJumpDestination('jump')")
        w.line(f" return {target}")
        w.end()
        w.begin()

    def _plain(self, w: _Writer, instruction: int, position: int) -> bool:
        """Write an instruction that needs nothing but stack, memory and call data; False if it needs more."""
        if op.DUP1 <= instruction <= op.DUP16:
            count = instruction - op.DUP1 + 1
            w.gas += 3
            w.need(count)
            w.push(w.value(w.top[-count]))
        elif op.SWAP1 <= instruction <= op.SWAP16:
            count = instruction - op.SWAP1 + 2
            w.gas += 3
            w.need(count)
            w.top[-1], w.top[-count] = w.top[-count], w.top[-1]
        elif instruction in EXPRESSIONS:
            count, template = EXPRESSIONS[instruction]
            w.gas += PRAGUE_OPCODES[instruction].gas_cost
            operands = [w.pop() for _ in range(count)]
            text = template.format(**dict(zip("abc", operands, strict=False)))
            if all(isinstance(x, int) for x in operands):
                w.push(eval(text, self._names))
            else:
                name = w.name()
                w.line(f"{name} = {text}")
                w.push(name)
        elif instruction in CONDITIONS:
            self._condition(w, instruction)
        elif instruction == op.POP:
            w.gas += 2
            w.need(1)
            dropped = w.top.pop()
            if isinstance(dropped, str) and dropped not in w.top:
                w.conditions.pop(dropped, None)
        elif instruction == op.JUMPDEST:
            w.gas += 1
        elif instruction == op.PC:
            w.gas += 2
            w.push(position)
        else:
            return self._memory(w, instruction)
        return True

    def _condition(self, w: _Writer, instruction: int) -> None:
        count, template = CONDITIONS[instruction]
        w.gas += 3
        if instruction == op.ISZERO:
            w.need(1)
            item = w.top.pop()
            inner = w.conditions.pop(item, None) if isinstance(item, str) else None
            text = f"not ({inner})" if inner else f"not {item}"
            is_known = isinstance(item, int)
        else:
            operands = [w.pop() for _ in range(count)]
            text = template.format(**dict(zip("ab", operands, strict=False)))
            is_known = all(isinstance(x, int) for x in operands)
        if is_known:
            w.push(int(eval(text, self._names)))
            return
        name = w.name()
        w.conditions[name] = text
        w.push(name)

    def _memory(self, w: _Writer, instruction: int) -> bool:
        if instruction == op.MLOAD:
            w.gas += 3
            start = w.pop()
            w.reach(start)
            name = w.name()
            stop = start + 32 if isinstance(start, int) else f"{start} + 32"
            w.line(f"{name} = of(m[{start}:{stop}], 'big')")
            w.push(name)
        elif instruction == op.MSTORE:
            w.gas += 3
            start, value = w.pop(), w.pop()
            w.reach(start)
            stop = start + 32 if isinstance(start, int) else f"{start} + 32"
            body = (
                repr(value.to_bytes(32, "big")) if isinstance(value, int) else f"{value}.to_bytes(32, 'big')"
            )
            w.line(f"m[{start}:{stop}] = {body}")
        elif instruction == op.CALLDATALOAD:
            w.gas += 3
            start = w.pop()
            name = w.name()
            w.line(f"{name} = word_at(x.msg.data, {start})")
            w.push(name)
        elif instruction in FACTS:
            w.gas += 2
            name = w.name()
            w.line(f"{name} = {FACTS[instruction]}")
            w.push(name)
        elif instruction in COPIES:
            count, template = COPIES[instruction]
            w.gas += 3
            operands = [w.pop() for _ in range(count)]
            w.line(template.format(**dict(zip("abc", operands, strict=True))))
            w.has_memory = False
        elif instruction == op.SHA3:
            w.gas += 30
            start, size = w.pop(), w.pop()
            name = w.name()
            w.line(f"{name} = sha3(x, meter, {start}, {size})")
            w.has_memory = False
            w.push(name)
        else:
            return False
        return True

    def _hand_over(self, w: _Writer, instruction: int) -> None:
        """Let py-evm execute an instruction on its own stack and memory."""
        w.lines += w.settled()
        w.end()
        w.forget()
        name = f"f{instruction}"
        if name not in self._names:
            self._names[name] = PRAGUE_OPCODES.get(instruction) or InvalidOpcode(instruction)
        w.line(f"{name}(x)")
        if instruction in LEAVES_RESULT:
            w.line("if s[-1].__class__ is not int: s[-1] = of(s[-1], 'big')")


def _jump_destinations(code: bytes) -> Iterator[int]:
    position = 0
    while position < len(code):
        instruction = code[position]
        if instruction == op.JUMPDEST:
            yield position
        position += 1 + (instruction - op.PUSH0 if op.PUSH0 < instruction <= op.PUSH32 else 0)
