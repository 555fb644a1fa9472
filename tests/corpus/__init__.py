"""Small modules, healthy and sick, that the audit and the gate are held against."""

from corpus.healthy import HEALTHY
from corpus.parts import Case
from corpus.sick import SICK
from corpus.suspect import SUSPECT

__all__ = ["HEALTHY", "SICK", "SUSPECT", "Case"]
