"""One step a file: ``v0001_users`` is the oldest, and each names the one before it.

A step is never changed after it was released: databases have it behind them.
"""
