"""Actions: what is done when something happens. Kinds, endpoints, the ledger's rules, the courier."""
