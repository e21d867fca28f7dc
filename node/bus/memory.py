"""A bus inside one process: first in, first out, delivered only when told, so that runs repeat exactly."""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Protocol

from node.bus.messages import Message

Handler = Callable[[Message], None]


class Bus(Protocol):
    """What carries messages; at least once, in the sender's order."""

    def publish(self, topic: str, message: Message) -> None:
        """Hand over a message for everybody who subscribed to the topic."""
        ...

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Have every later message on the topic delivered to `handler`."""
        ...


class MemoryBus:
    """Messages wait in one queue until `deliver` runs the handlers, in the order of publishing."""

    def __init__(self) -> None:
        self._handlers: defaultdict[str, list[Handler]] = defaultdict(list)
        self._queue: deque[tuple[str, Message]] = deque()

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Have every later message on the topic delivered to `handler`."""
        self._handlers[topic].append(handler)

    def publish(self, topic: str, message: Message) -> None:
        """Queue a message; nothing is delivered yet."""
        self._queue.append((topic, message))

    def deliver(self) -> int:
        """Run the handlers of all queued messages, also of those published meanwhile; return how many."""
        delivered = 0
        while self._queue:
            topic, message = self._queue.popleft()
            for handler in self._handlers[topic]:
                handler(message)
            delivered += 1
        return delivered
