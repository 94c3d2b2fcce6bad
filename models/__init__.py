"""The models of Lastgang: cards, weight files, the catalogue of what serves, networks and their training.

Importing this package, its cards or its catalogue does not import TensorFlow.
"""
