"""Actions: what is done when something happens. Kinds, endpoints, what becomes of a run, the courier."""
