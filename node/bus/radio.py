"""A bus that is late and loses messages, on a clock of milliseconds: what neighbours have when the grid is gone."""

import heapq
from collections import defaultdict
from random import Random

from node.bus.memory import Handler
from node.bus.messages import Message


class RadioBus:
    """Messages arrive after a random delay or not at all; the same seed loses the same ones.

    Parameters
    ----------
    loss_pu : float
        Share of messages that get lost, 0..1.
    delay_ms : (int, int)
        Least and greatest delay.
    """

    def __init__(self, seed: int, loss_pu: float, delay_ms: tuple[int, int] = (2, 40)) -> None:
        self._random = Random(seed)
        self._loss_pu = loss_pu
        self._delay_ms = delay_ms
        self._handlers: defaultdict[str, list[Handler]] = defaultdict(list)
        self._waiting: list[tuple[int, int, str, Message]] = []
        self.now_ms = 0
        self.sent = 0
        self.lost = 0

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Have every later message on the topic delivered to `handler`."""
        self._handlers[topic].append(handler)

    def publish(self, topic: str, message: Message) -> None:
        """Send a message; it may get lost."""
        self.sent += 1
        if self._random.random() < self._loss_pu:
            self.lost += 1
            return
        due_ms = self.now_ms + self._random.randint(*self._delay_ms)
        heapq.heappush(self._waiting, (due_ms, self.sent, topic, message))

    def next_ms(self) -> int | None:
        """Return when the next message arrives, or None."""
        return self._waiting[0][0] if self._waiting else None

    def deliver_until(self, now_ms: int) -> None:
        """Move the clock forward and deliver what has arrived by then, in the order of arrival."""
        while self._waiting and self._waiting[0][0] <= now_ms:
            due_ms, _, topic, message = heapq.heappop(self._waiting)
            self.now_ms = max(self.now_ms, due_ms)
            for handler in self._handlers[topic]:
                handler(message)
        self.now_ms = max(self.now_ms, now_ms)
