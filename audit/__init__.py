"""The audit log: what happened, by whom, in lines that nobody can change, drop or reorder unnoticed.

A leaf: it knows neither HTTP nor users nor models. docs/audit.md tells the format and what it proves.
"""
