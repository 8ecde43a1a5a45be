"""Extractors: manifests, program files, templates, builds, signatures, and what is installed now."""
