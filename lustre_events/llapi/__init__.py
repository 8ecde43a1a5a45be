"""A binding to liblustreapi that is useful alone."""
