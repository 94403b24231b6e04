"""What a check consists of: parts, each a list of steps, each a program that is run into a log."""
from dataclasses import dataclass, field
from typing import Callable


class Skip(Exception):
    """Raised instead of giving a command where a step cannot be done; says why."""


@dataclass(frozen=True)
class Step:
    name: str
    seconds: float  # that it is expected to take on an H100 or H200
    command: Callable  # of the machine (machine.Machine): the command line; or raises Skip
    environment: dict = field(default_factory=dict)
    # What the results keep of it besides its last line: "" nothing, "text" all that it prints,
    # "object" the JSON object in its last line, or the name of the JSON file that it writes.
    keeps: str = ""


@dataclass(frozen=True)
class Part:
    name: str
    what: str  # for --list and the page
    steps: tuple
    # Whether the steps run at once: they test, and measure nothing.
    together: bool = False

    @property
    def seconds(self):
        times = [step.seconds for step in self.steps]
        return max(times) if self.together else sum(times)

    def units(self):
        """What is timed and cut as one: lists of steps that run at once."""
        return [list(self.steps)] if self.together else [[step] for step in self.steps]
