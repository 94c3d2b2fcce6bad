"""Who may ask: users and their passwords, signed tokens, and the gate that lets only their bearers in.

Comes in: a name and a password, or an ``Authorization`` header. Goes out: a token, or who its bearer is.
Everything else is refused by raising one of `auth.errors`; nothing here answers with ``False``.
"""
