"""What `lustre-events doctor` looks at: everything that this service needs, and what fixes what is missing."""

from lustre_events.node.doctor.findings import FAILURE, INFO, OK, WARNING, Finding
from lustre_events.node.doctor.rounds import examine

__all__ = ["FAILURE", "INFO", "OK", "WARNING", "Finding", "examine"]
